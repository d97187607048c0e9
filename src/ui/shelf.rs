//! The shelf: a strip of kept pictures under the picture.
//!
//! For the keyboard it is one stop: arrows go from picture to picture, Enter restores. Where there is little room the strip is a
//! line of names.

use egui::{
    Align, Align2, EventFilter, FontId, Id, Key, Modifiers, Panel, Popup, Rect, Response, Role, ScrollArea, Sense,
    SetOpenCommand, StrokeKind, Ui, UiBuilder, Vec2, WidgetInfo, pos2, vec2,
};

use super::command::Command;
use super::field::TextField;
use super::icons::{Icon, icon_button};
use super::keyboard::leave_space_free;
use super::style;
use super::tiles::{Tiles, Want};
use super::titles::kept_title;
use crate::edit::{Edit, Kept, LayerSet, Shelf};
use crate::generator::ModelInfo;

/// Between the pictures.
const GAP: f32 = 2.0;
/// Height of a picture, and the smallest and largest width.
const PICTURE: f32 = 72.0;
const WIDTHS: [f32; 2] = [40.0, 144.0];
/// Height of the line of names.
const NAME: f32 = 20.0;
/// For the bar that scrolls.
const BAR: f32 = 6.0;
/// Height of the strip with its pictures, and of the line of names alone.
pub const HEIGHT: f32 = PICTURE + NAME + BAR + 2.0 * style::GRID;
const LOW: f32 = style::ROW + 2.0 * style::GRID;
/// Width of a name where there are no pictures, and of the field that one is typed into.
const CHIP: f32 = 96.0;
const FIELD: f32 = 128.0;
/// Pictures of the views come first.
const URGENCY: f32 = 1e5;

/// The strip's own state.
#[derive(Debug, Default)]
pub struct ShelfView {
    /// The picture that the keyboard is at.
    cursor: usize,
    /// The cursor is to be brought into sight.
    reveals: bool,
    /// The picture whose name is typed, and whether its field has just appeared.
    renamed: Option<(usize, bool)>,
    /// The picture that is dragged to another place.
    dragged: Option<usize>,
    /// How far the strip is scrolled, and how much of it is seen.
    seen: (f32, f32),
}

/// What the strip shows of the window's state.
pub struct Facts<'a> {
    pub shelf: &'a Shelf,
    pub present: &'a Edit,
    pub info: &'a ModelInfo,
    /// Those that Semantics shows.
    pub layers: &'a LayerSet,
    /// There is room for pictures.
    pub is_high: bool,
}

/// Something to be done with a kept picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Act {
    pub at: usize,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    Restore,
    Compare,
    TakeStyle,
    CopyMoves,
    Rename(String),
    Remove,
    /// It and all others, as a series of files.
    ExportAll,
    /// Gives it the place `to` among all.
    Shift {
        to: usize,
    },
}

/// How one picture is shown.
struct Cell {
    at: usize,
    place: Rect,
    has_keyboard: bool,
    /// Its menu was asked for by the keyboard.
    asks_menu: bool,
}

/// What the keyboard asked for.
#[derive(Default)]
struct Keys {
    act: Option<Act>,
    asks_menu: bool,
    has_focus: bool,
}

impl ShelfView {
    /// Puts the keyboard's place there and brings it into sight.
    pub fn go_to(&mut self, at: usize) {
        (self.cursor, self.reveals) = (at, true);
    }

    /// The strip, at the bottom of `ui`.
    pub fn show(
        &mut self,
        ui: &mut Ui,
        facts: &Facts<'_>,
        tiles: &mut Tiles,
        commands: &mut Vec<Command>,
    ) -> Option<Act> {
        let height = if facts.is_high { HEIGHT } else { LOW };
        let panel = Panel::bottom("shelf").frame(style::bar_frame()).exact_size(height);
        panel.show(ui, |ui| self.strip_ui(ui, facts, tiles, commands)).inner
    }

