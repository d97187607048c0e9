//! How much each direction does, as bars.

use egui::accesskit::{Action, Role};
use egui::{Align2, EventFilter, FontId, Key, Rect, Response, Sense, StrokeKind, Ui, pos2, vec2};

use super::style;
use crate::directions::Scores;

/// Bars that there are at most: more would be narrower than a pixel or two.
const BARS: usize = 64;
const HEIGHT: f32 = 36.0;

/// How much a direction does as a share of what the first one does.
pub fn relative(scores: &Scores, index: usize) -> Option<f32> {
    Some((scores.share(index)? / scores.share(0)?.max(f64::MIN_POSITIVE)) as f32)
}

/// One bar for each direction, those of the first `rows` in the accent. The bar that the pointer is at, or that arrow keys
/// went to, says its numbers.
pub fn spectrum_ui(ui: &mut Ui, scores: &Scores, rows: usize) {
    let bars = scores.values().len().min(BARS);
    if bars == 0 {
        return;
    }
    let size = vec2(ui.available_width(), HEIGHT);
    let (area, response) = ui.allocate_exact_size(size, Sense::focusable_noninteractive());
    let inner = area.shrink(4.0);
    let bar = |index: usize| {
        let step = inner.width() / bars as f32;
        let (left, height) =
            (inner.left() + step * index as f32, inner.height() * relative(scores, index).unwrap_or(0.0));
        Rect::from_min_max(
            pos2(left, inner.bottom() - height.max(1.0)),
            pos2(left + (step - 1.0).max(1.0), inner.bottom()),
        )
    };
    let chosen = chosen_bar(ui, &response, bars);
    let summary = summary(scores, rows);
    let colours = style::palette(ui);
    let painter = ui.painter();
    painter.rect_filled(area, style::RADIUS, colours.field);
    for index in 0..bars {
        painter.rect_filled(bar(index), 0.0, if index < rows { colours.accent } else { colours.mark });
    }
    let galley = painter.layout_no_wrap(summary.clone(), FontId::proportional(10.0), colours.text_weak);
    let place = Align2::RIGHT_TOP.anchor_size(inner.right_top(), galley.size());
    // A flat spectrum is high everywhere, also behind the text.
    painter.rect_filled(place.expand(2.0), 2.0, colours.field);
    painter.galley(place.min, galley, colours.text_weak);
    if response.has_focus() {
        painter.rect_stroke(area, style::RADIUS, (1.0, colours.accent), StrokeKind::Inside);
        painter.rect_filled(bar(chosen).expand2(vec2(0.0, 1.0)), 0.0, colours.text_strong);
    }
    describe(ui, &response, scores, rows, chosen);
    let pointed =
        response.hover_pos().map(|pointer| ((pointer.x - inner.left()) / inner.width() * bars as f32) as usize);
    if let Some(facts) = pointed.filter(|&index| index < bars).and_then(|index| facts(scores, index)) {
        response.on_hover_text_at_pointer(facts);
    } else if response.has_focus()
        && let Some(facts) = facts(scores, chosen)
    {
        response.show_tooltip_text(facts);
    }
}

/// "43 % in 10"
fn summary(scores: &Scores, rows: usize) -> String {
    let held: f64 = (0..rows).filter_map(|index| scores.share(index)).sum();
    format!("{:.0} % in {}", 100.0 * held, rows.min(scores.values().len()))
}

fn facts(scores: &Scores, index: usize) -> Option<String> {
    Some(format!("Direction {}\n{}", index + 1, scores.text(index)?))
}

/// The bar that arrow keys and assistive tools went to.
fn chosen_bar(ui: &Ui, response: &Response, bars: usize) -> usize {
    let id = response.id;
    let mut steps = ui.input(|input| {
        input.num_accesskit_action_requests(id, Action::Increment) as isize
            - input.num_accesskit_action_requests(id, Action::Decrement) as isize
    });
    if response.has_focus() {
        let filter = EventFilter { horizontal_arrows: true, ..Default::default() };
        ui.memory_mut(|memory| memory.set_focus_lock_filter(id, filter));
        steps +=
            ui.input(|input| input.num_presses(Key::ArrowRight) as isize - input.num_presses(Key::ArrowLeft) as isize);
    }
    ui.data_mut(|data| {
        let chosen = data.get_temp_mut_or_default::<usize>(id);
        *chosen = chosen.saturating_add_signed(steps).min(bars - 1);
        *chosen
    })
}

/// The numbers as text: of the rows in sight all at once, of others as the keyboard comes to them.
fn describe(ui: &Ui, response: &Response, scores: &Scores, rows: usize, chosen: usize) {
    let all = scores.values().len();
    let name = format!("Spectrum of {all} directions: {}", summary(scores, rows));
    let share =
        |index: usize| scores.share(index).map(|share| format!("direction {} {:.2} %", index + 1, 100.0 * share));
    let shares: Vec<String> = (0..rows).filter_map(share).collect();
    let value = facts(scores, chosen).unwrap_or_default().replace('\n', ", ");
    response.widget_info(|| egui::WidgetInfo::slider(ui.is_enabled(), (chosen + 1) as f64, &name));
    ui.ctx().accesskit_node_builder(response.id, |node| {
        node.set_role(Role::Slider);
        node.set_label(name.as_str());
        node.set_description(shares.join(", "));
        node.set_value(value);
        node.set_min_numeric_value(1.0);
        node.set_max_numeric_value(all.min(BARS) as f64);
        node.add_action(Action::Increment);
        node.add_action(Action::Decrement);
    });
}
