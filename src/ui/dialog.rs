//! Windows inside the window. They are no modal ones: sliders and picture go on.

use egui::{Align2, Context, Id, Ui, Window};

use super::keyboard::escape_closes;

/// Shows a dialog, at first at `place` of the window. Returns false when it is closed, by its cross or Escape.
pub fn dialog_ui(ctx: &Context, title: &str, place: Align2, content: impl FnOnce(&mut Ui)) -> bool {
    let mut stays = true;
    let id = Id::unique(title);
    let window = Window::new(title).id(id).collapsible(false).resizable(false).open(&mut stays);
    window.pivot(place).default_pos(place.pos_in_rect(&ctx.content_rect())).show(ctx, content);
    // egui gives the bar that moves it no name.
    ctx.accesskit_node_builder(id.with("__title_click"), |node| node.set_label(format!("Title of {title}")));
    stays && !escape_closes(ctx)
}