    fn strip_ui(
        &mut self,
        ui: &mut Ui,
        facts: &Facts<'_>,
        tiles: &mut Tiles,
        commands: &mut Vec<Command>,
    ) -> Option<Act> {
        let whole = ui.available_rect_before_wrap().shrink2(vec2(0.0, style::GRID));
        let buttons = Rect::from_min_size(whole.min, vec2(style::ROW, whole.height()));
        let layout = egui::Layout::top_down(Align::Center);
        let mut child = ui.new_child(UiBuilder::new().max_rect(buttons).layout(layout));
        child.spacing_mut().item_spacing.y = style::GRID;
        buttons_ui(&mut child, facts, commands);
        let area = whole.with_min_x(buttons.right() + style::GRID * 2.0);
        if facts.shelf.is_empty() {
            let text =
                egui::RichText::new("K keeps the picture here, and a click brings it back").size(style::SMALL_TEXT);
            let layout = egui::Layout::left_to_right(Align::Center);
            ui.new_child(UiBuilder::new().max_rect(area).layout(layout)).add(egui::Label::new(text.weak()).truncate());
            (self.renamed, self.dragged) = (None, None);
            return None;
        }
        self.cursor = self.cursor.min(facts.shelf.len() - 1);
        let strip = ui.interact(area, Id::unique("shelf"), Sense::focusable_noninteractive());
        let keys = self.keys_ui(ui, &strip, facts.shelf);
        let size = cell_size(facts);
        let mut scroll = ScrollArea::horizontal().id_salt("shelf").auto_shrink(false);
        if std::mem::take(&mut self.reveals) {
            scroll = scroll.horizontal_scroll_offset(self.revealed(size.x + GAP));
        }
        let mut child = ui.new_child(UiBuilder::new().max_rect(area));
        let shown =
            scroll.show_viewport(&mut child, |ui, seen| self.cells_ui(ui, seen, size, facts, &keys, &strip, tiles));
        self.seen = (shown.state.clamped_offset().x, shown.inner_rect.width());
        keys.act.or(shown.inner)
    }

