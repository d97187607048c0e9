//! The directions of the chosen layers, one slider each.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use egui::accesskit::Live;
use egui::{Align, Id, Rect, Ui, vec2};

use super::command::Command;
use super::document::{Document, Selection, angle};
use super::field::TextField;
use super::influence::influence_ui;
use super::known::{about_ui, menu_ui};
use super::layers::layers_ui;
use super::messages::read_out;
use super::number::{Digits, number, signed};
use super::segments::{Segment, segments_ui};
use super::slider::Slider;
use super::spectrum::{relative, spectrum_ui};
use super::strips::{self, Thumbnails};
use super::style;
use crate::analysis::{TypicalSet, alone};
use crate::directions::{DirectionSet, Method};
use crate::edit::{Direction, Weighting};
use crate::failure::Failure;
use crate::generator::ModelInfo;
use crate::progress::Progress;
use crate::worker::JobId;

/// Directions shown at first, and added by each "more directions".
pub const PAGE: usize = 10;

/// What the panel shows, as far as the rest of the window has to know it.
pub struct ShownDirections {
    pub selection: Selection,
    /// Number of rows.
    pub rows: usize,
    /// The directions, once there are any; until new ones arrive these are the old ones.
    pub set: Option<Arc<DirectionSet>>,
    /// The directions are those of an earlier selection, and have been for a noticeable time.
    pub stale: bool,
    /// Why the selected directions could not be found. Taken away, they are looked for again.
    pub failure: Option<Failure>,
    /// How far the search for the selected directions is, where it takes long.
    pub search: Option<Progress>,
    /// Rows that the user hid are shown too.
    pub shows_hidden: bool,
    /// A direction whose slider is to be gone to, once it is there.
    pub revealed: Option<Arc<Direction>>,
    pub typical: TypicalEnds,
    /// The direction whose slider was touched last.
    pub touched: Option<Arc<Direction>>,
    pub influence: Option<Influence>,
}

/// Through which layers a direction acts.
pub struct Influence {
    pub job: JobId,
    pub direction: Arc<Direction>,
    /// Layers and their shares, 0..=1; empty until they are known.
    pub shares: Vec<(usize, f64)>,
}

/// How far each direction stays typical of the model.
pub struct TypicalEnds {
    /// When the model was opened.
    pub since: Instant,
    /// The task that finds it out.
    pub job: Option<JobId>,
    pub set: Option<Arc<TypicalSet>>,
    /// Of directions that were shown.
    ends: HashMap<*const Direction, (Arc<Direction>, [f32; 2])>,
}

impl Default for TypicalEnds {
    fn default() -> Self {
        TypicalEnds { since: Instant::now(), job: None, set: None, ends: HashMap::new() }
    }
}

impl TypicalEnds {
    /// The values at which the marks of a slider lie.
    fn of(&mut self, direction: &Arc<Direction>) -> [f32; 2] {
        let Some(set) = &self.set else { return [f32::NEG_INFINITY, f32::INFINITY] };
        let known = self.ends.entry(Arc::as_ptr(direction));
        known.or_insert_with(|| (direction.clone(), set.ends(direction))).1
    }
}

impl ShownDirections {
    /// Goes to the slider of a direction, in whichever group it is.
    pub fn reveal(&mut self, direction: &Arc<Direction>) {
        self.selection.go_to(direction);
        self.revealed = Some(direction.clone());
    }

    /// The place of the direction that is to be gone to, if it is in the list; rows down to it are shown from now on.
    fn take_revealed(&mut self, set: &DirectionSet) -> Option<usize> {
        if !self.is_current() {
            return None;
        }
        let direction = self.revealed.take()?;
        let place = set.directions.iter().position(|other| other.is_same_place(&direction))?;
        self.rows = self.rows.max(place + 1);
        Some(place)
    }

    /// True if the directions are those that are selected.
    pub fn is_current(&self) -> bool {
        self.set.as_ref().is_some_and(|set| Selection::of(set) == self.selection)
    }
}

