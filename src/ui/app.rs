//! The window's state, and its layout.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Instant, SystemTime};

use egui::{CentralPanel, IdSalt, Key, Panel, Ui};

use super::asking::{Asking, Chosen, Taken, asking_ui, choices_ui};
use super::command::Command;
use super::dialogs::{Ask, Dialogs};
use super::document::{Document, History, Selection};
use super::keeping::{Keeping, KeptEdit, RecentDocument};
use super::kept::KeptPreferences;
use super::keyboard;
use super::librarian::Librarian;
use super::menu::{self, Bar};
use super::messages::{self, Messages, Note};
use super::moves::moves_ui;
use super::open::{self, PathPrompt};
use super::pacing::EventPacing;
use super::palette::{Palette, palette_ui};
use super::picture::{Caption, View, picture_ui};
use super::preferences::Preferences;
use super::reading::{self, BarAnswer, reading_bar_ui, reading_ui};
use super::running::{Opening, Running};
use super::sample::sample_ui;
use super::saving::Quitting;
use super::semantics::{Shown, semantics_ui};
use super::shortcuts::shortcuts_ui;
use super::status::{Status, status_ui};
use super::strips::{Strips, Thumbnails};
use super::style;
use super::surface::{Easel, Surface};
use super::sweep::{SweepDialog, sweep_ui};
use super::views::Views;
use super::wheel;
use crate::edit::{Code, Edit};
use crate::failure::Failure;
use crate::files::Doubt;
use crate::generator::ModelInfo;
use crate::gpu::Precision;
use crate::project::Project;
use crate::render::{Example, Source, ViewId};
use crate::store::{Folders, Session, SessionFile, log};
use crate::worker::{Background, DeviceFacts, JobId, ModelId, StartBackground};

/// What the window needs from outside.
pub struct Services {
    /// Starts whoever makes pictures, and starts it again if it has stopped.
    pub background: StartBackground,
    pub dialogs: Box<dyn Dialogs>,
    /// Opened first: a model, a saved edit, or an exported picture.
    pub start: Source,
    /// Instead of that, the newest document that was left and is in no window, if there is one.
    pub restore: bool,
    /// As it was last time if `None`.
    pub precision: Option<Precision>,
    /// Where to keep what stays between runs; nowhere if `None`.
    pub folders: Option<Folders>,
}

/// The window.
pub struct App {
    pub(super) background: Box<dyn Background>,
    pub(super) start_background: StartBackground,
    pub(super) dialogs: Box<dyn Dialogs>,
    /// Paints pictures; `None` if nothing is painted at all.
    pub(super) easel: Option<Easel>,
    /// When the last frame of the window was begun.
    pub(super) painted: Instant,
    pub(super) model: Option<Model>,
    pub(super) document: Document,
    pub(super) history: History,
    pub(super) librarian: Librarian,
    pub(super) views: Views,
    /// Thumbnails of directions.
    pub(super) strips: Strips,
    /// How the picture lies in its area.
    pub(super) view: View,
    pub(super) preferences: Preferences,
    pub(super) keeping: Keeping,
    /// Questions that are not answered; the last one is shown.
    pub(super) asking: Vec<Asking>,
    pub(super) quitting: Quitting,
    /// The file of the log.
    pub(super) log: Option<PathBuf>,
    pub(super) device: DeviceFacts,
    /// Models that are being opened, the newest last; the others were told to stop.
    pub(super) openings: Vec<Opening>,
    /// A change of precision that is under way, and the precision before.
    pub(super) storing: Option<(JobId, Precision)>,
    pub(super) tasks: Vec<Running>,
    /// The engine has stopped, and what is to be opened when it is started again.
    pub(super) stopped: Option<Stopped>,
    /// An edit that waits until its model is opened.
    pub(super) waiting: Option<WaitingEdit>,
    pub(super) files: (Sender<FileEvent>, Receiver<FileEvent>),
    pub(super) failure: Option<Failure>,
    /// What became of kept files; stays until it is dismissed.
    pub(super) told: Vec<Failure>,
    failure_details: bool,
    pub(super) note: Option<Note>,
    pub(super) messages: Messages,
    pub(super) palette: Option<Palette>,
    pub(super) shortcuts: bool,
    /// The form of how the file was read.
    pub(super) reading: bool,
    pub(super) sweep: Option<SweepDialog>,
    pub(super) path_prompt: Option<PathPrompt>,
    pub(super) panels_hidden: bool,
    refused_seed: Option<String>,
    pub(super) title: String,
}

