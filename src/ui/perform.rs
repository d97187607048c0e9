//! What commands do, and how models and edits are opened.

use std::hash::{BuildHasher, Hasher};
use std::path::PathBuf;

use egui::{Context, Vec2, ViewportCommand};

use super::app::App;
use super::asking::Asking;
use super::command::Command;
use super::dialogs::Ask;
use super::document::{Document, History};
use super::exchange::FileEvent;
use super::importing;
use super::keeping::Place;
use super::looks::Look;
use super::messages::{About, show_folder};
use super::palette::Palette;
use super::reading::FormAnswer;
use super::running::Purpose;
use super::samples::seed_kind;
use super::sweep::SweepDialog;
use super::titles::kept_title;
use super::waiting::{EditFrom, WaitingEdit};
use crate::edit::{Code, NoiseMode, Sample, Seed};
use crate::failure::Failure;
use crate::files::{self, Doubt};
use crate::generator::ModelInfo;
use crate::gpu::Precision;
use crate::invert::Photo;
use crate::layout::{ChannelOrder, Upsampling};
use crate::project::{self, Project, ProjectError};
use crate::render::{Source, ViewId};

impl App {
    /// Opens a model, a saved edit, or an exported picture; or takes in directions of the open model.
    pub(super) fn open(&mut self, source: Source, ctx: &Context) {
        match source {
            Source::File(path) if self.model.is_some() && importing::may_hold_directions(&path) => {
                self.read_directions(path, None, ctx);
            }
            Source::File(path) if project::is_edit(&path) => self.read_project(path, ctx),
            Source::File(path) if Photo::is_named(&path) => self.read_photo(path, ctx),
            source => self.start_opening(source, None, Purpose::Begin),
        }
    }

    /// Opens the present model again, read in another way; what was chosen is remembered for that model.
    pub(super) fn reread_as(&mut self, answer: FormAnswer) {
        let Some(model) = &self.model else { return };
        let (source, identity) = (model.source.clone(), model.info.identity.clone());
        match answer {
            FormAnswer::Forget => {
                self.preferences.recipes.remove(&identity);
                self.start_opening(source, None, Purpose::Again { recipe_of: None });
            }
            FormAnswer::Read(recipe) => {
                self.preferences.recipes.insert(identity.clone(), (*recipe).clone());
                self.start_opening(source, Some(recipe), Purpose::Again { recipe_of: Some(identity) });
            }
        }
    }

    /// Does small file work on a thread; the answer comes as a [`FileEvent`].
    pub(super) fn on_thread(&self, ctx: &Context, work: impl FnOnce() -> FileEvent + Send + 'static) {
        let (sender, ctx) = (self.files.0.clone(), ctx.clone());
        std::thread::spawn(move || {
            // A closed window no longer listens.
            let _ = sender.send(work());
            ctx.request_repaint();
        });
    }

    pub(super) fn read_project(&mut self, path: PathBuf, ctx: &Context) {
        // The next start may be in another folder.
        let path = std::path::absolute(&path).unwrap_or(path);
        self.on_thread(ctx, move || match Project::load(&path) {
            Ok(project) => {
                let doubt = Source::from(project.model.source.clone()).file().and_then(files::doubt);
                let modified = path.metadata().and_then(|facts| facts.modified()).ok();
                let is_picture = project::is_picture(&path);
                let from = EditFrom::File { path, is_picture, modified };
                FileEvent::Project(Box::new(WaitingEdit { project, from }), doubt)
            }
            // A picture without an edit is a photo.
            Err(ProjectError::NoEdit { .. }) => match Photo::read(&path) {
                Ok(photo) => FileEvent::Photo(path, Box::new(photo)),
                Err(error) => FileEvent::Failed(Failure::of(&error)),
            },
            Err(error) => FileEvent::Failed(Failure::of(&error)),
        });
    }

    /// An edit was read from a file, whose model may lie where one does not go unasked.
    pub(super) fn open_project(&mut self, waiting: WaitingEdit, doubt: Option<Doubt>, ctx: &Context) {
        if let EditFrom::File { path, .. } = &waiting.from {
            self.preferences.set_folder(path.parent().map(Into::into));
        }
        match doubt.filter(|_| !self.is_open(&waiting.project)) {
            Some(doubt) => self.asking.push(Asking::Elsewhere { waiting: Box::new(waiting), doubt }),
            None => self.open_edit(waiting, ctx),
        }
    }

