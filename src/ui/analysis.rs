//! What directions mean, measured: where others' lie among those of the list, what they change, how evenly, how far they disturb each
//! other. Every cell leads to the slider of its direction.

use std::sync::Arc;

use egui::{Align, Button, Id, Label, Panel, RichText, ScrollArea, Sense, Ui, vec2};
use serde_json::json;

use super::document::Document;
use super::field::TextField;
use super::matrix::{Cursor, Matrix};
use super::number::{Digits, number_box};
use super::segments::{Segment, segments_ui};
use super::semantics::{title, visible};
use super::strips::edit_at;
use super::style;
use super::tiles::{Tiles, Want};
use crate::analysis::{Alignment, Effect, align, effects, titles_for};
use crate::directions::{DirectionSet, Method};
use crate::edit::{Direction, Edit, LayerSet};
use crate::export::{Cell, Column, HeatMap, Table};
use crate::generator::{Group, ModelInfo};
use crate::pca::Components;
use crate::predictor::{Attribute, PredictorSource};
use crate::tasks::{FindingKind, Findings};
use crate::worker::JobId;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tab {
    #[default]
    Scores,
    Find,
    Alignment,
    Path,
    Entanglement,
}

const TABS: [(Tab, &str, &str); 5] = [
    (Tab::Scores, "Scores", "What directions change of what a predictor says of pictures (Table 2 of the paper)"),
    (Tab::Find, "Find", "Which directions of all groups change an attribute, the strongest and purest first"),
    (Tab::Alignment, "Alignment", "How near other directions are to those of the list (Table 1 of the paper): cosines"),
    (Tab::Path, "Path", "How far and how straight the picture goes from one end of a slider to the other"),
    (
        Tab::Entanglement,
        "Entanglement",
        "How far two moves disturb each other: 0 if each does the same whether the other is there or not",
    ),
];

/// What lies beside the directions of the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reference {
    #[default]
    Own,
    Components,
    Moves,
}

/// Directions that are measured, and columns of a matrix, at most.
const ROWS: usize = 10;
const COLUMNS: usize = 24;
/// Directions of each group that are looked through.
pub const OF_EACH: usize = 10;
/// Steps of a path.
pub const POINTS: usize = 9;
/// Directions that are listed, and the side of their pictures in points.
const FOUND: usize = 30;
const STRIP: f32 = 52.0;
/// Places of a found direction's pictures, in parts of its slider.
const PLACES: [f32; 3] = [-0.66, 0.0, 0.66];

/// The view.
#[derive(Default)]
pub struct AnalysisView {
    pub tab: Tab,
    reference: Reference,
    samples: Option<f32>,
    pub predictor: Option<PredictorSource>,
    attribute: String,
    cursor: Cursor,
    measured: Vec<Measured>,
}

/// One measurement, the last of its kind.
struct Measured {
    tab: Tab,
    /// `None` once it has ended.
    job: Option<JobId>,
    findings: Option<Findings>,
    /// What was measured with what: for reports.
    predictor: Option<PredictorSource>,
}

/// What the view shows of the window's state.
pub struct Shown<'a> {
    pub info: &'a ModelInfo,
    pub set: Option<&'a Arc<DirectionSet>>,
    pub shows_hidden: bool,
    pub document: &'a Document,
    pub components: Option<&'a (Method, Arc<Components>)>,
    /// The model brings a predictor of its own.
    pub is_heads: bool,
}

/// What was asked for.
pub enum Asked {
    Measure(Tab),
    Stop(JobId),
    /// The slider of this direction.
    GoTo(Arc<Direction>),
    ChoosePredictor,
    /// Directions are to be named after what they change.
    Name,
    /// A direction for an attribute is to be learned.
    Learn(String),
}

/// A matrix with what its rows and columns lead to.
struct Linked {
    matrix: Matrix,
    rows: Vec<Arc<Direction>>,
    columns: Vec<Option<Arc<Direction>>>,
}

impl AnalysisView {
    /// Samples that are measured.
    pub fn samples(&self) -> usize {
        let usual = if self.tab == Tab::Entanglement { 3.0 } else { 16.0 };
        self.samples.unwrap_or(usual).round().clamp(2.0, 10_000.0) as usize
    }