/// An open model, and what was asked about it.
pub(super) struct Model {
    pub id: ModelId,
    pub info: Arc<ModelInfo>,
    pub source: Source,
    pub shown: Shown,
    /// The factorisation last asked for.
    pub asked: Option<AskedDirections>,
    /// What Space shows instead of the unedited sample.
    pub reference: Option<Edit>,
    /// The bar of how the file was read was closed.
    pub reading_seen: bool,
}

pub(super) struct AskedDirections {
    pub job: JobId,
    pub selection: Selection,
    /// Time of the window (seconds).
    pub since: f64,
    /// It came to its end without directions.
    pub has_failed: bool,
}

/// An edit whose model is not open. It waits until that model is opened or the user drops it.
pub struct WaitingEdit {
    pub project: Project,
    pub from: EditFrom,
}

/// Where an edit was found.
pub enum EditFrom {
    File {
        path: PathBuf,
        /// An exported picture: edits are not saved there.
        is_picture: bool,
        /// When it was last written.
        modified: Option<SystemTime>,
    },
    /// A document that was left.
    Session(Box<KeptEdit>),
}

impl fmt::Display for EditFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EditFrom::File { path, .. } => write!(f, "in {}", path.display()),
            EditFrom::Session(kept) => match &kept.path {
                Some(path) => write!(f, "of {} as it was left", path.display()),
                None => f.write_str("that was left"),
            },
        }
    }
}

/// What is left when the engine has stopped by itself.
pub(super) struct Stopped {
    pub failure: Failure,
    /// The model that was being opened.
    pub interrupted: Option<Opening>,
}

/// What became of reading or writing a small file on a thread.
pub(super) enum FileEvent {
    /// An edit was read, and what speaks against opening its model unasked.
    Project(Box<WaitingEdit>, Option<Doubt>),
    Session(Box<(SessionFile, Session)>),
    Saved {
        path: PathBuf,
        document: Box<Document>,
        modified: Option<SystemTime>,
    },
    /// A place to write to was looked at.
    Chosen(Ask, PathBuf, Taken),
    RecentDocuments(Vec<RecentDocument>),
    Failed(Failure),
}

impl WaitingEdit {
    /// What it waits for.
    pub fn text(&self) -> String {
        let model = &self.project.model;
        format!(
            "The edit {} needs the model {} ({}), which was at {}. Open that model, and the edit follows.",
            self.from, model.name, model.family, model.source
        )
    }
}

const LEFT_PANEL: &str = "sample and moves";
const RIGHT_PANEL: &str = "semantics";

/// Wakes the window from another thread.
pub(super) fn wake(ctx: &egui::Context) -> Box<dyn Fn() + Send + Sync> {
    let ctx = ctx.clone();
    Box::new(move || ctx.request_repaint())
}