    fn is_open(&self, project: &Project) -> bool {
        self.model().is_some_and(|info| info.identity == project.model.identity)
    }

    /// Uses an edit with the open model, or opens its model first.
    pub(super) fn open_edit(&mut self, waiting: WaitingEdit, ctx: &Context) {
        let open = self.model.as_ref().map(|model| model.info.clone());
        match open.filter(|_| self.is_open(&waiting.project)) {
            Some(info) => {
                let recipe = waiting.project.model.recipe.clone();
                self.adopt(waiting, &info, ctx);
                if let Some(recipe) = recipe.filter(|recipe| info.recipe.as_ref() != Some(recipe)) {
                    self.reread_as(FormAnswer::Read(recipe.into()));
                }
                ctx.request_repaint();
            }
            None => {
                let source = Source::from(waiting.project.model.source.clone());
                self.waiting = Some(waiting);
                self.start_opening(source, None, Purpose::Begin);
            }
        }
    }

    /// Makes an edit the present document, if it fits the model.
    pub(super) fn adopt(&mut self, waiting: WaitingEdit, info: &ModelInfo, ctx: &Context) {
        if let Err(problem) = check(&waiting.project, info) {
            let headline = format!("The edit {} does not fit the model {}", waiting.from, info.name);
            self.notices.failure = Some(Failure { headline, causes: vec![problem] });
            return;
        }
        self.notices.failure = None;
        self.leave_document(ctx);
        let names = waiting.project.names.over(&info.direction_names);
        let Project { edit, shelf, .. } = waiting.project;
        let document = Document { edit, names, shelf, library: self.document.library.clone() };
        if let (Some(model), Some(first)) = (&mut self.model, document.edit.moves.first()) {
            model.directions.selection.go_to(&first.direction);
        }
        self.history = History::new(&document);
        match waiting.from {
            EditFrom::File { path, is_picture, modified } => {
                let path = Some(path).filter(|_| !is_picture);
                let saved = Some(document.clone());
                self.begin_document(document, Place { path, saved, modified });
            }
            EditFrom::Session(kept) => self.resume_document(document, *kept),
        }
    }

    /// Commands that would do nothing now, or must not.
    pub(super) fn is_pointless(&self, command: Command) -> bool {
        let reopens = matches!(command, Command::SwapChannels | Command::Bilinear);
        if reopens && !self.work.openings.is_empty() {
            // It would take the place of the model that is on its way.
            return true;
        }
        if command == Command::ShowLog {
            return self.log.is_none();
        }
        let Some(model) = &self.model else {
            return !matches!(
                command,
                Command::Open
                    | Command::OpenExample(_)
                    | Command::Quit
                    | Command::HalfPrecision
                    | Command::ToggleTheme
                    | Command::Palette
                    | Command::Shortcuts
                    | Command::Cancel
            );
        };
        let edit = &self.document.edit;
        match command {
            Command::Undo => !self.history.can_undo(&self.document),
            Command::Redo => !self.history.can_redo(&self.document),
            Command::Reading => model.info.recipe.is_none(),
            Command::MixStyle => !model.info.mixes_styles(),
            Command::ResetMoves => edit.is_bare(),
            Command::ExportSweep => edit.moves.is_empty(),
            Command::ExportShelf => self.document.shelf.is_empty(),
            Command::RerollNoise => !model.info.has_noise || edit.noise.mode != NoiseMode::Random,
            Command::Select(group) => model.info.group(group).is_none(),
            Command::ClearComparison => model.reference.is_none(),
            Command::PreviousFrame | Command::NextFrame => self.player.is_none(),
            Command::ExportView => matches!(self.looks.look, Look::Picture | Look::Photo),
            Command::ShowLayers | Command::ShowWhere => model.directions.set.is_none(),
            Command::MarkUp | Command::MarkDown => self.looks.look != Look::Samples,
            Command::FindPhoto => self.looks.photo.open.is_none(),
            Command::FindAfresh => self.looks.photo.open.as_ref().is_none_or(|open| open.running().is_some()),
            Command::FindOn => self.looks.photo.goes_on_from().is_none(),
            Command::SwapCompared => self.comparison_edit().as_ref() == Some(edit),
            Command::SwapChannels => model.info.channels < 3 || model.source.file().is_none(),
            Command::Bilinear => model.info.upsampling.is_none() || model.source.file().is_none(),
            Command::Cancel => self.running().next().is_none(),
            _ => false,
        }
    }