    /// Who looks at pictures.
    pub fn source(&self, is_heads: bool) -> PredictorSource {
        let usual = if is_heads { PredictorSource::ToyHeads } else { PredictorSource::Statistics };
        self.predictor.clone().unwrap_or(usual)
    }

    /// A measurement was begun.
    pub fn begin(&mut self, tab: Tab, job: JobId, predictor: Option<PredictorSource>) {
        self.measured.retain(|measured| measured.tab != tab);
        self.measured.push(Measured { tab, job: Some(job), findings: None, predictor });
    }

    /// More is known of one, or all.
    pub fn take(&mut self, job: JobId, findings: Findings, is_done: bool) {
        if let Some(measured) = self.measured.iter_mut().find(|measured| measured.job == Some(job)) {
            measured.findings = Some(findings);
            measured.job = measured.job.filter(|_| !is_done);
        }
    }

    /// One has ended; what is known of it stays.
    pub fn end(&mut self, job: JobId) {
        self.measured.iter_mut().filter(|measured| measured.job == Some(job)).for_each(|measured| measured.job = None);
    }

    /// Another model: nothing is known of it.
    pub fn clear(&mut self) {
        self.measured.clear();
        self.predictor = self.predictor.take().filter(|source| *source != PredictorSource::ToyHeads);
    }

    fn of(&self, tab: Tab) -> Option<&Measured> {
        self.measured.iter().find(|measured| measured.tab == tab)
    }

    fn findings(&self) -> Option<&Findings> {
        self.of(self.tab)?.findings.as_ref()
    }