/// The panel. Returns true if a slider was dragged.
pub fn semantics_ui(
    ui: &mut Ui,
    info: &ModelInfo,
    shown: &mut ShownDirections,
    document: &mut Document,
    thumbnails: &mut Thumbnails<'_>,
    commands: &mut Vec<Command>,
) -> bool {
    style::section(ui, "Semantics");
    method_ui(ui, &mut shown.selection.method, document.own_directions().next().is_some());
    layers_ui(ui, info, &mut shown.selection.layers);
    if let Some(layer) = shown.influence.as_ref().and_then(|influence| influence_ui(ui, info, influence, document)) {
        restrict(shown, document, layer);
    }
    if let Some(failure) = &shown.failure {
        if failure_ui(ui, failure) {
            shown.failure = None;
        }
        ui.with_layout(egui::Layout::bottom_up(Align::Min), |ui| footer_ui(ui, shown, document, commands));
        return false;
    }
    if let Some(search) = &shown.search {
        search_ui(ui, search);
        ui.with_layout(egui::Layout::bottom_up(Align::Min), |ui| footer_ui(ui, shown, document, commands));
        return false;
    }
    let Some(set) = shown.set.clone() else { return false };
    let revealed = shown.take_revealed(&set);
    let mut dragged = false;
    ui.scope(|ui| {
        // Old directions may still be moved (they are what the list says), but look old.
        if shown.stale {
            ui.multiply_opacity(0.5);
        }
        spectrum_ui(ui, &set.scores, shown.rows);
        let footer = style::ROW + style::GRID * 2.0;
        let height = (ui.available_height() - footer).max(style::ROW);
        let scroll = egui::ScrollArea::vertical().id_salt("directions").max_height(height).auto_shrink([false, true]);
        scroll.show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 0.0;
            let hidden = hidden(document, &set);
            if set.is_empty() {
                ui.weak("None in these layers. Drop a file of directions onto the window to take them in.");
            }
            for index in visible(document, &set, shown.shows_hidden).into_iter().take(shown.rows) {
                let row = {
                    let ends = shown.typical.of(&set.directions[index]);
                    ui.push_id(index, |ui| direction_ui(ui, info, &set, index, ends, document)).inner
                };
                dragged |= row.is_dragged;
                if row.is_dragged || row.is_focused {
                    shown.touched = Some(set.directions[index].clone());
                }
                if revealed == Some(index) {
                    ui.scroll_to_rect(row.rect, Some(Align::Center));
                    ui.memory_mut(|memory| memory.request_focus(row.slider));
                }
                let strip =
                    ui.push_id(index, |ui| strip_ui(ui, info, &set.directions[index], &row, document, thumbnails));
                if let Some(value) = strip.inner {
                    document.set(&set.directions[index], value);
                }
            }
            ui.add_space(style::GRID);
            let visible = if shown.shows_hidden { set.len() } else { set.len() - hidden.len() };
            more_ui(ui, shown, visible, hidden.len());
        });
    });
    ui.with_layout(egui::Layout::bottom_up(Align::Min), |ui| footer_ui(ui, shown, document, commands));
    dragged
}

/// Has the direction of the bars act in one layer alone; its move goes on as far as it is.
fn restrict(shown: &ShownDirections, document: &mut Document, layer: usize) {
    let Some(Influence { direction, .. }) = &shown.influence else { return };
    let Some(alone) = alone(direction, layer) else { return };
    let value = document.edit.along(direction).map_or(direction.customary_range(1.0), |step| step.value);
    let name = format!("{}, layer {layer}", document.called(direction));
    document.reset(direction);
    document.edit.set_along(&alone, value).name = name;
}

/// How directions are found.
fn method_ui(ui: &mut Ui, method: &mut Method, has_own: bool) {
    let is_pca = matches!(method, Method::Pca { .. });
    let is_own = *method == Method::Own;
    let is_sefa = !is_pca && !is_own;
    let segment = |text, name, tooltip, on| Segment { text, name, tooltip, enabled: true, on };
    let sefa = "Eigenvectors of the weights: at once, whatever the samples are";
    let pca = "Principal components of codes that are drawn (GANSpace), the same for all layers. A slider counts standard deviations";
    let own =
        "Directions of other tools, in those of their layers that are chosen: drop a file of them onto the window";
    let segments = [
        segment("SeFa", "Directions by SeFa", sefa, is_sefa),
        segment("PCA", "Directions by PCA", pca, is_pca),
        Segment { enabled: has_own || is_own, ..segment("Own", "Own directions", own, is_own) },
    ];
    match segments_ui(ui, ui.available_width(), &segments) {
        Some(0) if !is_sefa => *method = Method::default(),
        Some(1) if !is_pca => *method = Method::PCA,
        Some(2) => *method = Method::Own,
        _ => {}
    }
}

/// In place of directions: how far the search for them is.
fn search_ui(ui: &mut Ui, search: &Progress) {
    ui.add_space(style::GRID);
    let label = ui.label("Principal components: codes are drawn and mapped.");
    read_out(&label, Live::Polite);
    let share = search.done as f32 / search.total.max(1) as f32;
    ui.add(egui::ProgressBar::new(share).desired_height(6.0));
    ui.weak("Sliders of moves go on; Cancel is in the bar at the bottom.");
}

