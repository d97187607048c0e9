//! The window's state, and its layout.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use egui::{CentralPanel, Key, Panel, Ui};

use super::command::Command;
use super::dialogs::Dialogs;
use super::document::{Document, History};
use super::menu::{self, Bar};
use super::moves::moves_ui;
use super::open::{self, Failure, PathPrompt, Toast};
use super::palette::{Palette, palette_ui};
use super::picture::{Caption, View, picture_ui};
use super::preferences::Preferences;
use super::reading::{self, BarAnswer, reading_bar_ui, reading_ui};
use super::sample::sample_ui;
use super::semantics::{Shown, semantics_ui};
use super::shortcuts::shortcuts_ui;
use super::slider;
use super::status::{Status, status_ui};
use super::style;
use super::surface::{Easel, Surface};
use super::sweep::{SweepDialog, sweep_ui};
use crate::edit::{Code, Edit};
use crate::generator::ModelInfo;
use crate::gpu::Precision;
use crate::progress::Progress;
use crate::project::Project;
use crate::render::{Engine, Example, Source};
use crate::worker::{Job, Worker};

/// What the window needs from outside.
pub struct Services {
    /// Makes the engine, on the worker's thread.
    pub engine: Box<dyn FnOnce() -> Engine + Send>,
    pub dialogs: Box<dyn Dialogs>,
    /// Opened first: a model, a saved edit, or an exported picture.
    pub start: Source,
    /// As it was last time if `None`.
    pub precision: Option<Precision>,
}

/// The window.
pub struct App {
    pub(super) worker: Worker,
    pub(super) dialogs: Box<dyn Dialogs>,
    /// Paints pictures; `None` if nothing is painted at all.
    pub(super) easel: Option<Easel>,
    /// When the last frame of the window was begun.
    pub(super) painted: Instant,
    pub(super) model: Option<Model>,
    pub(super) document: Document,
    pub(super) history: History,
    /// The newest picture of the edit, and of what it is compared with.
    pub(super) surface: Option<Surface>,
    pub(super) comparison: Option<Surface>,
    pub(super) view: View,
    pub(super) preferences: Preferences,
    pub(super) device: (String, Option<String>),
    pub(super) work: Work,
    /// An edit whose model is not open yet, and the file it came from.
    pub(super) pending: Option<(PathBuf, Project)>,
    pub(super) files: (Sender<FileEvent>, Receiver<FileEvent>),
    pub(super) failure: Option<Failure>,
    /// Why the newest picture could not be made; gone with the next one that can.
    pub(super) render_failure: Option<Failure>,
    failure_details: bool,
    pub(super) toast: Option<Toast>,
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

/// An open model, and what the worker was asked about it.
pub(super) struct Model {
    pub info: Arc<ModelInfo>,
    pub source: Source,
    pub shown: Shown,
    /// The selection last sent for factorisation, and when (seconds).
    pub asked: Option<(super::document::Selection, f64)>,
    pub sent: Option<Edit>,
    pub sent_comparison: Option<Edit>,
    /// What Space shows instead of the unedited sample.
    pub reference: Option<Edit>,
    /// The bar of how the file was read was closed.
    pub reading_seen: bool,
}

/// Long work that is under way.
#[derive(Default)]
pub(super) struct Work {
    pub opening: usize,
    pub exporting: usize,
    /// The present model is being opened again, read in another way: the edit stays if it fits.
    pub rereading: bool,
    /// Name of what is being opened.
    pub name: String,
    pub progress: Option<Progress>,
}

/// What became of reading or writing a small file on a thread.
pub(super) enum FileEvent {
    Project(PathBuf, Box<Project>),
    Saved(PathBuf),
    Failed(Failure),
}

const PREFERENCES: &str = "preferences";

impl App {
    /// Starts the worker and opens the first model. Fails only if no thread can be started.
    pub fn new(cc: &eframe::CreationContext<'_>, services: Services) -> std::io::Result<Self> {
        style::apply(&cc.egui_ctx);
        let stored = cc.storage.and_then(|storage| eframe::get_value::<Preferences>(storage, PREFERENCES));
        let mut preferences = stored.unwrap_or_default();
        preferences.precision = services.precision.unwrap_or(preferences.precision);
        cc.egui_ctx.set_theme(preferences.theme);
        let ctx = cc.egui_ctx.clone();
        let document = Document::default();
        let mut app = App {
            worker: Worker::spawn(services.engine, move || ctx.request_repaint())?,
            dialogs: services.dialogs,
            easel: cc.wgpu_render_state.clone().map(Easel::new),
            painted: Instant::now(),
            model: None,
            history: History::new(&document),
            document,
            surface: None,
            comparison: None,
            view: View::default(),
            preferences,
            device: (String::new(), None),
            work: Work::default(),
            pending: None,
            files: channel(),
            failure: None,
            render_failure: None,
            failure_details: false,
            toast: None,
            palette: None,
            shortcuts: false,
            reading: false,
            sweep: None,
            path_prompt: None,
            panels_hidden: false,
            refused_seed: None,
            title: String::new(),
        };
        if app.preferences.precision != Precision::default() {
            app.worker.send(Job::Store(app.preferences.precision));
        }
        app.open(services.start, &cc.egui_ctx);
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
        self.surface.as_ref().map(Surface::edit)
    }