    /// What was scored, to be named.
    pub fn scored(&self) -> Option<(&Findings, String)> {
        let measured = self.of(Tab::Scores)?;
        let name = match measured.predictor.as_ref()? {
            PredictorSource::File(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            source => source.to_string(),
        };
        Some((measured.findings.as_ref()?, name))
    }

    /// The controls in the bar over the view, from the right.
    pub fn bar_ui(&mut self, ui: &mut Ui) {
        let segments =
            TABS.map(|(tab, text, tooltip)| Segment { text, name: text, tooltip, enabled: true, on: tab == self.tab });
        if let Some(at) = segments_ui(ui, ui.available_width().min(448.0), &segments) {
            (self.tab, self.cursor) = (TABS[at].0, Cursor::default());
        }
    }

    /// The view; fills `ui`.
    pub fn show(&mut self, ui: &mut Ui, shown: &Shown<'_>, tiles: &mut Tiles) -> Option<Asked> {
        let mut asked = None;
        Panel::top("analysis").frame(style::bar_frame()).exact_size(style::ROW + 2.0 * style::GRID).show(ui, |ui| {
            ui.horizontal_centered(|ui| asked = self.settings_ui(ui, shown));
        });
        let area = ui.available_rect_before_wrap().shrink(2.0 * style::GRID);
        let mut child = ui.new_child(egui::UiBuilder::new().max_rect(area));
        let ui = &mut child;
        if self.tab == Tab::Find {
            return asked.or(self.found_ui(ui, shown, tiles));
        }
        match self.table(shown) {
            Ok(Linked { matrix, rows, columns }) => {
                let chosen = matrix.show(ui, &mut self.cursor);
                let direction = chosen.and_then(|(row, column)| {
                    columns.get(column).cloned().flatten().or_else(|| rows.get(row).cloned())
                });
                asked.or(direction.map(Asked::GoTo))
            }
            Err(why) => {
                ui.add(Label::new(RichText::new(why).weak()).wrap());
                asked
            }
        }
    }

    fn settings_ui(&mut self, ui: &mut Ui, shown: &Shown<'_>) -> Option<Asked> {
        let mut asked = None;
        if self.tab == Tab::Alignment {
            self.reference_ui(ui, shown);
            return None;
        }
        let running = self.of(self.tab).and_then(|measured| measured.job);
        match running {
            Some(job) if ui.button("Stop").on_hover_text("What is measured by now stays").clicked() => {
                asked = Some(Asked::Stop(job));
            }
            Some(_) => {}
            None => {
                let can = shown.set.is_some_and(|set| !set.is_empty());
                let hint = "Moves samples along the first ten directions of the list; for Find, of every group";
                if ui.add_enabled(can, Button::new("Measure")).on_hover_text(hint).clicked() {
                    asked = Some(Asked::Measure(self.tab));
                }
            }
        }
        let mut samples = self.samples() as f32;
        if number_box(ui, &mut samples, 0.2, Digits::Plain(0), "Samples that are measured").changed() {
            self.samples = Some(samples);
        }
        ui.weak("samples");
        if matches!(self.tab, Tab::Scores | Tab::Find) {
            asked = self.predictor_ui(ui, shown).or(asked);
        }
        if self.tab == Tab::Find {
            ui.weak("Find");
            let field = TextField { name: "Attribute", hint: "smile", width: 120.0, quiet: false, align: Align::Min };
            if let (_, Some(typed)) = field.show(ui, Id::unique("attribute to find"), &self.attribute) {
                self.attribute = typed;
            }
            let hint =
                "Learns a direction along which the attribute rises, from 1000 samples; it is kept among your own";
            let can = !self.attribute.trim().is_empty();
            if ui.add_enabled(can, Button::new("Learn it")).on_hover_text(hint).clicked() {
                asked = Some(Asked::Learn(self.attribute.clone()));
            }
        }
        let has_scores = self.findings().is_some();
        if self.tab == Tab::Scores {
            let hint = "Names these directions in the library after what they change, as measured; names of yours stay";
            if ui.add_enabled(has_scores, Button::new("Name them")).on_hover_text(hint).clicked() {
                asked = Some(Asked::Name);
            }
        }
        if let Some(findings) = self.findings().filter(|_| self.tab != Tab::Find) {
            ui.weak(format!("{} samples measured", findings.samples));
        }
        asked
    }

    fn predictor_ui(&mut self, ui: &mut Ui, shown: &Shown<'_>) -> Option<Asked> {
        let present = self.source(shown.is_heads);
        let file = match &present {
            PredictorSource::File(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            _ => "File…".into(),
        };
        let is_file = matches!(present, PredictorSource::File(_));
        let segment = |text, tooltip, enabled, on| Segment { text, name: text, tooltip, enabled, on };
        let segments = [
            segment(
                "Statistics",
                "Lightness, saturation, hue and the like: needs no network",
                true,
                present == PredictorSource::Statistics,
            ),
            segment(
                "Heads",
                "The network that comes with the built-in heads",
                shown.is_heads,
                present == PredictorSource::ToyHeads,
            ),
            segment(&file, "An ONNX network of yours that looks at pictures", true, is_file),
        ];
        match segments_ui(ui, 240.0, &segments) {
            Some(0) => self.predictor = Some(PredictorSource::Statistics),
            Some(1) => self.predictor = Some(PredictorSource::ToyHeads),
            Some(_) => return Some(Asked::ChoosePredictor),
            None => {}
        }
        None
    }

    fn reference_ui(&mut self, ui: &mut Ui, shown: &Shown<'_>) {
        let choices = [
            (
                Reference::Own,
                "Own",
                "Directions of other tools, and those that were learned",
                shown.document.own_directions().next().is_some(),
            ),
            (
                Reference::Components,
                "PCA",
                "Principal components of codes; choose PCA in Semantics once to find them",
                shown.components.is_some(),
            ),
            (Reference::Moves, "Moves", "The moves of the edit", !shown.document.edit.moves.is_empty()),
        ];
        let segments = choices.map(|(reference, text, tooltip, enabled)| Segment {
            text,
            name: text,
            tooltip,
            enabled,
            on: reference == self.reference,
        });
        if let Some(at) = segments_ui(ui, 180.0, &segments) {
            self.reference = choices[at].0;
        }
        ui.weak("beside the directions of the list: cosines, 1 or -1 where both are one");
    }

    /// What the present tab shows, or why it shows nothing.
    fn table(&self, shown: &Shown<'_>) -> Result<Linked, String> {
        if self.tab == Tab::Alignment {
            return self.aligned(shown);
        }
        let Some(findings) = self.findings() else {
            return Err("Measure moves samples along the first directions of the list, and tells what changes.".into());
        };
        let rows: Vec<Arc<Direction>> = findings.moves.iter().map(|(direction, _)| direction.clone()).collect();
        let names: Vec<String> = rows.iter().map(|direction| title(shown.document, direction)).collect();
        let (columns, leads, values, largest, what) = match &findings.kind {
            FindingKind::Path(curves) => {
                let steps = curves.first().map_or(0, |curve| curve.changes.len());
                let heads = ["length", "straight"].map(str::to_owned).into_iter();
                let heads = heads.chain((1..=steps).map(|step| format!("step {step}"))).collect::<Vec<_>>();
                let values = curves.iter().flat_map(|curve| {
                    let changes = curve.changes.iter().map(|change| change.mean);
                    [curve.length.mean, curve.straightness.mean].into_iter().chain(changes)
                });
                let leads = vec![None; heads.len()];
                (heads, leads, values.collect::<Vec<f64>>(), 1.0, "")
            }
            FindingKind::Entanglement(found) => {
                let values = (0..rows.len() * rows.len())
                    .map(|at| found.of(at / rows.len(), at % rows.len()).unwrap_or(f64::NAN));
                let leads = rows.iter().cloned().map(Some).collect();
                (names.clone(), leads, values.collect(), 1.0, "entanglement")
            }
            FindingKind::Influence(_) => return Err("Measured in Semantics.".into()),
            FindingKind::Scores { attributes, changes } => {
                let chosen =
                    strongest(attributes.len(), rows.len(), |row, at| changes[row * attributes.len() + at].mean);
                let heads = chosen.iter().map(|&at| attributes[at].name.clone()).collect::<Vec<_>>();
                let values = (0..rows.len())
                    .flat_map(|row| chosen.iter().map(move |&at| changes[row * attributes.len() + at].mean));
                let values: Vec<f64> = values.collect();
                let largest = values.iter().filter(|x| x.is_finite()).fold(0.1, |most: f64, x| most.max(x.abs()));
                let leads = vec![None; heads.len()];
                (heads, leads, values, largest, "standard deviations")
            }
        };
        let values = values.into_iter().map(|x| Some(x).filter(|x| x.is_finite())).collect();
        Ok(Linked { matrix: Matrix { rows: names, columns, values, largest, what }, rows, columns: leads })
    }

    fn aligned(&self, shown: &Shown<'_>) -> Result<Linked, String> {
        let Some(set) = shown.set.filter(|set| !set.is_empty()) else {
            return Err("The list has no directions.".into());
        };
        let of_components: DirectionSet;
        let references: Vec<Arc<Direction>> = match (self.reference, shown.components) {
            (Reference::Own, _) => shown.document.own_directions().take(COLUMNS).cloned().collect(),
            (Reference::Moves, _) => shown.document.edit.moves.iter().map(|step| step.direction.clone()).collect(),
            (Reference::Components, Some((Method::Pca { samples, seed }, components))) => {
                of_components = DirectionSet::of_components(components, *samples, *seed, set.layers.clone());
                of_components.directions.iter().take(ROWS).cloned().collect()
            }
            (Reference::Components, _) => Vec::new(),
        };
        if references.is_empty() {
            return Err(
                "There is nothing to compare with: drop a file of directions onto the window, choose PCA in Semantics \
                        once, or move something."
                    .into(),
            );
        }
        let places: Vec<usize> = visible(shown.document, set, shown.shows_hidden).into_iter().take(COLUMNS).collect();
        let found: Vec<Alignment> = references.iter().map(|reference| align(reference, set)).collect();
        let values = found.iter().flat_map(|found| places.iter().map(|&place| found.cosines[place])).collect();
        let columns = places.iter().map(|place| (place + 1).to_string()).collect();
        let rows = references.iter().zip(&found).map(|(reference, found)| match found.nearest {
            Some(nearest) => format!("{}, nearest {}", title(shown.document, reference), nearest + 1),
            None => title(shown.document, reference),
        });
        let matrix = Matrix { rows: rows.collect(), columns, values, largest: 1.0, what: "cosine" };
        let leads = places.iter().map(|&place| Some(set.directions[place].clone())).collect();
        Ok(Linked { matrix, rows: references, columns: leads })
    }

    /// The directions that change what is looked for, each with its pictures.
    fn found_ui(&mut self, ui: &mut Ui, shown: &Shown<'_>, tiles: &mut Tiles) -> Option<Asked> {
        let Some((moves, attributes, changes)) = self.findings().and_then(|findings| match &findings.kind {
            FindingKind::Scores { attributes, changes } => Some((&findings.moves, attributes, changes)),
            _ => None,
        }) else {
            ui.add(
                Label::new(
                    RichText::new(
                        "Measure looks through the first ten directions of every group; then type what to find.",
                    )
                    .weak(),
                )
                .wrap(),
            );
            return None;
        };
        let titles = match titles_for(attributes, &self.attribute) {
            Ok(titles) => titles,
            Err(error) => {
                ui.add(Label::new(RichText::new(error.to_string()).weak()).wrap());
                return None;
            }
        };
        let found = found(moves, attributes, |at, of| changes[at * attributes.len() + of].mean, &titles);
        let mut asked = None;
        ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
            for (direction, effect) in found.into_iter().take(FOUND) {
                asked = asked.take().or(found_row_ui(ui, shown, direction, &effect, tiles));
            }
        });
        asked
    }

