//! Fields for numbers: dragged, or typed into. A number changes only when it is edited.

use egui::accesskit::{Action, ActionData};
use egui::text::{CCursor, CCursorRange};
use egui::{
    Align2, Atom, Button, Color32, CursorIcon, Id, Key, Modifiers, Response, Sense, TextEdit, TextStyle, TextWrapMode,
    Ui, WidgetInfo, vec2,
};

use super::style;

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digits {
    /// With its sign and one or two decimals: a distance along a direction.
    Signed,
    Plain(usize),
    /// At most so many decimals, no needless zeros.
    AtMost(usize),
    /// A whole number; this one and above are written "all".
    UpTo(usize),
}

impl Digits {
    fn write(self, value: f32) -> String {
        match self {
            Digits::Signed => signed(value),
            Digits::Plain(decimals) => format!("{value:.decimals$}"),
            Digits::AtMost(decimals) => without_needless_zeros(&format!("{value:.decimals$}")).to_owned(),
            Digits::UpTo(all) if value >= all as f32 => "all".to_owned(),
            Digits::UpTo(_) => format!("{value:.0}"),
        }
    }

    /// The same with ever fewer digits, at last as a power of ten: "+1234567.5", "+1234568", "+1.235e6" ... "+1e6".
    fn ever_shorter(self, value: f32) -> impl Iterator<Item = String> {
        let sign = move |text: String| match self {
            Digits::Signed if value > 0.0 => format!("+{text}"),
            Digits::Signed => text.replacen('-', "−", 1),
            _ => text,
        };
        let powers = (0..=3).rev().map(move |digits| {
            let text = format!("{value:.digits$e}");
            let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
            format!("{}e{power}", without_needless_zeros(mantissa))
        });
        let rounded = [format!("{value:.1}"), format!("{value:.0}")];
        std::iter::once(self.write(value)).chain(rounded.into_iter().chain(powers).map(sign))
    }
}

fn without_needless_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// A distance as text: "+1.4", "−0.25", "0.0".
pub fn signed(value: f32) -> String {
    let tenths = (value * 10.0).round() / 10.0;
    let text = if (value - tenths).abs() < 1e-4 { format!("{value:+.1}") } else { format!("{value:+.2}") };
    if value == 0.0 { "0.0".to_owned() } else { text.replace('-', "−") }
}

/// The number that a text stands for, if it is a finite one of 32 bits.
fn finite(text: &str) -> Option<f32> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).map(|c| if c == '−' { '-' } else { c }).collect();
    text.parse().ok().filter(|value: &f32| value.is_finite())
}

/// Typing under way.
#[derive(Clone, Default)]
struct Typing {
    text: String,
    /// What it began with. If something else changes the number meanwhile, what was typed is about another one.
    value: f32,
}

/// A field that is quiet until it is pointed at, as wide as the column of numbers.
pub fn number(ui: &mut Ui, value: &mut f32, speed: f32, digits: Digits, name: &str) -> Response {
    ui.scope(|ui| {
        ui.visuals_mut().widgets.inactive.weak_bg_fill = Color32::TRANSPARENT;
        ui.spacing_mut().button_padding = vec2(style::GRID, 2.0);
        number_ui(ui, value, speed, digits, name)
    })
    .inner
}

/// The same with the looks of a field, for dialogs.
pub fn number_box(ui: &mut Ui, value: &mut f32, speed: f32, digits: Digits, name: &str) -> Response {
    ui.scope(|ui| number_ui(ui, value, speed, digits, name)).inner
}