    /// Whether a command that is a switch is on; `None` for other commands. What is so counts, not what was asked for.
    pub(super) fn is_on(&self, command: Command) -> Option<bool> {
        let info = self.model();
        match command {
            Command::Shelf => Some(self.preferences.shelf),
            Command::Strips => Some(self.preferences.strips),
            Command::HalfPrecision => Some(self.device.precision == Precision::F16),
            Command::SwapChannels => Some(info.is_some_and(|info| info.channel_order == ChannelOrder::Bgr)),
            Command::Bilinear => Some(info.is_some_and(|info| info.upsampling == Some(Upsampling::Bilinear))),
            _ => None,
        }
    }

    /// Opens the present model again with something said of its file; the edit stays.
    fn read_as(&mut self, key: &'static str, text: String) {
        let Some(source) = self.model.as_ref().map(|model| model.source.clone().told([(key, text)])) else { return };
        self.start_opening(source, None, Purpose::Again { recipe_of: None });
    }

    pub(super) fn perform(&mut self, command: Command, ctx: &Context) {
        if self.is_pointless(command) {
            return;
        }
        match command {
            Command::Open => self.ask(Ask::Open, ctx),
            Command::OpenExample(example) => self.open(Source::Example(example), ctx),
            Command::SaveEdit => self.save_edit(ctx),
            Command::SaveEditAs => self.ask(Ask::SaveEdit, ctx),
            Command::Export => self.ask(Ask::Export, ctx),
            Command::ExportView => self.ask(Ask::View(self.looks.look), ctx),
            Command::ExportSweep => {
                let range = self.model().map_or(1.0, |info| info.slider_range);
                self.overlays.sweep = SweepDialog::new(&self.document.edit, range);
            }
            Command::ExportShelf => self.ask(Ask::ShelfFolder, ctx),
            Command::Quit => ctx.send_viewport_cmd(ViewportCommand::Close),
            Command::Undo => self.history.undo(&mut self.document),
            Command::Redo => self.history.redo(&mut self.document),
            Command::PreviousSeed => self.step_seed(false),
            Command::NextSeed => self.step_seed(true),
            Command::RandomSeed => self.draw_seed(),
            Command::RerollNoise => self.document.edit.noise.seed = draw(),
            Command::MixStyle => self.mix_style(),
            Command::ResetMoves => self.document.edit.clear(),
            Command::Keep => self.keep(self.edit_in_view().clone()),
            Command::OpenPhoto => self.ask(Ask::Photo, ctx),
            Command::ShowLayers => self.show_layers(),
            Command::ShowWhere => self.show_where(),
            Command::MarkUp => self.looks.samples.mark(&self.document.edit, true),
            Command::MarkDown => self.looks.samples.mark(&self.document.edit, false),
            Command::FindPhoto => self.find_or_stop(),
            Command::FindOn => self.search(false, true),
            Command::FindAfresh => self.search(true, false),
            Command::Play => self.play(ctx),
            Command::PreviousFrame | Command::NextFrame => {
                if let Some(player) = &mut self.player {
                    player.step(if command == Command::NextFrame { 1 } else { -1 });
                }
            }
            Command::ExportMotion => self.ask_for_film(Ask::Film, ctx),
            Command::ExportFrames => self.ask_for_film(Ask::FrameFolder, ctx),
            Command::CopyPicture => {
                if let Some(surface) = self.views.surface(ViewId::PICTURE) {
                    surface.copy(ctx, self.picture_pipeline.as_ref());
                }
            }
            Command::Select(group) => {
                if let Some(model) = &mut self.model
                    && let Some(layers) = model.info.group(group)
                {
                    model.directions.selection.layers = layers;
                }
            }
            Command::Look(look) => {
                self.looks.look = look;
                self.player = self.player.take().filter(|_| look == Look::Picture);
            }
            Command::Fit => self.placement.fit(),
            Command::ActualSize => self.placement.actual_size(),
            Command::ZoomIn => self.placement.zoom_by(1.0, Vec2::ZERO),
            Command::ZoomOut => self.placement.zoom_by(-1.0, Vec2::ZERO),
            Command::SetComparison => self.set_reference(true),
            Command::ClearComparison => self.set_reference(false),
            Command::SwapCompared => {
                if let Some(other) = self.comparison_edit() {
                    self.set_reference(true);
                    self.document.edit = other;
                }
            }
            Command::Shelf => self.preferences.shelf = !self.preferences.shelf,
            Command::Strips => self.preferences.strips = !self.preferences.strips,
            Command::HidePanels => self.panels_hidden = !self.panels_hidden,
            Command::HalfPrecision => {
                let before = self.preferences.precision;
                let other = if before == Precision::F16 { Precision::F32 } else { Precision::F16 };
                self.store_in(other, before);
            }
            Command::SwapChannels => {
                let order = if self.is_on(command) == Some(true) { ChannelOrder::Rgb } else { ChannelOrder::Bgr };
                self.read_as("channel_order", order.to_string());
            }
            Command::Bilinear => {
                let upsampling = if self.is_on(command) == Some(true) { Upsampling::Fir } else { Upsampling::Bilinear };
                self.read_as("upsampling", upsampling.to_string());
            }
            Command::ToggleTheme => {
                let dark = ctx.theme() == egui::Theme::Dark;
                self.preferences.theme = if dark { egui::ThemePreference::Light } else { egui::ThemePreference::Dark };
                ctx.set_theme(self.preferences.theme);
            }
            Command::Palette => self.overlays.palette = Some(Palette::default()),
            Command::Shortcuts => self.overlays.shortcuts = !self.overlays.shortcuts,
            Command::Reading => self.overlays.reading = !self.overlays.reading,
            Command::ShowLog => {
                if let Some(log) = self.log.clone() {
                    show_folder(ctx, &log);
                    self.say(About::Log(log), ctx);
                }
            }
            Command::Cancel => {
                if let Some(running) = self.running().next() {
                    self.background.cancel(running.job);
                }
            }
        }
        ctx.request_repaint();
    }