    /// What is shown, as a table for files.
    pub fn report(&self, info: &ModelInfo, shown: &Shown<'_>) -> Option<(Table, HeatMap)> {
        let Linked { matrix, rows, .. } = self.table(shown).ok()?;
        let heads = [("layers", "layers"), ("direction", "direction")].map(|(key, text)| Column::new(key, text));
        let columns = heads.into_iter().chain(matrix.columns.iter().map(|name| Column::new(name, name))).collect();
        let width = matrix.columns.len();
        let row = |(at, direction): (usize, &Arc<Direction>)| {
            let values = matrix.values[at * width..][..width].iter().map(|&value| Cell::from(value));
            let heads = [Cell::Text(direction.layers.to_string()), Cell::Text(matrix.rows[at].clone())];
            heads.into_iter().chain(values).collect()
        };
        let measured = self.of(self.tab);
        let parameters = vec![
            ("model", json!(info.name)),
            ("identity", json!(info.identity)),
            ("table", json!(TABS.iter().find(|(tab, ..)| *tab == self.tab).map(|(_, name, _)| name))),
            (
                "samples",
                json!(measured.and_then(|measured| measured.findings.as_ref()).map(|findings| findings.samples)),
            ),
            ("psi", json!(shown.document.edit.truncation.psi)),
            (
                "steps",
                json!(self.findings().map(|findings| findings.moves.iter().map(|(_, step)| *step).collect::<Vec<_>>())),
            ),
            ("predictor", json!(measured.and_then(|measured| measured.predictor.as_ref()).map(ToString::to_string))),
        ];
        let table = Table { parameters, columns, rows: rows.iter().enumerate().map(row).collect() };
        let heat = HeatMap {
            title: format!("{}, {}", matrix.what, info.name),
            rows: matrix.rows,
            columns: matrix.columns,
            values: matrix.values,
            largest: matrix.largest,
        };
        Some((table, heat))
    }
}

