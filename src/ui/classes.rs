//! The classes of a conditional model: a searchable list of them, and the mixture of two.

use egui::{Button, Id, Key, Modifiers, Popup, PopupCloseBehavior, Response, ScrollArea, TextEdit, Ui, vec2};

use super::icons::{Icon, icon_button};
use super::number::{Digits, number};
use super::sample::row;
use super::slider::Slider;
use super::style;
use crate::classes::Classes;
use crate::edit::{ClassMix, Sample};

/// How much of a second class there is at first.
const HALF: f32 = 0.5;

/// The rows of the panel. `why` says why classes have no effect now, if they have none.
pub fn classes_ui(ui: &mut Ui, classes: Classes, sample: &mut Sample, why: Option<&str>) {
    ui.add_enabled_ui(why.is_none(), |ui| {
        let hint = |text: &str| why.unwrap_or(text).to_owned();
        row(ui, "Class", |ui| class_ui(ui, classes, sample, &hint));
        row(ui, "Mix", |ui| {
            let picker = Picker {
                name: "Second class",
                width: ui.available_width(),
                hint: hint("A second class, mixed into the first; \"none\" takes it away"),
                may_be_none: true,
            };
            let current = sample.mix.map(|mix| mix.class);
            if let Some(picked) = picker.show(ui, classes, current) {
                let amount = sample.mix.map_or(HALF, |mix| mix.amount);
                sample.mix = picked.map(|class| ClassMix { class, amount });
            }
        });
        if let Some(mix) = &mut sample.mix {
            row(ui, "Amount", |ui| amount_ui(ui, &mut mix.amount, &hint));
        }
    });
}

fn class_ui(ui: &mut Ui, classes: Classes, sample: &mut Sample, hint: &dyn Fn(&str) -> String) {
    let current = sample.class.unwrap_or(0);
    let last = classes.count().saturating_sub(1);
    if icon_button(ui, Icon::Previous, "Previous class", &hint("Previous class")).clicked() {
        sample.class = Some(current.checked_sub(1).unwrap_or(last));
    }
    let picker = Picker {
        name: "Class",
        width: ui.available_width() - style::ROW - style::GRID,
        hint: hint(&format!("{}\nClick to search all {}", classes.label(current), classes.count())),
        may_be_none: false,
    };
    if let Some(Some(class)) = picker.show(ui, classes, Some(current)) {
        sample.class = Some(class);
    }
    if icon_button(ui, Icon::Next, "Next class", &hint("Next class")).clicked() {
        sample.class = Some(if current >= last { 0 } else { current + 1 });
    }
}

fn amount_ui(ui: &mut Ui, amount: &mut f32, hint: &dyn Fn(&str) -> String) {
    let mut value = *amount;
    let width = ui.available_width() - style::VALUE_COLUMN - style::GRID;
    let slider = Slider::new(&mut value, 0.0..=1.0, "Amount of the second class").home(HALF).step(0.05);
    let text = hint("0 is the first class alone, 1 the second alone. Double-click gives half of each.");
    slider.show(ui, width).response.on_hover_text(&text).on_disabled_hover_text(text);
    number(ui, &mut value, 0.01, Digits::Plain(2), "Amount value").on_hover_text("Drag, or click to type");
    if value.is_finite() {
        *amount = value.clamp(0.0, 1.0);
    }
}

/// A button that opens a list to search.
struct Picker<'a> {
    /// Accessible name.
    name: &'a str,
    width: f32,
    hint: String,
    /// The list begins with "none".
    may_be_none: bool,
}

/// State of the open list.
#[derive(Clone, Default)]
struct Search {
    text: String,
    /// Row that Enter picks.
    chosen: usize,
    /// Distance by which the list is scrolled, in points.
    offset: f32,
    /// The button had the keyboard, and gets it back.
    by_keyboard: bool,
    /// Shown for the first time: the keyboard still has to be taken.
    fresh: bool,
}

const LIST_WIDTH: f32 = 260.0;
/// Rows that the list shows at once.
const ROWS: usize = 12;

