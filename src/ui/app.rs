//! The window's state, and what happens in a frame.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use egui::{CentralPanel, Key, Ui};

use super::asking::Asking;
use super::command::Command;
use super::dialogs::Dialogs;
use super::document::{Document, History, Selection};
use super::exchange::{FileEvent, wake};
use super::keeping::Keeping;
use super::kept::KeptPreferences;
use super::keyboard;
use super::layout::Overlays;
use super::librarian::Librarian;
use super::looks::{Look, Looks};
use super::messages::Notices;
use super::pacing::EventPacing;
use super::picture::Placement;
use super::player::Player;
use super::preferences::Preferences;
use super::running::{Running, Work};
use super::saving::Quitting;
use super::semantics::ShownDirections;
use super::shelf::ShelfView;
use super::strips::Strips;
use super::style;
use super::surface::{PicturePipeline, Surface};
use super::tiles::Tiles;
use super::views::Views;
use super::waiting::WaitingEdit;
use super::wheel;
use crate::directions::Method;
use crate::edit::{Direction, Edit};
use crate::failure::Failure;
use crate::generator::ModelInfo;
use crate::gpu::Precision;
use crate::library::Library;
use crate::pca::Components;
use crate::render::{Source, ViewId};
use crate::store::{Folders, log};
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
    pub(super) picture_pipeline: Option<PicturePipeline>,
    /// When the last frame of the window was begun.
    pub(super) painted: Instant,
    pub(super) model: Option<OpenModel>,
    pub(super) document: Document,
    pub(super) history: History,
    pub(super) librarian: Librarian,
    pub(super) views: Views,
    /// Small pictures, wherever they are shown.
    pub(super) tiles: Tiles,
    /// Thumbnails of directions.
    pub(super) strips: Strips,
    pub(super) looks: Looks,
    pub(super) shelf: ShelfView,
    /// Instead of the picture.
    pub(super) player: Option<Player>,
    /// How the picture lies in its area.
    pub(super) placement: Placement,
    pub(super) preferences: Preferences,
    pub(super) keeping: Keeping,
    /// Questions that are not answered; the last one is shown.
    pub(super) asking: Vec<Asking>,
    pub(super) quitting: Quitting,
    /// The file of the log.
    pub(super) log: Option<PathBuf>,
    pub(super) device: DeviceFacts,
    pub(super) work: Work,
    /// An edit that waits until its model is opened.
    pub(super) waiting: Option<WaitingEdit>,
    pub(super) files: (Sender<FileEvent>, Receiver<FileEvent>),
    pub(super) notices: Notices,
    pub(super) overlays: Overlays,
    pub(super) panels_hidden: bool,
    /// What was typed as a seed and is none.
    pub(super) refused_seed: Option<String>,
    pub(super) title: String,
}

/// An open model, and what was asked about it.
pub(super) struct OpenModel {
    pub id: ModelId,
    pub info: Arc<ModelInfo>,
    pub source: Source,
    pub directions: ShownDirections,
    /// The directions last asked for.
    pub asked: Option<AskedDirections>,
    pub components: ModelComponents,
    /// What the list of own directions was last made of.
    pub own: Option<(Arc<Library>, Vec<Arc<Direction>>)>,
    /// What Space shows instead of the unedited sample.
    pub reference: Option<Edit>,
    /// The bar of how the file was read was closed.
    pub reading_seen: bool,
}

/// The principal components of a model's codes.
#[derive(Default)]
pub(super) struct ModelComponents {
    /// Those that were found last, by their method.
    pub found: Option<(Method, Arc<Components>)>,
    /// The task that looks for others.
    pub searching: Option<(JobId, Method)>,
}

pub(super) struct AskedDirections {
    pub job: JobId,
    pub selection: Selection,
    /// Time of the window (seconds).
    pub since: f64,
    /// It came to its end without directions.
    pub has_failed: bool,
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
            picture_pipeline: cc.wgpu_render_state.clone().map(PicturePipeline::new),
            painted: Instant::now(),
            model: None,
            history: History::new(&document),
            librarian: Librarian::start(services.folders.as_ref().map(Folders::libraries), cc.egui_ctx.clone())?,
            document,
            views: Views::default(),
            tiles: Tiles::new(cc.wgpu_render_state.clone().map(PicturePipeline::new)),
            strips: Strips::default(),
            looks: Looks::default(),
            shelf: ShelfView::default(),
            player: None,
            placement: Placement::default(),
            preferences,
            keeping: Keeping::new(services.folders.as_ref(), kept_preferences)?,
            asking: Vec::new(),
            quitting: Quitting::No,
            log: services.folders.map(|folders| folders.log().join(log::FILE)),
            device: DeviceFacts::default(),
            work: Work::default(),
            waiting: None,
            files: channel(),
            notices: Notices { told: told.iter().map(|error| Failure::of(error)).collect(), ..Notices::default() },
            overlays: Overlays::default(),
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