/// Samples that are measured: of the seeds from 0 on, as the document truncates.
pub fn samples(info: &ModelInfo, edit: &Edit, count: usize) -> Vec<Edit> {
    let of = |seed| Edit { truncation: edit.truncation, ..info.start(seed) };
    (0..count as u64).map(of).collect()
}

/// The first directions of the list.
pub fn first(shown: &Shown<'_>) -> Vec<Arc<Direction>> {
    let Some(set) = shown.set else { return Vec::new() };
    let places = visible(shown.document, set, shown.shows_hidden).into_iter().take(ROWS);
    places.map(|place| set.directions[place].clone()).collect()
}

/// Groups that are looked through.
pub fn groups(info: &ModelInfo) -> Vec<LayerSet> {
    let mut groups: Vec<LayerSet> = Vec::new();
    for layers in
        [Group::Bottom, Group::Middle, Group::Top, Group::All].into_iter().filter_map(|group| info.group(group))
    {
        if !groups.contains(&layers) {
            groups.push(layers);
        }
    }
    groups
}

/// The attributes that some direction changes most, in their own order.
fn strongest(attributes: usize, rows: usize, change: impl Fn(usize, usize) -> f64) -> Vec<usize> {
    let largest = |at: &usize| {
        let changes = (0..rows).map(|row| change(row, *at).abs()).filter(|change| change.is_finite());
        changes.fold(-1.0, f64::max)
    };
    let mut all: Vec<usize> = (0..attributes).filter(|at| largest(at) >= 0.0).collect();
    all.sort_by(|a, b| largest(b).total_cmp(&largest(a)));
    all.truncate(COLUMNS);
    all.sort_unstable();
    all
}