/// `speed` is the change for every point that it is dragged, and for a step of the arrow keys up and down.
fn number_ui(ui: &mut Ui, value: &mut f32, speed: f32, digits: Digits, name: &str) -> Response {
    let (id, before) = (ui.next_auto_id(), *value);
    follow_assistive_tools(ui, id, value, speed);
    // A field that the keyboard comes to in this frame is already typed into.
    let typing = ui.is_enabled()
        && ui.memory_mut(|memory| {
            memory.interested_in_focus(id, ui.layer_id());
            memory.has_focus(id)
        });
    let mut response = if typing {
        type_ui(ui, id, value, speed)
    } else {
        if let Some(typed) = ui.data_mut(|data| data.remove_temp::<Typing>(id)) {
            commit(ui, &typed, value);
        }
        drag_ui(ui, id, value, speed, digits)
    };
    if *value != before {
        response.mark_changed();
    }
    response.widget_info(|| WidgetInfo::drag_value(ui.is_enabled(), f64::from(*value)));
    ui.ctx().accesskit_node_builder(id, |node| {
        node.set_label(name);
        node.set_numeric_value_step(f64::from(speed));
        for action in [Action::SetValue, Action::Increment, Action::Decrement] {
            node.add_action(action);
        }
        if !typing {
            node.set_value(digits.write(*value));
        }
    });
    response
}

fn follow_assistive_tools(ui: &Ui, id: Id, value: &mut f32, speed: f32) {
    ui.input(|input| {
        for request in input.accesskit_action_requests(id, Action::SetValue) {
            if let Some(ActionData::NumericValue(asked)) = request.data {
                set(value, asked as f32);
            }
        }
        let steps = input.num_accesskit_action_requests(id, Action::Increment) as f32
            - input.num_accesskit_action_requests(id, Action::Decrement) as f32;
        step(value, steps, speed);
    });
}

/// What is no finite number leaves the old one.
fn set(value: &mut f32, new: f32) {
    if new.is_finite() {
        *value = new;
    }
}

fn step(value: &mut f32, steps: f32, speed: f32) {
    if steps != 0.0 {
        set(value, rounded(f64::from(*value) + f64::from(steps * speed), speed));
    }
}

/// To as many decimals as `speed` has.
fn rounded(value: f64, speed: f32) -> f32 {
    // In 32 bits, 0.01 is a little less than that.
    let decimals = (-f64::from(speed).log10() - 1e-3).ceil().max(0.0);
    let scale = 10.0_f64.powf(decimals);
    ((value * scale).round() / scale) as f32
}

/// Shows all digits of the number, so that it is what it was after the keyboard passed through.
fn type_ui(ui: &mut Ui, id: Id, value: &mut f32, speed: f32) -> Response {
    let steps = ui.input_mut(|input| {
        let mut presses = |key| input.count_and_consume_key(Modifiers::NONE, key) as f32;
        presses(Key::ArrowUp) - presses(Key::ArrowDown)
    });
    step(value, steps, speed);
    let typed = ui.data_mut(|data| data.remove_temp::<Typing>(id)).filter(|typed| typed.value == *value);
    let fresh = typed.is_none();
    let mut typed = typed.unwrap_or_else(|| Typing { text: value.to_string(), value: *value });
    style::accent_outline(ui);
    let edit = TextEdit::singleline(&mut typed.text)
        .id(id)
        .clip_text(true)
        .desired_width(0.0)
        .align(Align2::RIGHT_CENTER)
        .min_size(vec2(style::VALUE_COLUMN, style::ROW - 2.0))
        .char_limit(60);
    let response = ui.add(edit);
    if fresh {
        select_all(ui, id, &typed.text);
    }
    if ui.memory(|memory| memory.has_focus(id)) {
        ui.data_mut(|data| data.insert_temp(id, typed));
    } else {
        commit(ui, &typed, value);
    }
    response
}

/// The keyboard has left: what was typed counts, unless Escape took it back.
fn commit(ui: &Ui, typed: &Typing, value: &mut f32) {
    let taken_back = ui.input(|input| input.key_pressed(Key::Escape));
    if let (false, Some(new)) = (taken_back || typed.value != *value, finite(&typed.text)) {
        *value = new;
    }
}