    /// The edit that the picture is to show: the document's, or that of the player's frame.
    pub(super) fn edit_in_view(&self) -> &Edit {
        self.player.as_ref().map_or(&self.document.edit, Player::edit)
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
        self.notices.failure.as_ref().or(self.notices.told.first()).or(self.views.failure(ViewId::PICTURE))
    }

    /// Long work that is under way: what is opened, and tasks.
    pub(super) fn running(&self) -> impl Iterator<Item = &Running> {
        self.work.openings.last().map(|opening| &opening.running).into_iter().chain(&self.work.tasks)
    }

    /// Tiles on screen that show what belongs there, not what was there before.
    pub fn tiles_shown(&self) -> usize {
        self.tiles.shown()
    }

    /// True if nothing is being done and the picture and the directions answer the present edit and selection.
    pub fn is_settled(&self) -> bool {
        let current = self
            .model
            .as_ref()
            .is_none_or(|model| model.directions.is_current() && self.shown_edit() == Some(self.edit_in_view()));
        let nothing_runs = self.running().next().is_none() && self.work.storing.is_none();
        let plays = self.player.as_ref().is_some_and(Player::is_running);
        !plays && self.background.is_idle() && self.librarian.is_idle() && nothing_runs && current
    }

    /// `now`: in seconds. Returns how long to wait until it is to be called again.
    fn keep_preferences(&mut self, ctx: &egui::Context, now: f64) -> Option<Duration> {
        let (files, ctx) = (self.files.0.clone(), ctx.clone());
        let Keeping { writer, preferences, .. } = &mut self.keeping;
        preferences.keep(writer, &self.preferences, now, move |error| {
            let failure = Failure::of(&error);
            tracing::error!("{}: {}", failure.headline, failure.causes.join(": "));
            // A closed window no longer listens.
            let _ = files.send(FileEvent::Told(failure));
            ctx.request_repaint();
        })
    }

    /// Space compares, unless it is typed into a text or presses the focused button.
    fn space_is_held(&self, ctx: &egui::Context) -> bool {
        let free = keyboard::space_is_free(ctx) && !ctx.text_edit_focused() && self.overlays.palette.is_none();
        free && ctx.input(|input| input.key_down(Key::Space))
    }
}

impl eframe::App for App {
    fn logic(&mut self, ctx: &egui::Context, _: &mut eframe::Frame) {
        self.take_events(ctx);
    }

    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        let ctx = ui.ctx().clone();
        if self.looks.look == Look::Samples && self.overlays.palette.is_none() {
            let stepped = self.looks.samples.stepped(&ctx, &self.document.edit);
            self.take_sample(stepped);
        }
        let mut commands = if self.overlays.palette.is_none() { Command::pressed(&ctx) } else { Vec::new() };
        self.history.begin_gesture(&self.document, &ctx);
        wheel::track_wheel(&ctx, true);

        let asks_to_compare = self.menu_bar_ui(ui, &mut commands);
        let comparing = asks_to_compare || self.space_is_held(&ctx);
        let failure = self.work.stopped.as_ref().map(|stopped| &stopped.failure).or(self.failure()).cloned();
        self.notices.messages.hear(failure.as_ref());
        self.notices_ui(ui, comparing, &mut commands);
        self.reading_bar(ui);
        self.status_bar_ui(ui);
        self.panels_ui(ui, &mut commands);
        let area = CentralPanel::no_frame().show(ui, |ui| self.centre_ui(ui, comparing, &mut commands));
        wheel::track_wheel(&ctx, false);
        self.overlays_ui(&ctx, area.response.rect, &mut commands);
        keyboard::remember_escape(&ctx);
        for command in commands {
            self.perform(command, &ctx);
        }
        self.send_what_changed(&ctx, comparing);
        let now = ctx.input(|input| input.time);
        let waits = [self.keep_preferences(&ctx, now), self.keep_document(&ctx)];
        waits.into_iter().flatten().for_each(|wait| ctx.request_repaint_after(wait));
        self.watch_closing(&ctx);
    }

    /// Panels and bars paint no ground of their own: a pixel that is painted once takes software rasterisers half as long.
    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        visuals.panel_fill.to_normalized_gamma_f32()
    }

    fn on_exit(&mut self) {
        let ctx = egui::Context::default();
        self.keep_preferences(&ctx, f64::INFINITY);
        self.write_last_session(&ctx);
        self.librarian.finish(&self.document.library);
        self.keeping.writer.finish();
    }
}