    /// Another sample, whose code comes from this seed.
    pub(super) fn take_sample(&mut self, seed: Option<u64>) {
        if let (Some(model), Some(number)) = (&self.model, seed) {
            let kind = seed_kind(&self.document.edit, &model.info);
            self.document.edit.sample.code = Code::Seed(Seed { number, kind });
        }
    }

    fn step_seed(&mut self, up: bool) {
        if let Code::Seed(seed) = &mut self.document.edit.sample.code {
            *seed = seed.step(up);
        }
    }

    fn draw_seed(&mut self) {
        self.take_sample(Some(draw()));
    }

    /// Takes the codes of the selected layers from a random seed.
    fn mix_style(&mut self) {
        let Some(model) = &self.model else { return };
        let seed = Seed { number: draw(), kind: seed_kind(&self.document.edit, &model.info) };
        let other = Sample { code: Code::Seed(seed), ..Sample::default() };
        self.document.edit.sample.take_style(&model.directions.selection.layers, &other);
    }

    fn set_reference(&mut self, pinned: bool) {
        if let Some(model) = &mut self.model {
            model.reference = pinned.then(|| self.document.edit.clone());
        }
    }
}

/// Why a project does not fit a model, if it does not.
fn check(project: &Project, info: &ModelInfo) -> Result<(), String> {
    info.check(&project.edit)?;
    let mut kept = project.shelf.iter().enumerate();
    kept.try_for_each(|(at, kept)| {
        info.check(&kept.edit).map_err(|problem| format!("{}: {problem}", kept_title(at, kept)))
    })
}

/// A fresh number of at most six digits: enough seeds to look at, few enough digits to remember.
pub(super) fn draw() -> u64 {
    std::collections::hash_map::RandomState::new().build_hasher().finish() % 1_000_000
}
