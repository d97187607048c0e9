//! Measurements in the window: begun, taken in, named after, written.

use std::path::PathBuf;
use std::sync::Arc;

use egui::Context;

use super::analysis::{Asked, OF_EACH, POINTS, Shown, Tab, first, groups, samples};
use super::app::App;
use super::dialogs::Ask;
use super::exchange::FileEvent;
use super::looks::Look;
use super::messages::About;
use super::semantics::Influence;
use crate::analysis::{Learned, effects, meaning};
use crate::edit::{Direction, LayerSet, Origin, Vectors};
use crate::export::{ExportError, TableFormat};
use crate::failure::Failure;
use crate::files;
use crate::library::{MAX_NAME, Measured};
use crate::progress::Progress;
use crate::render::{Example, Source};
use crate::tasks::{FindingKind, Findings, Learning, Lesson, Measuring, Moves, Scored};
use crate::worker::JobId;

/// Samples that a direction is learned from.
const LEARNED_FROM: usize = 1000;

impl App {
    pub(super) fn analysis_ui(&mut self, ui: &mut egui::Ui) {
        let Some(model) = &self.model else { return };
        let (info, set) = (model.info.clone(), model.directions.set.clone());
        let shown = Shown {
            info: &info,
            set: set.as_ref(),
            shows_hidden: model.directions.shows_hidden,
            document: &self.document,
            components: model.components.found.as_ref(),
            is_heads: model.source == Source::Example(Example::ToyHeads),
        };
        let asked = self.looks.analysis.show(ui, &shown, &mut self.tiles);
        if let Some(asked) = asked {
            self.do_analysis(asked, ui.ctx());
        }
    }

    fn do_analysis(&mut self, asked: Asked, ctx: &Context) {
        match asked {
            Asked::Measure(tab) => self.measure(tab),
            Asked::Stop(job) => self.background.cancel(job),
            Asked::GoTo(direction) => {
                if let Some(model) = &mut self.model {
                    model.directions.reveal(&direction);
                }
            }
            Asked::ChoosePredictor => self.ask(Ask::Predictor, ctx),
            Asked::Name => self.name_scored(),
            Asked::Learn(attribute) => {
                let Some(model) = &self.model else { return };
                let source = self.looks.analysis.source(model.source == Source::Example(Example::ToyHeads));
                let samples = samples(&model.info, &self.document.edit, LEARNED_FROM);
                self.learn(Lesson::Scores { samples, source, attribute });
            }
        }
    }

    fn measure(&mut self, tab: Tab) {
        let Some(model) = &self.model else { return };
        let (id, info, set) = (model.id, model.info.clone(), model.directions.set.clone());
        let is_heads = model.source == Source::Example(Example::ToyHeads);
        let shown = Shown {
            info: &info,
            set: set.as_ref(),
            shows_hidden: model.directions.shows_hidden,
            document: &self.document,
            components: None,
            is_heads,
        };
        let view = &self.looks.analysis;
        let (samples, source) = (samples(&info, &self.document.edit, view.samples()), view.source(is_heads));
        let moves = |part: f32| -> Moves {
            let distance = |direction: &Direction| self.document.range_of(direction, &info) * part;
            first(&shown).into_iter().map(|direction| (direction.clone(), distance(&direction))).collect()
        };
        let task = match tab {
            Tab::Scores => Measuring::scores(samples, Scored::Moves(moves(1.0 / 3.0)), source.clone()),
            Tab::Find => Measuring::scores(samples, Scored::First(OF_EACH, groups(&info)), source.clone()),
            Tab::Path => Measuring::path(samples, moves(1.0), POINTS),
            Tab::Entanglement => Measuring::entanglement(samples, moves(1.0 / 3.0)),
            Tab::Alignment => return,
        };
        let predictor = matches!(tab, Tab::Scores | Tab::Find).then_some(source);
        let job = self.run_with(id, task);
        self.looks.analysis.begin(tab, job, predictor);
    }

    pub(super) fn learn(&mut self, lesson: Lesson) {
        self.run(Learning::new(lesson));
    }

    /// A direction that was learned goes into the library, and its slider is shown.
    pub(super) fn learned(&mut self, name: String, learned: &Learned, ctx: &Context) {
        let Some(model) = &mut self.model else { return };
        let layers = LayerSet::range(0, model.info.num_layers - 1);
        let origin = Origin::Learned { name: name.clone() };
        let direction = Arc::new(Direction { layers, vectors: Vectors::One(learned.vector.clone()), origin });
        if model.info.check_direction(&direction).is_err() {
            // Of a model that is closed.
            return;
        }
        self.history.settle(&self.document);
        self.document.learn(&direction, |known| known.name.clone_from(&name));
        model.directions.reveal(&direction);
        self.say(About::Learned(name, learned.held_out), ctx);
    }