impl App {
    /// Starts the worker and opens the first model. Fails only if no thread can be started.
    pub fn new(cc: &eframe::CreationContext<'_>, services: Services) -> std::io::Result<Self> {
        style::apply(&cc.egui_ctx);
        cc.egui_ctx.add_plugin(EventPacing::default());
        let (kept_preferences, mut preferences, told) = KeptPreferences::open(services.folders.as_ref(), cc.storage);
        preferences.precision = services.precision.unwrap_or(preferences.precision);
        cc.egui_ctx.set_theme(preferences.theme);
        let document = Document::default();
        let mut app = App {
            background: (services.background)(wake(&cc.egui_ctx))?,
            start_background: services.background,
            dialogs: services.dialogs,
            easel: cc.wgpu_render_state.clone().map(Easel::new),
            painted: Instant::now(),
            model: None,
            history: History::new(&document),
            librarian: Librarian::start(services.folders.as_ref().map(Folders::libraries), cc.egui_ctx.clone())?,
            document,
            views: Views::default(),
            strips: Strips::default(),
            view: View::default(),
            preferences,
            keeping: Keeping::new(services.folders.as_ref(), kept_preferences)?,
            asking: Vec::new(),
            quitting: Quitting::No,
            log: services.folders.map(|folders| folders.log().join(log::FILE)),
            device: DeviceFacts::default(),
            openings: Vec::new(),
            storing: None,
            tasks: Vec::new(),
            stopped: None,
            waiting: None,
            files: channel(),
            failure: None,
            told: told.iter().map(|error| Failure::of(error)).collect(),
            failure_details: false,
            note: None,
            messages: Messages::default(),
            palette: None,
            shortcuts: false,
            reading: false,
            sweep: None,
            path_prompt: None,
            panels_hidden: false,
            refused_seed: None,
            title: String::new(),
        };
        app.store_in(app.preferences.precision, Precision::default());
        if !services.restore || !app.restore(&cc.egui_ctx) {
            app.open(services.start, &cc.egui_ctx);
        }
        app.list_recent_documents(&cc.egui_ctx);
        Ok(app)
    }

    /// The edit and the names, as they are now.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// Facts about the open model.
    pub fn model(&self) -> Option<&ModelInfo> {
        self.model.as_ref().map(|model| &*model.info)
    }

    /// The edit that the picture on screen shows.
    pub fn shown_edit(&self) -> Option<&Edit> {
        self.views.surface(ViewId::PICTURE).map(Surface::edit)
    }

    /// The frame on screen.
    pub fn frame(&self) -> Option<&crate::render::Frame> {
        self.views.surface(ViewId::PICTURE).map(|surface| &surface.frame)
    }

