//! Whose the keyboard is: what Space and Escape mean while a control has it.

use egui::{Context, Id, Key, Modifiers, Response, Ui};

fn space_free_id() -> Id {
    Id::unique("focused, Space free")
}

fn busy_id() -> Id {
    Id::unique("Escape belongs to a field or a list")
}

/// Says that a control has the keyboard but no use for Space.
pub fn leave_space_free(ui: &Ui, focused: &Response) {
    ui.data_mut(|data| data.insert_temp(space_free_id(), focused.id));
}

/// True if Space is free: no control has the keyboard, or one that leaves Space alone.
pub fn space_is_free(ctx: &Context) -> bool {
    let focused = ctx.memory(|memory| memory.focused());
    focused.is_none() || focused == ctx.data(|data| data.get_temp::<Id>(space_free_id()))
}

/// To be called at the end of each frame: whether a text is being typed or a list is open, which Escape then is for. egui
/// takes the keyboard from a field before anybody sees the key, so that it has to be known from the frame before.
pub fn remember_escape(ctx: &Context) {
    let busy = ctx.text_edit_focused() || ctx.any_popup_open();
    ctx.data_mut(|data| data.insert_temp(busy_id(), busy));
}

/// True if Escape was pressed and is for a window inside the window; the first that asks takes it.
pub fn escape_closes(ctx: &Context) -> bool {
    let busy = ctx.data(|data| data.get_temp::<bool>(busy_id())).unwrap_or_default();
    !busy && ctx.input_mut(|input| input.consume_key(Modifiers::NONE, Key::Escape))
}