/// In place of directions: why there are none. The old ones would move other layers than those that are selected. Returns
/// true if it is to be tried again.
fn failure_ui(ui: &mut Ui, failure: &Failure) -> bool {
    ui.add_space(style::GRID);
    ui.colored_label(style::palette(ui).error, "These directions cannot be found.");
    for text in std::iter::once(&failure.headline).chain(&failure.causes) {
        ui.add(egui::Label::new(text).wrap().selectable(true));
    }
    ui.add_space(style::GRID);
    ui.button("Try again").clicked()
}

/// Which directions of a set the user hid.
fn hidden(document: &Document, set: &DirectionSet) -> BTreeSet<usize> {
    let subjects: Vec<_> = document.library.entries().filter(|entry| entry.knowledge.hidden).collect();
    let is_hidden = |index: &usize| subjects.iter().any(|entry| entry.subject.is(&set.directions[*index]));
    if subjects.is_empty() { BTreeSet::new() } else { (0..set.len()).filter(is_hidden).collect() }
}

/// The directions of a set that are shown, by their places in it.
pub fn visible(document: &Document, set: &DirectionSet, shows_hidden: bool) -> Vec<usize> {
    let hidden = hidden(document, set);
    (0..set.len()).filter(|index| shows_hidden || !hidden.contains(index)).collect()
}

/// Below the list: more rows, fewer, and those that were hidden.
fn more_ui(ui: &mut Ui, shown: &mut ShownDirections, all: usize, hidden: usize) {
    ui.horizontal(|ui| {
        let rows = shown.rows.min(all);
        if rows < all {
            let text = format!("More directions ({rows} of {all})");
            if ui.add(egui::Button::new(text).frame_when_inactive(false)).clicked() {
                shown.rows = rows + PAGE;
            }
        }
        if rows > PAGE && ui.add(egui::Button::new("Fewer").frame_when_inactive(false)).clicked() {
            shown.rows = PAGE;
        }
        if hidden > 0 {
            let text =
                if shown.shows_hidden { format!("Hide {hidden} again") } else { format!("{hidden} hidden, show") };
            let button = ui.add(egui::Button::new(text).frame_when_inactive(false));
            if button.on_hover_text("Rows are hidden and shown by the menu of their number").clicked() {
                shown.shows_hidden = !shown.shows_hidden;
            }
        }
    });
}

fn footer_ui(ui: &mut Ui, shown: &mut ShownDirections, document: &Document, commands: &mut Vec<Command>) {
    ui.horizontal(|ui| {
        match &mut shown.selection.method {
            Method::Sefa { weighting } => weighting_ui(ui, weighting),
            Method::Pca { samples, seed } => _ = ui.weak(format!("{samples} codes of seed {seed}")),
            Method::Own => _ = ui.weak("from other tools"),
        }
        ui.with_layout(egui::Layout::right_to_left(Align::Center), |ui| {
            let any = !document.edit.is_bare();
            let button = ui.add_enabled(any, egui::Button::new("Reset all")).accessible_name("Reset all directions");
            if button.on_hover_text(Command::ResetMoves.hint(ui.ctx())).clicked() {
                commands.push(Command::ResetMoves);
            }
        });
    });
}

fn weighting_ui(ui: &mut Ui, weighting: &mut Weighting) {
    let mut normalised = *weighting == Weighting::RowNormalised;
    let switch = ui.checkbox(&mut normalised, "Row-normalised");
    let hint = "On: every row of the style weights counts the same, as in the paper.\nOff: rows count as they are stored, as in rosinality's variant.";
    if switch.on_hover_text(hint).changed() {
        *weighting = if normalised { Weighting::RowNormalised } else { Weighting::Raw };
    }
}

/// What a row was used for.
struct RowUse {
    rect: Rect,
    slider: Id,
    is_dragged: bool,
    /// Its slider has the keyboard.
    is_focused: bool,
}

/// The thumbnails of a row, if they are to be seen. Returns the value of one that was clicked.
fn strip_ui(
    ui: &mut Ui,
    info: &ModelInfo,
    direction: &Arc<Direction>,
    used: &RowUse,
    document: &Document,
    thumbnails: &mut Thumbnails<'_>,
) -> Option<f32> {
    let title = capitalised(&title(document, direction));
    let range = document.range_of(direction, info);
    let (id, rect) = (ui.scope_id(), used.rect);
    let row = strips::Row { id, rect, is_focused: used.is_focused, direction, title: &title, range };
    thumbnails.row_ui(ui, &row, &document.edit)
}