    /// The frame on screen.
    pub fn frame(&self) -> Option<&crate::render::Frame> {
        self.surface.as_ref().map(|surface| &surface.frame)
    }

    /// What the error bar says.
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref().or(self.render_failure.as_ref())
    }

    /// True if nothing is being done and the picture and the directions answer the present edit and selection.
    pub fn is_settled(&self) -> bool {
        let current = self
            .model
            .as_ref()
            .is_none_or(|model| model.shown.is_current() && self.shown_edit() == Some(&self.document.edit));
        self.worker.is_idle() && self.work.opening == 0 && self.work.exporting == 0 && current
    }

    fn panels_ui(&mut self, ui: &mut Ui, commands: &mut Vec<Command>) {
        let [narrowest, first, widest] = style::PANEL_WIDTHS;
        let panel = |panel: Panel| panel.frame(style::panel_frame()).default_size(first).size_range(narrowest..=widest);
        if self.panels_hidden {
            return;
        }
        let Some(model) = &mut self.model else { return };
        panel(Panel::left("sample and moves")).default_size(style::LEFT_WIDTH).show(ui, |ui| {
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
        panel(Panel::right("semantics")).show(ui, |ui| {
            if semantics_ui(ui, &model.info, &mut model.shown, &mut self.document, commands) {
                self.preferences.has_dragged = true;
            }
            ui.take_available_space();
        });
    }

    fn centre_ui(&mut self, ui: &mut Ui, comparing: bool, commands: &mut Vec<Command>) {
        let wanted = self.comparison_edit();
        let moved = wanted.as_ref().is_some_and(|wanted| *wanted != self.document.edit);
        let comparing = comparing && moved;
        let text = self.caption(comparing);
        let pinned = self.model.as_ref().is_some_and(|model| model.reference.is_some());
        let ready = self.comparison.as_ref().filter(|shown| Some(shown.edit()) == wanted.as_ref()).is_some();
        let surface = if comparing && ready { &self.comparison } else { &self.surface };
        let Some(surface) = surface else {
            ui.painter().rect_filled(ui.max_rect(), 0.0, style::palette(ui).surround);
            self.empty_ui(ui, commands);
            return;
        };
        let caption = Caption { text: &text, compared: comparing, pinned };
        picture_ui(ui, surface, self.easel.as_ref(), &mut self.view, &caption, commands);
    }

    fn caption(&self, comparing: bool) -> String {
        let seed = match self.document.edit.sample.code {
            Code::Seed(seed) => format!("seed {}", seed.number),
            _ => "code from file".to_owned(),
        };
        let pinned = self.model.as_ref().is_some_and(|model| model.reference.is_some());
        match (comparing, pinned) {
            (true, true) => return "comparison".to_owned(),
            (true, false) => return format!("unedited sample · {seed}"),
            _ => {}
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
            if self.work.opening > 0 || self.model.is_some() {
                ui.spinner();
                ui.weak(format!("Opening {}", self.work.name));
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
        if sweep_ui(ctx, &mut self.sweep, &self.document) {
            self.ask(super::dialogs::Ask::SweepFolder, ctx);
        }
        if let Some((ask, path)) = open::path_ui(ctx, &mut self.path_prompt) {
            self.answered(ask, path, ctx);
        }
        let answer = reading_ui(ctx, &mut self.reading, self.model.as_ref().map(|model| &*model.info));
        if let Some(answer) = answer.filter(|_| self.work.opening == 0) {
            self.reread_as(answer);
        }
        open::toast_ui(ctx, &mut self.toast, area);
        for path in open::drop_ui(ctx) {
            self.open(Source::File(path), ctx);
        }
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

    /// Space compares, unless it is typed into a text or presses the focused button.
    fn space_is_held(&self, ctx: &egui::Context) -> bool {
        let free = slider::space_is_free(ctx) && !ctx.text_edit_focused() && self.palette.is_none();
        free && ctx.input(|input| input.key_down(Key::Space))
    }
}

impl eframe::App for App {
    fn logic(&mut self, ctx: &egui::Context, _: &mut eframe::Frame) {
        self.take_events(ctx);
    }

    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        let ctx = ui.ctx().clone();
        let colours = style::palette(ui);
        let mut commands = if self.palette.is_none() { Command::pressed(&ctx) } else { Vec::new() };
        self.history.begin_gesture(&self.document, &ctx);
        slider::track_wheel(&ctx, true);

        let bar = style::bar_frame();
        let asked = Panel::top("menu").frame(bar).exact_size(style::MENU_HEIGHT).show(ui, |ui| {
            let moved = self.comparison_edit().is_some_and(|wanted| wanted != self.document.edit);
            let facts = Bar {
                info: self.model(),
                recent: &self.preferences.recent,
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
        if let Some(failure) = self.failure.as_ref().or(self.render_failure.as_ref()) {
            let frame = egui::Frame::new().fill(colours.error_back).inner_margin(egui::Margin::symmetric(12, 4));
            let bar = Panel::top("failure")
                .frame(frame)
                .show(ui, |ui| open::failure_ui(ui, failure, &mut self.failure_details));
            if !bar.inner {
                (self.failure, self.render_failure, self.failure_details) = (None, None, false);
            }
        }
        self.reading_bar(ui);
        let cancelled = Panel::bottom("status").frame(bar).exact_size(style::STATUS_HEIGHT).show(ui, |ui| {
            let work = self.work.progress.as_ref().map(|progress| (self.work.name.as_str(), progress));
            let status = Status {
                frame: self.surface.as_ref().map(|surface| &surface.frame),
                device: &self.device.0,
                device_note: self.device.1.as_deref(),
                zoom: self.view.shown,
                fits: self.view.zoom.is_none(),
                work,
            };
            status_ui(ui, &status)
        });
        if cancelled.inner {
            commands.push(Command::Cancel);
        }
        self.panels_ui(ui, &mut commands);
        let area = CentralPanel::no_frame().show(ui, |ui| self.centre_ui(ui, comparing, &mut commands));
        slider::track_wheel(&ctx, false);
        self.overlays_ui(&ctx, area.response.rect, &mut commands);
        for command in commands {
            self.perform(command, &ctx);
        }
        self.send_what_changed(&ctx, comparing);
    }

    /// Panels and bars paint no ground of their own: a pixel that is painted once takes software rasterisers half as long.
    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        visuals.panel_fill.to_normalized_gamma_f32()
    }

    fn save(&mut self, storage: &mut dyn eframe::Storage) {
        self.keep_names();
        eframe::set_value(storage, PREFERENCES, &self.preferences);
    }
}