/// What directions do to what is looked for, the strongest and purest first.
fn found<'a>(
    moves: &'a [(Arc<Direction>, f32)],
    attributes: &[Attribute],
    change: impl Fn(usize, usize) -> f64,
    titles: &[&str],
) -> Vec<(&'a Arc<Direction>, Effect)> {
    let mut found = Vec::new();
    for (at, (direction, distance)) in moves.iter().enumerate() {
        let changes: Vec<f64> = (0..attributes.len()).map(|of| change(at, of) / f64::from(*distance)).collect();
        let meant = effects(attributes, &changes).into_iter().filter(|effect| titles.contains(&effect.title.as_str()));
        found.extend(meant.map(|effect| (direction, effect)));
    }
    found.sort_by(|a, b| b.1.rank().total_cmp(&a.1.rank()));
    found
}

/// A direction that was found: its pictures, its name, what it changes.
fn found_row_ui(
    ui: &mut Ui,
    shown: &Shown<'_>,
    direction: &Arc<Direction>,
    effect: &Effect,
    tiles: &mut Tiles,
) -> Option<Asked> {
    let name = title(shown.document, direction);
    let range = shown.document.range_of(direction, shown.info);
    let mut asked = None;
    ui.horizontal(|ui| {
        for (n, place) in PLACES.iter().enumerate() {
            let proportion = shown.info.size.width as f32 / shown.info.size.height as f32;
            let size = vec2(STRIP * proportion.min(1.0), STRIP / proportion.max(1.0));
            let (rect, response) = ui.allocate_exact_size(size, Sense::click());
            if ui.is_rect_visible(rect) {
                let edit = edit_at(&shown.document.edit, direction, place * range);
                let side = (STRIP * ui.pixels_per_point()).round() as usize;
                let id = Id::unique(("found", &direction.layers, &name, n));
                let tile = tiles.show(id, Want { edit, side, urgency: rect.top(), live: false });
                tiles.paint(ui, rect, tile.as_ref(), true);
            }
            if response.clicked() {
                asked = Some(Asked::GoTo(direction.clone()));
            }
        }
        ui.vertical(|ui| {
            let button = Button::new(format!("{name}, layers {}", direction.layers)).frame_when_inactive(false);
            if ui.add(button).on_hover_text("Goes to its slider").clicked() {
                asked = Some(Asked::GoTo(direction.clone()));
            }
            let [plus, minus] = &effect.ends;
            let ends = if plus.is_empty() { String::new() } else { format!(" · + {plus} · − {minus}") };
            let text = format!(
                "{} {:+.2} per unit, {:.0} % of all it changes{ends}",
                effect.title,
                effect.change,
                100.0 * effect.share
            );
            ui.add(Label::new(RichText::new(text).weak()).truncate());
        });
    });
    asked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::{Origin, Vectors};

    #[test]
    fn the_attributes_that_change_most_are_shown_in_their_own_order() {
        let changes = [[0.1, -0.9, f64::NAN, 0.3], [0.2, 0.0, f64::NAN, -0.1]];
        assert_eq!(strongest(4, 2, |row, at| changes[row][at]), [0, 1, 3]);
        let many = strongest(100, 1, |_, at| at as f64);
        assert_eq!((many.len(), many[0]), (COLUMNS, 100 - COLUMNS));
    }

    #[test]
    fn directions_are_found_by_how_purely_they_change_something() {
        let direction = |x: f32| {
            let vectors = Vectors::One(vec![x]);
            Arc::new(Direction { layers: LayerSet::range(0, 0), vectors, origin: Origin::Mixed })
        };
        let moves = [(direction(1.0), 2.0), (direction(2.0), 1.0), (direction(3.0), 1.0)];
        let attributes = ["smile", "age"].map(Attribute::named);
        let changes = [[2.0, 2.0], [0.9, 0.1], [0.0, 3.0]];
        let found = found(&moves, &attributes, |at, of| changes[at][of], &["smile"]);
        let order: Vec<f64> = found.iter().map(|(_, effect)| effect.change).collect();
        assert_eq!(order, [0.9, 1.0, 0.0], "the purer one before the stronger");
    }
}