    /// What the keys ask for while the strip has the keyboard.
    fn keys_ui(&mut self, ui: &Ui, strip: &Response, shelf: &Shelf) -> Keys {
        let (at, count) = (self.cursor, shelf.len());
        let title = shelf.get(at).map_or_else(String::new, |kept| kept_title(at, kept));
        let name = format!("Shelf of {count}: {title}");
        strip.widget_info(|| WidgetInfo::labeled(Role::ListBox, ui.is_enabled(), &name));
        let mut keys = Keys { has_focus: strip.has_focus(), ..Keys::default() };
        if !keys.has_focus {
            return keys;
        }
        leave_space_free(ui, strip);
        let filter = EventFilter { horizontal_arrows: true, ..EventFilter::default() };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(strip.id, filter));
        let pressed = |modifiers, key| ui.input_mut(|input| input.consume_key(modifiers, key));
        let last = count - 1;
        let mut shift = None;
        for (key, to) in [(Key::ArrowLeft, at.saturating_sub(1)), (Key::ArrowRight, (at + 1).min(last))] {
            if pressed(Modifiers::COMMAND, key) {
                (shift, self.reveals) = ((to != at).then_some(What::Shift { to }), true);
                self.cursor = to;
            } else if pressed(Modifiers::NONE, key) {
                self.go_to(to);
            }
        }
        for (key, to) in [(Key::Home, 0), (Key::End, last)] {
            if pressed(Modifiers::NONE, key) {
                self.go_to(to);
            }
        }
        if pressed(Modifiers::NONE, Key::F2) {
            self.rename(at);
        }
        keys.asks_menu = pressed(Modifiers::SHIFT, Key::F10);
        let restore = pressed(Modifiers::NONE, Key::Enter).then_some(What::Restore);
        let remove = pressed(Modifiers::NONE, Key::Delete).then_some(What::Remove);
        keys.act = shift.or(restore).or(remove).map(|what| Act { at, what });
        keys
    }

    fn rename(&mut self, at: usize) {
        self.go_to(at);
        self.renamed = Some((at, true));
    }

    /// How far the strip is to be scrolled so that the cursor is in sight.
    fn revealed(&self, pitch: f32) -> f32 {
        let (offset, room) = self.seen;
        let left = self.cursor as f32 * pitch;
        offset.max(left + pitch - GAP - room).min(left).max(0.0)
    }

    #[expect(clippy::too_many_arguments, reason = "all of the strip, within what scrolls")]
    fn cells_ui(
        &mut self,
        ui: &mut Ui,
        seen: Rect,
        size: Vec2,
        facts: &Facts<'_>,
        keys: &Keys,
        strip: &Response,
        tiles: &mut Tiles,
    ) -> Option<Act> {
        let (count, pitch) = (facts.shelf.len(), size.x + GAP);
        ui.set_width(count as f32 * pitch - GAP);
        ui.set_height(size.y);
        let corner = ui.min_rect().min;
        let first = (seen.left() / pitch).floor().max(0.0) as usize;
        let last = ((seen.right() / pitch).ceil() as usize).min(count);
        let mut act = None;
        for at in first..last {
            let Some(kept) = facts.shelf.get(at) else { break };
            let place = Rect::from_min_size(pos2(corner.x + at as f32 * pitch, corner.y), size);
            let is_at = self.cursor == at;
            let cell = Cell { at, place, has_keyboard: keys.has_focus && is_at, asks_menu: keys.asks_menu && is_at };
            act = act.or(self.cell_ui(ui, &cell, kept, facts, strip, tiles));
        }
        act.or(self.drag_ui(ui, corner, size, count))
    }

    /// One picture with its name, and its menu.
    fn cell_ui(
        &mut self,
        ui: &mut Ui,
        cell: &Cell,
        kept: &Kept,
        facts: &Facts<'_>,
        strip: &Response,
        tiles: &mut Tiles,
    ) -> Option<Act> {
        let &Cell { at, place, has_keyboard, asks_menu } = cell;
        let id = Id::unique(("kept", at));
        let response = ui.interact(place, id, Sense::CLICK | Sense::DRAG);
        let title = kept_title(at, kept);
        let is_present = kept.edit == *facts.present;
        response.widget_info(|| WidgetInfo::selected(Role::ListBoxOption, ui.is_enabled(), is_present, &title));
        let line = Rect::from_min_max(pos2(place.left(), place.bottom() - NAME.min(place.height())), place.max);
        let colours = style::palette(ui);
        let mut outlined = place;
        if facts.is_high {
            outlined = place.with_max_y(line.top());
            let side = (outlined.size().max_elem() * ui.pixels_per_point()).round().max(1.0) as usize;
            let want = Want { edit: kept.edit.clone(), side, urgency: URGENCY + at as f32, live: false };
            let shown = tiles.show(id, want);
            tiles.paint(ui, outlined, shown.as_ref(), true);
        } else {
            let fill = if response.hovered() { colours.button_hovered } else { colours.button };
            ui.painter().rect_filled(place, style::RADIUS, fill);
        }
        let outline = match (has_keyboard, is_present) {
            (true, _) => Some((2.0, colours.text_strong)),
            (false, true) => Some((2.0, colours.accent)),
            (false, false) => response.hovered().then_some((1.0, colours.text_strong)),
        };
        if let Some(outline) = outline {
            ui.painter().rect_stroke(outlined, 0.0, outline, StrokeKind::Inside);
        }
        let act = self.name_ui(ui, cell, line, kept, strip);
        if response.drag_started() {
            self.dragged = Some(at);
        }
        let (asked, is_left) = self.menu_ui(&response, asks_menu, at, &title, facts);
        if is_left {
            // The keyboard is where it was before the menu.
            self.cursor = at;
            strip.request_focus();
        }
        let hint = "Click to restore, drag to another place, right-click for more";
        let clicked = response.on_hover_text(format!("{title}\n{hint}")).clicked();
        if clicked {
            strip.request_focus();
            self.cursor = at;
        }
        act.or(asked).or(clicked.then_some(What::Restore)).map(|what| Act { at, what })
    }

    /// The name, or the field that it is typed into.
    fn name_ui(&mut self, ui: &mut Ui, cell: &Cell, line: Rect, kept: &Kept, strip: &Response) -> Option<What> {
        let at = cell.at;
        let Some((_, is_new)) = self.renamed.filter(|(renamed, _)| *renamed == at) else {
            let colours = style::palette(ui);
            let (text, colour) = match kept.name.as_str() {
                "" => ((at + 1).to_string(), colours.text_weak),
                name => (name.to_owned(), colours.text),
            };
            let font = FontId::proportional(style::SMALL_TEXT);
            let mut job = egui::text::LayoutJob::simple_singleline(text, font, colour);
            job.wrap = egui::text::TextWrapping::truncate_at_width(line.width() - style::GRID);
            let galley = ui.painter().layout_job(job);
            let place = Align2::CENTER_CENTER.anchor_size(line.center(), galley.size());
            ui.painter().galley(place.min, galley, colour);
            return None;
        };
        let place = Rect::from_min_size(line.min, vec2(FIELD.max(line.width()), line.height()));
        let mut child = ui.new_child(UiBuilder::new().max_rect(place));
        let name = format!("Name of kept {}", at + 1);
        let field = TextField { name: &name, hint: "unnamed", width: place.width(), quiet: false, align: Align::Min };
        let (response, typed) = field.show(&mut child, Id::unique("name of a kept picture"), &kept.name);
        if is_new {
            response.request_focus();
            self.renamed = Some((at, false));
        } else if response.lost_focus() || !response.has_focus() {
            self.renamed = None;
            if ui.input(|input| input.key_pressed(Key::Enter) || input.key_pressed(Key::Escape)) {
                strip.request_focus();
            }
        }
        typed.map(What::Rename)
    }

    /// The menu of a picture, by the other mouse button or the keyboard. Also returns true if it was closed by a choice or by Escape.
    fn menu_ui(
        &mut self,
        response: &Response,
        asked: bool,
        at: usize,
        title: &str,
        facts: &Facts<'_>,
    ) -> (Option<What>, bool) {
        let id = Popup::default_response_id(response);
        let was_open = Popup::is_id_open(&response.ctx, id);
        let open = (asked || response.secondary_clicked()).then_some(SetOpenCommand::Bool(true));
        let mut chosen = None;
        let menu = Popup::menu(response).open_memory(open).accessible_name(format!("What to do with {title}"));
        menu.show(|ui| {
            let mixes = facts.info.mixes_styles();
            let style = format!("Take its style into {}", facts.layers);
            let entries: [(&str, &str, bool, Option<What>); 7] = [
                ("Restore", "Makes it the present edit", true, Some(What::Restore)),
                ("Set as comparison", "Space then shows it, and Compare has it as A", true, Some(What::Compare)),
                (&style, "The layers that Semantics shows take their codes from it", mixes, Some(What::TakeStyle)),
                ("Copy its moves", "Adds its moves to the present edit", true, Some(What::CopyMoves)),
                ("Rename…", "Gives it a name (F2)", true, None),
                ("Export all…", "Writes the pictures of the shelf as a series", true, Some(What::ExportAll)),
                ("Remove", "Takes it off the shelf (Delete)", true, Some(What::Remove)),
            ];
            for (place, (text, hint, enabled, what)) in entries.into_iter().enumerate() {
                let button = ui.add_enabled(enabled, egui::Button::new(text));
                if asked && place == 0 {
                    button.request_focus();
                }
                if button.on_hover_text(hint).clicked() {
                    match what {
                        None => self.rename(at),
                        what => chosen = what,
                    }
                }
            }
        });
        let escaped = was_open && response.ctx.input(|input| input.key_pressed(Key::Escape));
        let is_left = chosen.is_some() || escaped && !Popup::is_id_open(&response.ctx, id);
        (chosen, is_left)
    }

    /// The place that a dragged picture would have, and its end.
    fn drag_ui(&mut self, ui: &mut Ui, corner: egui::Pos2, size: Vec2, count: usize) -> Option<Act> {
        let at = self.dragged?;
        let (pointer, is_down) = ui.input(|input| (input.pointer.interact_pos(), input.pointer.any_down()));
        let pitch = size.x + GAP;
        let gap = pointer.map(|pointer| ((pointer.x - corner.x) / pitch).round().clamp(0.0, count as f32) as usize);
        let Some(gap) = gap.filter(|_| at < count) else {
            self.dragged = None;
            return None;
        };
        if is_down {
            let x = corner.x + gap as f32 * pitch - GAP / 2.0;
            ui.painter().vline(x, corner.y..=corner.y + size.y, (2.0, style::palette(ui).accent));
            // A drag beyond the end goes on scrolling.
            let beyond = pointer.map_or(0.0, |pointer| pointer.x - ui.clip_rect().x_range().clamp(pointer.x));
            if beyond != 0.0 {
                ui.scroll_with_delta(vec2(-beyond.clamp(-12.0, 12.0), 0.0));
                ui.request_repaint();
            }
            return None;
        }
        self.dragged = None;
        let to = if gap > at { gap - 1 } else { gap };
        self.cursor = to;
        (to != at).then_some(Act { at, what: What::Shift { to } })
    }
}

fn buttons_ui(ui: &mut Ui, facts: &Facts<'_>, commands: &mut Vec<Command>) {
    let mut button = |ui: &mut Ui, icon, command: Command| {
        if icon_button(ui, icon, command.text().trim_end_matches('…'), &command.hint(ui.ctx())).clicked() {
            commands.push(command);
        }
    };
    button(ui, Icon::Plus, Command::Keep);
    if facts.is_high {
        button(ui, Icon::Export, Command::ExportShelf);
    }
}

/// Of a picture with its name, or of the name alone.
fn cell_size(facts: &Facts<'_>) -> Vec2 {
    if !facts.is_high {
        return vec2(CHIP, style::ROW);
    }
    let shape = facts.info.size.width as f32 / facts.info.size.height as f32;
    vec2((PICTURE * shape).round().clamp(WIDTHS[0], WIDTHS[1]), PICTURE + NAME)
}