impl Picker<'_> {
    /// Returns what was picked, `Some(None)` for "none".
    fn show(&self, ui: &mut Ui, classes: Classes, current: Option<usize>) -> Option<Option<usize>> {
        let text = text_of(classes, current);
        let button = Button::new(text.as_str()).truncate().min_size(vec2(self.width, style::ROW));
        let button = ui.add_sized([self.width, style::ROW], button);
        let button = button.accessible_name(format!("{}, {text}", self.name));
        let button = button.on_hover_text(&self.hint).on_disabled_hover_text(&self.hint);
        let id = Id::unique(("class list", self.name));
        if button.clicked() {
            let chosen = self.matching(classes, "").iter().position(|class| *class == current).unwrap_or(0);
            let offset = style::ROW * (chosen as f32 - (ROWS / 2) as f32).max(0.0);
            let search = Search { text: String::new(), chosen, offset, by_keyboard: button.has_focus(), fresh: true };
            ui.data_mut(|data| data.insert_temp(id, search));
        }
        let popup = Popup::from_toggle_button_response(&button).width(LIST_WIDTH);
        let popup = popup.close_behavior(PopupCloseBehavior::CloseOnClickOutside).accessible_name(self.name);
        let shown = popup.show(|ui| {
            let mut search: Search = ui.data(|data| data.get_temp(id)).unwrap_or_default();
            let picked = self.list_ui(ui, classes, &mut search, &button);
            ui.data_mut(|data| data.insert_temp(id, search));
            picked
        });
        shown.and_then(|shown| shown.inner)
    }

    fn matching(&self, classes: Classes, text: &str) -> Vec<Option<usize>> {
        let none = (self.may_be_none && "none".starts_with(&text.trim().to_lowercase())).then_some(None);
        none.into_iter().chain(classes.search(text).into_iter().map(Some)).collect()
    }

    fn list_ui(&self, ui: &mut Ui, classes: Classes, search: &mut Search, button: &Response) -> Option<Option<usize>> {
        ui.set_width(LIST_WIDTH);
        // At first the key that opened the list is still down.
        let fresh = std::mem::take(&mut search.fresh);
        let presses =
            |key| if fresh { 0 } else { ui.input_mut(|input| input.count_and_consume_key(Modifiers::NONE, key)) };
        let [up, down, page_up, page_down] =
            [Key::ArrowUp, Key::ArrowDown, Key::PageUp, Key::PageDown].map(|key| presses(key) as isize);
        let [enter, escape] = [Key::Enter, Key::Escape].map(|key| presses(key) > 0);

        let hint = if classes.are_named() { "Name or number" } else { "Number" };
        let field = ui.scope(|ui| {
            style::accent_outline(ui);
            let field = TextEdit::singleline(&mut search.text).hint_text(hint).desired_width(f32::INFINITY);
            ui.add(field.id(Id::unique(("class search", self.name)))).accessible_name("Search classes")
        });
        let field = field.inner;
        let focused = ui.memory(|memory| memory.focused());
        let left = !fresh && focused.is_some_and(|focused| focused != field.id);
        if fresh || focused.is_none() {
            field.request_focus();
        }

        let matching = self.matching(classes, &search.text);
        if field.changed() {
            (search.chosen, search.offset) = (0, 0.0);
        }
        let steps = down - up + (page_down - page_up) * (ROWS as isize - 1);
        search.chosen = search.chosen.saturating_add_signed(steps).min(matching.len().saturating_sub(1));
        if steps != 0 {
            let top = style::ROW * search.chosen as f32;
            search.offset = search.offset.clamp((top - style::ROW * (ROWS - 1) as f32).max(0.0), top);
        }
        let mut picked = matching.get(search.chosen).copied().filter(|_| enter);
        if matching.is_empty() {
            ui.weak("No class has this in its name or number");
        } else {
            let clicked = rows_ui(ui, classes, &matching, search);
            picked = clicked.or(picked);
        }
        if picked.is_some() || escape || left {
            ui.close();
            if search.by_keyboard && !left {
                button.request_focus();
            }
        }
        picked
    }
}

/// The rows in sight; returns the one that was clicked.
fn rows_ui(ui: &mut Ui, classes: Classes, matching: &[Option<usize>], search: &mut Search) -> Option<Option<usize>> {
    ui.spacing_mut().item_spacing.y = 0.0;
    let mut clicked = None;
    let list = ScrollArea::vertical().max_height(style::ROW * ROWS as f32).auto_shrink([false, true]);
    let list = list.vertical_scroll_offset(search.offset);
    let shown = list.show_rows(ui, style::ROW, matching.len(), |ui, rows| {
        for number in rows {
            let Some(&class) = matching.get(number) else { break };
            let text = text_of(classes, class);
            let row = Button::selectable(number == search.chosen, text).truncate();
            if ui.add(row.min_size(vec2(ui.available_width(), style::ROW))).clicked() {
                clicked = Some(class);
            }
        }
    });
    search.offset = shown.state.clamped_offset().y;
    clicked
}

fn text_of(classes: Classes, class: Option<usize>) -> String {
    class.map_or_else(|| "none".to_owned(), |class| classes.label(class))
}