    pub(super) fn measured(&mut self, job: JobId, progress: Progress, findings: Findings) {
        self.progressed(job, progress);
        self.looks.analysis.take(job, findings, false);
    }

    pub(super) fn measured_all(&mut self, job: JobId, findings: Findings) {
        let influence = self.model.as_mut().and_then(|model| model.directions.influence.as_mut());
        match (influence.filter(|influence| influence.job == job), &findings.kind) {
            (Some(influence), FindingKind::Influence(shares)) => influence.shares.clone_from(shares),
            _ => self.looks.analysis.take(job, findings, true),
        }
    }

    /// The direction whose slider was touched last, or else the first of the list.
    fn touched(&self) -> Option<Arc<Direction>> {
        let shown = &self.model.as_ref()?.directions;
        let first = || shown.set.as_ref()?.directions.first().cloned();
        shown.touched.clone().or_else(first)
    }

    /// Shows through which layers that direction acts, or hides it.
    pub(super) fn show_layers(&mut self) {
        let Some(direction) = self.touched() else { return };
        let Some(model) = &mut self.model else { return };
        if model.directions.influence.take().is_some_and(|influence| Arc::ptr_eq(&influence.direction, &direction)) {
            return;
        }
        let (id, distance) = (model.id, self.document.range_of(&direction, &model.info) / 3.0);
        let sample = self.document.edit.clone();
        let job = self.run_with(id, Measuring::influence(sample, direction.clone(), distance));
        if let Some(model) = &mut self.model {
            model.directions.influence = Some(Influence { job, direction, shares: Vec::new() });
        }
    }

    /// Shows where that direction acts: the difference that it makes to the present picture, as heat.
    pub(super) fn show_where(&mut self) {
        let Some(direction) = self.touched() else { return };
        let Some(model) = &mut self.model else { return };
        let distance = self.document.range_of(&direction, &model.info) / 3.0;
        let mut moved = self.document.edit.clone();
        let before = moved.along(&direction).map_or(0.0, |step| step.value);
        moved.set_along(&direction, before + distance).enabled = true;
        model.reference = Some(moved);
        self.looks.compare.show_difference();
        self.looks.look = Look::Compare;
    }

    /// Directions that were scored get names in the library, as measured.
    fn name_scored(&mut self) {
        let Some((Findings { moves, kind: FindingKind::Scores { attributes, changes }, .. }, predictor)) =
            self.looks.analysis.scored()
        else {
            return;
        };
        let of = |at: usize, distance: f32| -> Vec<f64> {
            let row = &changes[at * attributes.len()..][..attributes.len()];
            row.iter().map(|change| change.mean / f64::from(distance)).collect()
        };
        let named: Vec<_> = moves
            .iter()
            .enumerate()
            .map(|(at, (direction, distance))| {
                let measured = meaning(&effects(attributes, &of(at, *distance))).map(|meaning| Measured {
                    name: meaning.name.chars().take(MAX_NAME).collect(),
                    purity: meaning.purity,
                    change: meaning.change,
                    plus: meaning.ends[0].clone(),
                    minus: meaning.ends[1].clone(),
                    predictor: predictor.clone(),
                });
                (direction.clone(), measured)
            })
            .collect();
        for (direction, measured) in named {
            self.document.learn(&direction, |known| known.measured = measured);
        }
    }

    /// Writes what the view shows: a picture, or a table by the ending of the name.
    pub(super) fn export_analysis(&mut self, path: PathBuf, ctx: &Context) {
        let Some(model) = &self.model else { return };
        let (info, set) = (model.info.clone(), model.directions.set.clone());
        let shown = Shown {
            info: &info,
            set: set.as_ref(),
            shows_hidden: model.directions.shows_hidden,
            document: &self.document,
            components: model.components.found.as_ref(),
            is_heads: false,
        };
        let Some((table, heat)) = self.looks.analysis.report(&info, &shown) else {
            self.notices.failure = Some(Failure::new("This view has nothing to export yet: measure first"));
            return;
        };
        self.on_thread(ctx, move || {
            let written = match TableFormat::of(&path) {
                Some(format) => files::write_bytes(&path, table.text(format).as_bytes()).map_err(ExportError::from),
                None => heat.write(&path),
            };
            match written {
                Ok(()) => FileEvent::Written(path),
                Err(error) => FileEvent::Failed(Failure::of(&error)),
            }
        });
    }
}