/// What a direction is called, with its name if it has one: "direction 3, smile".
pub fn title(document: &Document, direction: &Direction) -> String {
    let (called, name) = (direction.origin.to_string(), document.name_of(direction));
    if name.is_empty() || name == called { called } else { format!("{called}, {name}") }
}

/// `ends`: where it stops being typical.
fn direction_ui(
    ui: &mut Ui,
    info: &ModelInfo,
    set: &DirectionSet,
    index: usize,
    ends: [f32; 2],
    document: &mut Document,
) -> RowUse {
    let direction = &set.directions[index];
    let along = document.edit.along(direction);
    let muted = along.is_some_and(|along| !along.enabled);
    let mut value = along.map_or(0.0, |along| along.value);
    let name = document.name_of(direction).to_owned();
    let known = document.known(direction).clone();
    let range = document.range_of(direction, info);
    let called = direction.origin.to_string();
    let title = title(document, direction);
    let label = capitalised(&title);

    let row = Rect::from_min_size(ui.cursor().min, vec2(ui.available_width(), style::ROW));
    let colours = style::palette(ui);
    if let Some(share) = relative(&set.scores, index) {
        let bar = Rect::from_min_size(row.min, vec2(row.width() * share, row.height())).shrink2(vec2(0.0, 1.0));
        ui.painter().rect_filled(bar, 2.0, colours.share);
    }

    let mut used = RowUse { rect: row, slider: ui.scope_id(), is_dragged: false, is_focused: false };
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = style::GRID;
        if known.hidden {
            ui.multiply_opacity(0.5);
        }
        let about = about_ui(ui, index + 1, &title, known.star, known.hidden);
        let about = about.on_hover_ui(|ui| facts_ui(ui, set, index, document));

        let name_width = ((ui.available_width() - style::VALUE_COLUMN) * 0.38).round();
        let hint = if name.is_empty() { "unnamed" } else { "" };
        let field_name = format!("Name of {called}");
        let field = TextField { name: &field_name, hint, width: name_width, quiet: true, align: Align::Min };
        let field_id = Id::unique(("direction name", &set.layers, &set.method, index));
        let (response, typed) = field.show(ui, field_id, &name);
        let mut asked = response.secondary_clicked();
        response.on_hover_ui(|ui| facts_ui(ui, set, index, document));
        if let Some(typed) = typed {
            document.rename(direction, typed.trim());
        }

        let before = value;
        let width = ui.available_width() - style::VALUE_COLUMN - style::GRID;
        if muted {
            ui.multiply_opacity(0.5);
        }
        let slider = Slider::new(&mut value, -range..=range, &label).marks(ends).show(ui, width);
        asked |= slider.response.secondary_clicked();
        (used.slider, used.is_dragged) = (slider.response.id, slider.response.dragged());
        used.is_focused = slider.response.has_focus();
        slider.response.on_hover_ui(|ui| {
            facts_ui(ui, set, index, document);
            ends_ui(ui, ends);
        });
        let typed = number(ui, &mut value, 0.02, Digits::Signed, &format!("Value of {called}"));
        let typed_zero = typed.changed() && value == 0.0 && !typed.dragged();
        typed.on_hover_text("Drag, or click to type any value");
        if slider.reset || typed_zero {
            document.reset(direction);
        } else if value != before {
            document.set(direction, value);
        }
        menu_ui(&about, asked, &title, document, direction, direction.customary_range(info.slider_range));
    });
    used
}

pub fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Up to where it stays typical, once that is known.
fn ends_ui(ui: &mut Ui, [back, forth]: [f32; 2]) {
    if back.is_finite() && forth.is_finite() {
        let text = format!("Typical of the model from {} to {}", signed(back), signed(forth));
        ui.label(text);
    }
}

/// Exact score, share, and angles to the other moves that act on some of the same layers.
fn facts_ui(ui: &mut Ui, set: &DirectionSet, index: usize, document: &Document) {
    let Some(direction) = set.directions.get(index) else { return };
    ui.strong(format!("{} of {}", capitalised(&direction.origin.to_string()), set.len()));
    if let Some(facts) = set.scores.text(index) {
        ui.label(facts);
    }
    let others = document.edit.moves.iter().filter(|step| step.is_active() && !step.is_along(direction));
    for step in others {
        if let Some(angle) = angle(direction, &step.direction) {
            let called = document.called(&step.direction);
            ui.label(format!("{angle:.0}° to {called} ({})", step.direction.layers));
        }
    }
    let keys = "Wheel or arrow keys step; Shift fine, Ctrl coarse.\nDouble-click or Delete resets.";
    ui.label(egui::RichText::new(keys).size(style::SMALL_TEXT).weak());
}