fn drag_ui(ui: &mut Ui, id: Id, value: &mut f32, speed: f32, digits: Digits) -> Response {
    let button = Button::new((Atom::grow(), text_that_fits(ui, digits, *value)))
        .sense(Sense::click_and_drag())
        .gap(0.0)
        .wrap_mode(TextWrapMode::Extend)
        .min_size(vec2(style::VALUE_COLUMN, style::ROW - 2.0));
    let response = ui.add(button).on_hover_cursor(CursorIcon::ResizeHorizontal);
    if response.clicked() {
        response.request_focus();
    }
    if !response.dragged() {
        ui.data_mut(|data| data.remove::<f64>(id));
        return response;
    }
    ui.set_cursor_icon(CursorIcon::ResizeHorizontal);
    let motion = response.drag_delta();
    let points = f64::from(motion.x - motion.y);
    if points != 0.0 {
        let speed = if ui.input(|input| input.modifiers.shift) { speed * 0.1 } else { speed };
        // What is shown is rounded; slow drags add up all the same.
        let precise = ui.data(|data| data.get_temp::<f64>(id)).unwrap_or(f64::from(*value)) + points * f64::from(speed);
        ui.data_mut(|data| data.insert_temp(id, precise));
        set(value, rounded(precise, speed));
    }
    response
}

/// The most digits that leave the field as wide as it is, so that no number, however large, takes room from its neighbours.
fn text_that_fits(ui: &Ui, digits: Digits, value: f32) -> String {
    let room = style::VALUE_COLUMN - 2.0 * ui.spacing().button_padding.x;
    let font = TextStyle::Button.resolve(ui.style());
    let width = |text: &str| ui.painter().layout_no_wrap(text.to_owned(), font.clone(), Color32::PLACEHOLDER).size().x;
    let mut shortest = String::new();
    for text in digits.ever_shorter(value) {
        shortest = text;
        if width(&shortest) <= room {
            break;
        }
    }
    shortest
}

/// Selects a whole text, so that typing replaces it.
pub fn select_all(ui: &Ui, id: Id, text: &str) {
    let mut state = TextEdit::load_state(ui.ctx(), id).unwrap_or_default();
    let range = CCursorRange::two(CCursor::new(0), CCursor::new(text.chars().count()));
    state.cursor.set_char_range(Some(range));
    TextEdit::store_state(ui.ctx(), id, state);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_have_a_sign_and_no_needless_digits() {
        assert_eq!([signed(1.4), signed(-0.25), signed(0.0), signed(12.0)], ["+1.4", "−0.25", "0.0", "+12.0"]);
        assert_eq!([0.2, 3.0, -4.375].map(|value| Digits::AtMost(2).write(value)), ["0.2", "3", "-4.38"]);
    }

    #[test]
    fn numbers_become_shorter_and_stay_themselves() {
        let texts = |digits: Digits, value| digits.ever_shorter(value).collect::<Vec<_>>();
        assert_eq!(
            texts(Digits::Signed, -123_456.79),
            ["−123456.79", "−123456.8", "−123457", "−1.235e5", "−1.23e5", "−1.2e5", "−1e5"]
        );
        assert_eq!(texts(Digits::Plain(2), 1e6)[1..4], ["1000000.0", "1000000", "1e6"]);
        for digits in [Digits::Signed, Digits::Plain(2), Digits::AtMost(2), Digits::UpTo(12)] {
            for value in [f32::MAX, f32::MIN, 1e6, -98_765_432.0] {
                let shortest = texts(digits, value).pop().unwrap();
                assert!(shortest.chars().count() <= 6 || shortest == "all", "{shortest}");
            }
        }
    }

    #[test]
    fn what_is_typed_is_a_finite_number_or_nothing() {
        for value in [0.1, -1.0e-7, 0.123_456_79, f32::MAX, f32::MIN_POSITIVE, 16_777_217.0] {
            assert_eq!(finite(&value.to_string()), Some(value));
        }
        assert_eq!(finite(" −1 000.5 "), Some(-1000.5));
        for text in ["nan", "inf", "-infinity", "1e39", "", "1,5", "all"] {
            assert_eq!(finite(text), None, "{text:?}");
        }
    }

    #[test]
    fn steps_have_as_many_decimals_as_their_size() {
        assert_eq!([0.02, 0.01, 0.1, 1.0].map(|speed| rounded(1.23456, speed)), [1.23, 1.23, 1.2, 1.0]);
    }
}