    /// What the error bar says.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref().or(self.told.first()).or(self.views.failure(ViewId::PICTURE))
    }

    /// Long work that is under way: what is opened, and tasks.
    pub(super) fn running(&self) -> impl Iterator<Item = &Running> {
        self.openings.last().map(|opening| &opening.running).into_iter().chain(&self.tasks)
    }

    /// Thumbnails on screen that show the present edit.
    pub fn thumbnails_shown(&self) -> usize {
        self.strips.shown()
    }

    /// True if nothing is being done and the picture and the directions answer the present edit and selection.
    pub fn is_settled(&self) -> bool {
        let current = self
            .model
            .as_ref()
            .is_none_or(|model| model.shown.is_current() && self.shown_edit() == Some(&self.document.edit));
        let nothing_runs = self.running().next().is_none() && self.storing.is_none();
        self.background.is_idle() && self.librarian.is_idle() && nothing_runs && current
    }

    fn panels_ui(&mut self, ui: &mut Ui, commands: &mut Vec<Command>) {
        let [narrowest, first, widest] = style::PANEL_WIDTHS;
        let panel = |panel: Panel| panel.frame(style::panel_frame()).default_size(first).size_range(narrowest..=widest);
        if self.panels_hidden {
            return;
        }
        let Some(model) = &mut self.model else { return };
        panel(Panel::left(LEFT_PANEL)).default_size(style::LEFT_WIDTH).show(ui, |ui| {
            let edit = &mut self.document.edit;
            sample_ui(ui, &model.info, edit, &mut self.refused_seed, commands);
            if !matches!(edit.sample.code, Code::Seed(_)) {
                self.refused_seed = None;
            }
            ui.add_space(style::GRID);
            ui.separator();
            if let Some(direction) = moves_ui(ui, &mut self.document, commands) {
                model.shown.selection.go_to(&direction);
            }
            ui.take_available_space();
        });
        panel(Panel::right(RIGHT_PANEL)).show(ui, |ui| {
            let mut thumbnails = Thumbnails { strips: &mut self.strips, always: self.preferences.strips };
            if semantics_ui(ui, &model.info, &mut model.shown, &mut self.document, &mut thumbnails, commands) {
                self.preferences.has_dragged = true;
            }
            ui.take_available_space();
        });
        name_panel_edge(ui, LEFT_PANEL, "Width of the left panel");
        name_panel_edge(ui, RIGHT_PANEL, "Width of the right panel");
    }

    fn centre_ui(&mut self, ui: &mut Ui, comparing: bool, commands: &mut Vec<Command>) {
        let wanted = self.comparison_edit();
        let comparing = comparing && wanted.as_ref().is_some_and(|wanted| *wanted != self.document.edit);
        let compared = wanted.filter(|_| comparing);
        let compared = compared.as_ref().and_then(|wanted| self.views.surface_of(ViewId::COMPARISON, wanted));
        let pinned = self.model.as_ref().is_some_and(|model| model.reference.is_some());
        let text = self.caption(comparing, compared.is_some());
        let Some(surface) = compared.or(self.views.surface(ViewId::PICTURE)) else {
            ui.painter().rect_filled(ui.max_rect(), 0.0, style::palette(ui).surround);
            self.empty_ui(ui, commands);
            return;
        };
        let caption = Caption { text: &text, compared: comparing, pinned };
        picture_ui(ui, surface, self.easel.as_ref(), &mut self.view, &caption, commands);
    }

    fn caption(&self, comparing: bool, is_there: bool) -> String {
        let seed = match self.document.edit.sample.code {
            Code::Seed(seed) => format!("seed {}", seed.number),
            _ => "code from file".to_owned(),
        };
        let pinned = self.model.as_ref().is_some_and(|model| model.reference.is_some());
        if comparing {
            let cannot = self.views.failure(ViewId::COMPARISON).is_some();
            return match (is_there, cannot, pinned) {
                (true, _, true) => "comparison".to_owned(),
                (true, _, false) => format!("unedited sample · {seed}"),
                (false, true, true) => "the comparison cannot be made".to_owned(),
                (false, true, false) => "the unedited sample cannot be made".to_owned(),
                (false, false, true) => "making the comparison…".to_owned(),
                (false, false, false) => "making the unedited sample…".to_owned(),
            };
        }
        if !self.preferences.has_dragged {
            return "Drag a slider. Hold Space to compare.".to_owned();
        }
        match self.document.edit.moves.iter().filter(|found| found.is_active()).count() {
            0 => seed,
            1 => format!("{seed} · 1 move"),
            count => format!("{seed} · {count} moves"),
        }
    }

    /// In place of a picture: what is being opened, or what could be.
    fn empty_ui(&self, ui: &mut Ui, commands: &mut Vec<Command>) {
        let height = ui.available_height();
        ui.vertical_centered(|ui| {
            ui.add_space(height * 0.4);
            if let Some(running) = self.running().next() {
                ui.spinner();
                ui.weak(running.name.as_str());
                return;
            }
            if self.model.is_some() {
                ui.spinner();
                return;
            }
            ui.label("No model is open. Drop a checkpoint here, or");
            ui.add_space(style::GRID);
            for command in [Command::Open].into_iter().chain(Example::ALL.map(Command::OpenExample)) {
                if ui.button(command.text()).on_hover_text(command.tooltip()).clicked() {
                    commands.push(command);
                }
            }
        });
    }

    fn overlays_ui(&mut self, ctx: &egui::Context, area: egui::Rect, commands: &mut Vec<Command>) {
        let mut palette = self.palette.take();
        commands.extend(palette_ui(ctx, &mut palette, &|command| self.is_pointless(command)));
        self.palette = palette;
        shortcuts_ui(ctx, &mut self.shortcuts);
        // The later window lies over the earlier: Escape is for that one first.
        if let Some((ask, path)) = open::path_ui(ctx, &mut self.path_prompt) {
            self.answered(ask, path, false, ctx);
        }
        if sweep_ui(ctx, &mut self.sweep, &self.document) {
            self.ask(Ask::SweepFolder, ctx);
        }
        let answer = reading_ui(ctx, &mut self.reading, self.model.as_ref().map(|model| &*model.info));
        if let Some(answer) = answer.filter(|_| self.openings.is_empty()) {
            self.reread_as(answer);
        }
        messages::note_ui(ctx, &mut self.note, area);
        for path in open::drop_ui(ctx) {
            self.open(Source::File(path), ctx);
        }
    }

    /// Bars under the menu: that the engine stopped, what did not work, an edit that waits for its model.
    fn notices_ui(&mut self, ui: &mut Ui, comparing: bool, commands: &mut Vec<Command>) {
        let colours = style::palette(ui);
        let bar = |name: &'static str, fill| {
            let frame = egui::Frame::new().fill(fill).inner_margin(egui::Margin::symmetric(12, 4));
            Panel::top(name).frame(frame)
        };
        if let Some(stopped) = &self.stopped {
            let shown = bar("stopped", colours.error_back).show(ui, |ui| messages::stopped_ui(ui, &stopped.failure));
            if shown.inner {
                self.restart(ui.ctx());
            }
        }
        let compared = self.views.failure(ViewId::COMPARISON).filter(|_| comparing);
        if let Some(failure) = self.failure().or(compared) {
            let details = &mut self.failure_details.clone();
            let shown = bar("failure", colours.error_back).show(ui, |ui| messages::failure_ui(ui, failure, details));
            self.failure_details = *details;
            if !shown.inner {
                self.dismiss_failure();
            }
        }
        if let Some(asking) = self.asking.last() {
            let shown = bar("asking", colours.surround).show(ui, |ui| asking_ui(ui, asking, self.tasks.len()));
            let is_free = self.palette.is_none() && self.path_prompt.is_none() && self.sweep.is_none();
            let escaped = is_free && ui.input(|input| input.key_pressed(Key::Escape));
            if let Some(chosen) = shown.inner.or(escaped.then_some(Chosen::No)) {
                self.answer(chosen, ui.ctx());
            }
        }
        if let Some(when) = &self.keeping.restored {
            let text = format!("Restored the document that was left {when}");
            let choices = ["Go on", "Start fresh"].into_iter();
            let shown = bar("restored", colours.surround).show(ui, |ui| choices_ui(ui, &text, choices));
            match shown.inner {
                Some(0) => self.keeping.restored = None,
                Some(_) => self.start_fresh(ui.ctx()),
                None => {}
            }
        }
        if let Some(waiting) = self.waiting.as_ref().filter(|_| self.openings.is_empty()) {
            let shown = bar("waiting edit", colours.surround)
                .show(ui, |ui| messages::waiting_ui(ui, &waiting.text(), commands));
            if shown.inner {
                self.waiting = None;
            }
        }
    }

    /// Takes away the failure that is shown; what became of kept files one by one.
    fn dismiss_failure(&mut self) {
        self.failure_details = false;
        if self.failure.is_none() && !self.told.is_empty() {
            self.told.remove(0);
            return;
        }
        self.failure = None;
        self.views.dismiss_failures();
    }

    fn reading_bar(&mut self, ui: &mut Ui) {
        let Some(model) = self.model.as_mut().filter(|model| !model.reading_seen && reading::is_open(&model.info))
        else {
            return;
        };
        let bar = Panel::top("reading").frame(style::bar_frame()).show(ui, |ui| reading_bar_ui(ui, &model.info));
        match bar.inner {
            Some(BarAnswer::Change) => self.reading = true,
            Some(BarAnswer::Dismiss) => model.reading_seen = true,
            None => {}
        }
    }

    fn keep_preferences(&mut self, ctx: &egui::Context) {
        let (files, ctx) = (self.files.0.clone(), ctx.clone());
        let Keeping { writer, preferences, .. } = &mut self.keeping;
        preferences.keep(writer, &self.preferences, move |error| {
            tracing::error!("{error}");
            // A closed window no longer listens.
            let _ = files.send(FileEvent::Failed(Failure::of(&error)));
            ctx.request_repaint();
        });
    }

    /// Space compares, unless it is typed into a text or presses the focused button.
    fn space_is_held(&self, ctx: &egui::Context) -> bool {
        let free = keyboard::space_is_free(ctx) && !ctx.text_edit_focused() && self.palette.is_none();
        free && ctx.input(|input| input.key_down(Key::Space))
    }
}

