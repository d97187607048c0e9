//! What commands do, and how files are opened and written.

use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};

use egui::{Context, Vec2, ViewportCommand};

use super::app::{App, FileEvent, WaitingEdit};
use super::command::Command;
use super::dialogs::{Answer, Ask, Question};
use super::document::Document;
use super::open::PathPrompt;
use super::palette::Palette;
use super::reading::FormAnswer;
use super::running::Purpose;
use super::sweep::SweepDialog;
use crate::edit::{Code, NoiseMode, Seed, SeedKind};
use crate::failure::Failure;
use crate::generator::ModelInfo;
use crate::gpu::Precision;
use crate::layout::{ChannelOrder, Upsampling};
use crate::project::{self, Project};
use crate::render::{Source, ViewId};
use crate::tasks::Export;

impl App {
    /// Opens a model, a saved edit, or an exported picture.
    pub(super) fn open(&mut self, source: Source, ctx: &Context) {
        match source {
            Source::File(path) if project::is_edit(&path) => self.read_project(path, ctx),
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
    fn on_thread(&self, ctx: &Context, work: impl FnOnce() -> FileEvent + Send + 'static) {
        let (sender, ctx) = (self.files.0.clone(), ctx.clone());
        std::thread::spawn(move || {
            // A closed window no longer listens.
            let _ = sender.send(work());
            ctx.request_repaint();
        });
    }

    fn read_project(&mut self, path: PathBuf, ctx: &Context) {
        self.on_thread(ctx, move || match Project::load(&path) {
            Ok(project) => FileEvent::Project(path, Box::new(project)),
            Err(error) => FileEvent::Failed(Failure::of(&error)),
        });
    }

    /// An edit was read: use it with the open model, or open its model first.
    pub(super) fn open_project(&mut self, path: PathBuf, project: Project, ctx: &Context) {
        self.preferences.folder = path.parent().map(Into::into);
        match self.model.as_ref().map(|model| model.info.clone()) {
            Some(info) if info.identity == project.model.identity => {
                self.history.settle(&self.document);
                let recipe = project.model.recipe.clone();
                self.adopt(&path, project, &info);
                if let Some(recipe) = recipe.filter(|recipe| info.recipe.as_ref() != Some(recipe)) {
                    self.reread_as(FormAnswer::Read(recipe.into()));
                }
                ctx.request_repaint();
            }
            _ => {
                let source = Source::from(project.model.source.clone());
                self.waiting = Some(WaitingEdit { path, project });
                self.start_opening(source, None, Purpose::Begin);
            }
        }
    }

    /// Makes a project's edit the present one, if it fits the model.
    pub(super) fn adopt(&mut self, path: &Path, project: Project, info: &ModelInfo) {
        match info.check(&project.edit) {
            Ok(()) => {
                self.failure = None;
                self.document = Document { edit: project.edit, names: project.names };
                if let (Some(model), Some(first)) = (&mut self.model, self.document.edit.moves.first()) {
                    model.shown.selection.go_to(&first.direction);
                }
            }
            Err(problem) => {
                let headline = format!("The edit in {} does not fit the model {}", path.display(), info.name);
                self.failure = Some(Failure { headline, causes: vec![problem] });
            }
        }
    }

    /// Commands that would do nothing now, or must not.
    pub(super) fn is_pointless(&self, command: Command) -> bool {
        let reopens = matches!(command, Command::SwapChannels | Command::Bilinear);
        if reopens && !self.openings.is_empty() {
            // It would take the place of the model that is on its way.
            return true;
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
            Command::ResetMoves | Command::ExportSweep => edit.moves.is_empty(),
            Command::RerollNoise => !model.info.has_noise || edit.noise.mode != NoiseMode::Random,
            Command::Select(group) => model.info.group(group).is_none(),
            Command::ClearComparison => model.reference.is_none(),
            Command::SwapChannels => model.info.channels < 3 || model.source.file().is_none(),
            Command::Bilinear => model.info.upsampling.is_none() || model.source.file().is_none(),
            Command::Cancel => self.running().next().is_none(),
            _ => false,
        }
    }

    /// True if the command is a switch that is on.
    pub(super) fn is_on(&self, command: Command) -> bool {
        let info = self.model();
        match command {
            Command::HalfPrecision => self.preferences.precision == Precision::F16,
            Command::SwapChannels => info.is_some_and(|info| info.channel_order == ChannelOrder::Bgr),
            Command::Bilinear => info.is_some_and(|info| info.upsampling == Some(Upsampling::Bilinear)),
            _ => false,
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
            Command::SaveEdit => self.ask(Ask::SaveEdit, ctx),
            Command::Export => self.ask(Ask::Export, ctx),
            Command::ExportSweep => {
                let range = self.model().map_or(1.0, |info| info.slider_range);
                self.sweep = SweepDialog::new(&self.document.edit, range);
            }
            Command::Quit => ctx.send_viewport_cmd(ViewportCommand::Close),
            Command::Undo => self.history.undo(&mut self.document),
            Command::Redo => self.history.redo(&mut self.document),
            Command::PreviousSeed => self.step_seed(false),
            Command::NextSeed => self.step_seed(true),
            Command::RandomSeed => self.draw_seed(),
            Command::RerollNoise => self.document.edit.noise.seed = draw(),
            Command::ResetMoves => self.document.edit.moves.clear(),
            Command::CopyPicture => {
                if let Some(surface) = self.views.surface(ViewId::PICTURE) {
                    surface.copy(ctx, self.easel.as_ref());
                }
            }
            Command::Select(group) => {
                if let Some(model) = &mut self.model
                    && let Some(layers) = model.info.group(group)
                {
                    model.shown.selection.layers = layers;
                }
            }
            Command::Fit => self.view.fit(),
            Command::ActualSize => self.view.actual_size(),
            Command::ZoomIn => self.view.zoom_by(1.0, Vec2::ZERO),
            Command::ZoomOut => self.view.zoom_by(-1.0, Vec2::ZERO),
            Command::SetComparison => self.set_reference(true),
            Command::ClearComparison => self.set_reference(false),
            Command::HidePanels => self.panels_hidden = !self.panels_hidden,
            Command::HalfPrecision => {
                let before = self.preferences.precision;
                let other = if before == Precision::F16 { Precision::F32 } else { Precision::F16 };
                self.store_in(other, before);
            }
            Command::SwapChannels => {
                let order = if self.is_on(command) { ChannelOrder::Rgb } else { ChannelOrder::Bgr };
                self.read_as("channel_order", order.to_string());
            }
            Command::Bilinear => {
                let upsampling = if self.is_on(command) { Upsampling::Fir } else { Upsampling::Bilinear };
                self.read_as("upsampling", upsampling.to_string());
            }
            Command::ToggleTheme => {
                let dark = ctx.theme() == egui::Theme::Dark;
                self.preferences.theme = if dark { egui::ThemePreference::Light } else { egui::ThemePreference::Dark };
                ctx.set_theme(self.preferences.theme);
            }
            Command::Palette => self.palette = Some(Palette::default()),
            Command::Shortcuts => self.shortcuts = !self.shortcuts,
            Command::Reading => self.reading = !self.reading,
            Command::Cancel => {
                if let Some(running) = self.running().next() {
                    self.background.cancel(running.job);
                }
            }
        }
        ctx.request_repaint();
    }

    fn step_seed(&mut self, up: bool) {
        if let Code::Seed(seed) = &mut self.document.edit.sample.code {
            *seed = seed.step(up);
        }
    }

    fn draw_seed(&mut self) {
        let kind = match self.document.edit.sample.code {
            Code::Seed(seed) => seed.kind,
            _ => self.model().map_or_else(SeedKind::default, |info| info.seeds),
        };
        self.document.edit.sample.code = Code::Seed(Seed { number: draw(), kind });
    }

    fn set_reference(&mut self, pinned: bool) {
        if let Some(model) = &mut self.model {
            model.reference = pinned.then(|| self.document.edit.clone());
        }
    }

    /// Keeps the names of the present model's directions.
    pub(super) fn keep_names(&mut self) {
        if let Some(model) = &self.model {
            self.preferences.keep_names(&model.info, &self.document.names);
        }
    }

    pub(super) fn ask(&mut self, ask: Ask, ctx: &Context) {
        let name = self.model().map_or_else(String::new, |info| file_name(info, &self.document));
        let name = match ask {
            Ask::Export => format!("{name}.png"),
            Ask::SaveEdit => format!("{name}.json"),
            Ask::Open | Ask::SweepFolder => String::new(),
        };
        let ctx = ctx.clone();
        let question = Question { ask, folder: self.preferences.folder.clone(), name };
        self.dialogs.ask(question, Box::new(move || ctx.request_repaint()));
    }

    pub(super) fn take_answer(&mut self, answer: Answer, ctx: &Context) {
        match answer {
            Answer::Path(ask, path) => self.answered(ask, path, ctx),
            Answer::Cancelled(_) => {}
            Answer::Unavailable(question) => self.path_prompt = Some(PathPrompt::new(question)),
        }
    }

    /// A file was chosen.
    pub(super) fn answered(&mut self, ask: Ask, path: PathBuf, ctx: &Context) {
        if ask == Ask::Open {
            return self.open(Source::File(path), ctx);
        }
        let Some(project) = self.project() else { return };
        let folder = if ask == Ask::SweepFolder { Some(path.as_path()) } else { path.parent() };
        self.preferences.folder = folder.map(Into::into);
        match ask {
            Ask::SaveEdit => {
                let path = with_extension(path, "json");
                self.on_thread(ctx, move || match std::fs::write(&path, project.to_json()) {
                    Ok(()) => FileEvent::Saved(path),
                    Err(error) => {
                        let headline = format!("cannot write {}", path.display());
                        FileEvent::Failed(Failure { headline, causes: vec![error.to_string()] })
                    }
                });
            }
            Ask::Export => self.run(Export::picture(*project, with_extension(path, "png"))),
            Ask::SweepFolder => {
                if let Some(dialog) = self.sweep.take() {
                    let info = self.model.as_ref().map(|model| model.info.clone());
                    if let Some(info) = info {
                        self.run(Export::sweep(*project, &dialog.sweep(path), &info));
                    }
                }
            }
            Ask::Open => {}
        }
    }

    fn project(&self) -> Option<Box<Project>> {
        let model = self.model.as_ref()?;
        let Document { edit, names } = self.document.clone();
        Some(Box::new(Project::new(&model.info, model.source.absolute().to_string(), edit, names)))
    }
}

fn with_extension(path: PathBuf, extension: &str) -> PathBuf {
    if path.extension().is_some() { path } else { path.with_extension(extension) }
}

/// A fresh number of at most six digits: enough seeds to look at, few enough digits to remember.
fn draw() -> u64 {
    std::collections::hash_map::RandomState::new().build_hasher().finish() % 1_000_000
}

/// "toy-heads-1042-pose+1.4": model, seed (numpy1042 if it is of another tool than the model), classes, and at most three moves.
fn file_name(info: &ModelInfo, document: &Document) -> String {
    let mut parts = vec![plain(&info.name)];
    parts.push(match document.edit.sample.code {
        Code::Seed(seed) if seed.kind == info.seeds => seed.number.to_string(),
        Code::Seed(seed) => format!("{}{}", seed.kind, seed.number),
        _ => "code".to_owned(),
    });
    parts.extend(document.edit.sample.class.map(|class| format!("c{class}")));
    parts.extend(document.edit.sample.mix.map(|mix| format!("c{}-{:.2}", mix.class, mix.amount)));
    for step in document.edit.moves.iter().filter(|step| step.is_active()).take(3) {
        parts.push(format!("{}{:+.1}", plain(&document.called(&step.direction)), step.value));
    }
    parts.join("-")
}

/// Text that every file system takes.
fn plain(text: &str) -> String {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_plain() {
        assert_eq!(plain("Toy heads (StyleGAN2)"), "toy-heads-stylegan2");
        assert_eq!(plain("../../x:y"), "x-y");
        assert_eq!(with_extension("a/b".into(), "png"), PathBuf::from("a/b.png"));
        assert_eq!(with_extension("a/b.PNG".into(), "png"), PathBuf::from("a/b.PNG"));
    }
}
