//! The command palette: every command by name.

use egui::{Align2, Area, Context, Frame, Id, Key, Modifiers, Order, TextEdit, vec2};

use super::command::Command;
use super::style;

/// State of the open palette.
#[derive(Default)]
pub struct Palette {
    query: String,
    /// Row of the list that Enter starts.
    chosen: usize,
}

/// Shows the palette while it is open; returns the command that was chosen.
pub fn palette_ui(ctx: &Context, open: &mut Option<Palette>, idle: &dyn Fn(Command) -> bool) -> Option<Command> {
    let palette = open.as_mut()?;
    let (up, down, enter, escape) = ctx.input_mut(|input| {
        let mut pressed = |key| input.consume_key(Modifiers::NONE, key);
        (pressed(Key::ArrowUp), pressed(Key::ArrowDown), pressed(Key::Enter), pressed(Key::Escape))
    });
    let mut started = None;
    let area = Area::new(Id::unique("palette")).order(Order::Foreground).anchor(Align2::CENTER_TOP, vec2(0.0, 72.0));
    let shown = area.show(ctx, |ui| {
        Frame::popup(ui.style()).inner_margin(8).show(ui, |ui| {
            ui.set_width(420.0);
            let query =
                TextEdit::singleline(&mut palette.query).hint_text("Type a command").desired_width(f32::INFINITY);
            let outlined = ui.scope(|ui| {
                style::accent_outline(ui);
                ui.add(query.id(Id::unique("palette query"))).accessible_name("Command")
            });
            let field = outlined.inner;
            field.request_focus();
            let matching = matching(&palette.query, idle);
            let last = matching.len().saturating_sub(1);
            let chosen = if field.changed() { 0 } else { palette.chosen };
            palette.chosen = chosen.saturating_add_signed(isize::from(down) - isize::from(up)).min(last);
            started = matching.get(palette.chosen).copied().filter(|_| enter);
            egui::ScrollArea::vertical().max_height(320.0).show(ui, |ui| {
                ui.spacing_mut().item_spacing.y = 0.0;
                for (i, &command) in matching.iter().enumerate() {
                    let keys = egui::RichText::new(command.keys(ctx)).weak();
                    let chosen = i == palette.chosen;
                    let button = egui::Button::selectable(chosen, command.text().trim_end_matches('…'))
                        .right_text(keys)
                        .min_size(vec2(ui.available_width(), style::ROW));
                    let button = ui.add(button);
                    if chosen && (up || down) {
                        button.scroll_to_me(None);
                    }
                    if button.on_hover_text(command.tooltip()).clicked() {
                        started = Some(command);
                    }
                }
                if matching.is_empty() {
                    ui.weak("No command has these letters");
                }
            });
        });
    });
    if started.is_some() || escape || shown.response.clicked_elsewhere() {
        *open = None;
    }
    started
}

/// The commands that fit, those with a word that starts with `query` first.
fn matching(query: &str, idle: &dyn Fn(Command) -> bool) -> Vec<Command> {
    let fits = |command: &Command| *command != Command::Palette && !idle(*command) && matches(*command, query);
    let mut matching: Vec<Command> = Command::all().filter(fits).collect();
    let query = query.trim().to_lowercase();
    matching.sort_by_key(|command| {
        let text = command.text().to_lowercase();
        !(text.starts_with(&query) || text.contains(&format!(" {query}")))
    });
    matching
}

/// True if the letters of `query` occur in the command's text in this order.
fn matches(command: Command, query: &str) -> bool {
    let text = command.text().to_lowercase();
    let mut letters = text.chars();
    query.to_lowercase().chars().filter(|c| !c.is_whitespace()).all(|wanted| letters.any(|letter| letter == wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_in_order_find_a_command() {
        assert!(matches(Command::ExportSweep, "exsw"));
        assert!(matches(Command::RandomSeed, "Random Se"));
        assert!(!matches(Command::Undo, "ou"));
        assert_eq!(
            matching("ex", &|_| false)[..2],
            [
                Command::OpenExample(crate::render::Example::ToyHeads),
                Command::OpenExample(crate::render::Example::Faces)
            ]
        );
        assert_eq!(matching("export", &|_| false)[0], Command::Export);
    }
}