/// egui calls the edge of every panel "Resize panel".
fn name_panel_edge(ui: &Ui, panel: &str, name: &str) {
    let edge = ui.scope_id().with_salt(IdSalt::new(panel)).with("__resize");
    ui.ctx().accesskit_node_builder(edge, |node| node.set_label(name));
}

impl eframe::App for App {
    fn logic(&mut self, ctx: &egui::Context, _: &mut eframe::Frame) {
        self.take_events(ctx);
    }

    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        let ctx = ui.ctx().clone();
        let mut commands = if self.palette.is_none() { Command::pressed(&ctx) } else { Vec::new() };
        self.history.begin_gesture(&self.document, &ctx);
        wheel::track_wheel(&ctx, true);

        let bar = style::bar_frame();
        let asked = Panel::top("menu").frame(bar).exact_size(style::MENU_HEIGHT).show(ui, |ui| {
            let moved = self.comparison_edit().is_some_and(|wanted| wanted != self.document.edit);
            let facts = Bar {
                info: self.model(),
                recent: &self.preferences.recent(),
                documents: &self.keeping.recent,
                file: &self.file_shown(),
                idle: &|command| self.is_pointless(command),
                is_on: &|command| self.is_on(command),
                moved,
            };
            menu::bar_ui(ui, &facts)
        });
        let asked = asked.inner;
        commands.extend(asked.commands);
        let comparing = asked.compare || self.space_is_held(&ctx);
        if let Some(source) = asked.open {
            self.open(source, &ctx);
        }
        if let Some(document) = asked.open_document {
            self.open_recent_document(document, &ctx);
        }
        if asked.shows_documents {
            self.list_recent_documents(&ctx);
        }
        let failure = self.stopped.as_ref().map(|stopped| &stopped.failure).or(self.failure()).cloned();
        self.messages.hear(failure.as_ref());
        self.notices_ui(ui, comparing, &mut commands);
        self.reading_bar(ui);
        let running: Vec<&Running> = self.running().collect();
        let cancelled = Panel::bottom("status").frame(bar).exact_size(style::STATUS_HEIGHT).show(ui, |ui| {
            let status = Status {
                frame: self.frame(),
                device: &self.device,
                zoom: self.view.shown,
                fits: self.view.zoom.is_none(),
                running: &running,
                messages: &self.messages,
            };
            status_ui(ui, &status)
        });
        if let Some(job) = cancelled.inner {
            self.background.cancel(job);
        }
        self.panels_ui(ui, &mut commands);
        let area = CentralPanel::no_frame().show(ui, |ui| self.centre_ui(ui, comparing, &mut commands));
        wheel::track_wheel(&ctx, false);
        self.overlays_ui(&ctx, area.response.rect, &mut commands);
        keyboard::remember_escape(&ctx);
        for command in commands {
            self.perform(command, &ctx);
        }
        self.send_what_changed(&ctx, comparing);
        self.keep_preferences(&ctx);
        if let Some(wait) = self.keep_document(&ctx) {
            ctx.request_repaint_after(wait);
        }
        self.watch_closing(&ctx);
    }

    /// Panels and bars paint no ground of their own: a pixel that is painted once takes software rasterisers half as long.
    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        visuals.panel_fill.to_normalized_gamma_f32()
    }

    fn on_exit(&mut self) {
        let ctx = egui::Context::default();
        self.keep_preferences(&ctx);
        self.write_last_session(&ctx);
        self.librarian.finish(&self.document.library);
        self.keeping.writer.finish();
    }
}
