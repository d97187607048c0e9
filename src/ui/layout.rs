//! What lies where in the window: bars above, panels on both sides, the picture between them, windows over it.

use egui::{IdSalt, Key, Panel, Ui};

use super::app::App;
use super::asking::{Chosen, asking_ui, choices_ui};
use super::command::Command;
use super::compare::Side;
use super::dialogs::Ask;
use super::keyboard;
use super::looks::{Look, looks_bar_ui};
use super::menu::{self, Bar};
use super::messages;
use super::moves::{Shown, moves_ui};
use super::open::{self, PathPrompt};
use super::palette::{Palette, palette_ui};
use super::perform::draw;
use super::picture::{Caption, picture_ui};
use super::reading::{self, BarAnswer, reading_bar_ui, reading_ui};
use super::running::Running;
use super::sample::sample_ui;
use super::samples::{seed_kind, with_seed};
use super::semantics::semantics_ui;
use super::sheet::Sheet;
use super::shortcuts::shortcuts_ui;
use super::status::{Status, status_ui};
use super::strips::Thumbnails;
use super::style;
use super::sweep::{SweepDialog, sweep_ui};
use super::titles::{edit_title, sample_title};
use crate::edit::{Code, Edit, Seed};
use crate::export::Shot;
use crate::motion::Motion;
use crate::render::{Example, Source, ViewId};
use crate::tasks::Lesson;

const LEFT_PANEL: &str = "sample and moves";
const RIGHT_PANEL: &str = "semantics";

/// Windows over the window that are open.
#[derive(Default)]
pub struct Overlays {
    pub palette: Option<Palette>,
    pub shortcuts: bool,
    /// The form of how the file was read.
    pub reading: bool,
    pub sweep: Option<SweepDialog>,
    /// A motion that is to be exported, and the larger side of its frames.
    pub film: Option<(Motion, usize)>,
    pub path_prompt: Option<PathPrompt>,
}

impl App {
    /// Returns true while its button for comparing is held.
    pub(super) fn menu_bar_ui(&mut self, ui: &mut Ui, commands: &mut Vec<Command>) -> bool {
        let bar = Panel::top("menu").frame(style::bar_frame()).exact_size(style::MENU_HEIGHT);
        let answer = bar.show(ui, |ui| {
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
        let answer = answer.inner;
        commands.extend(answer.commands);
        if let Some(source) = answer.open {
            self.open(source, ui.ctx());
        }
        if let Some(document) = answer.open_document {
            self.open_recent_document(document, ui.ctx());
        }
        if answer.shows_documents {
            self.list_recent_documents(ui.ctx());
        }
        answer.compare
    }

    pub(super) fn status_bar_ui(&mut self, ui: &mut Ui) {
        let bar = Panel::bottom("status").frame(style::bar_frame()).exact_size(style::STATUS_HEIGHT);
        let running: Vec<&Running> = self.running().collect();
        let cancelled = bar.show(ui, |ui| {
            let status = Status {
                frame: self.frame(),
                device: &self.device,
                zoom: self.placement.shown,
                fits: self.placement.zoom.is_none(),
                running: &running,
                messages: &self.notices.messages,
            };
            status_ui(ui, &status)
        });
        if let Some(job) = cancelled.inner {
            self.background.cancel(job);
        }
    }

    pub(super) fn panels_ui(&mut self, ui: &mut Ui, commands: &mut Vec<Command>) {
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
            match moves_ui(ui, &mut self.document, commands) {
                Some(Shown::Direction(direction)) => model.directions.selection.go_to(&direction),
                Some(Shown::Layers(layers)) => model.directions.selection.layers = layers,
                None => {}
            }
            ui.take_available_space();
        });
        panel(Panel::right(RIGHT_PANEL)).show(ui, |ui| {
            let mut thumbnails = Thumbnails {
                strips: &mut self.strips,
                tiles: &mut self.tiles,
                always: self.preferences.strips,
                beside: self.looks.look != Look::Directions,
            };
            if semantics_ui(ui, &model.info, &mut model.directions, &mut self.document, &mut thumbnails, commands) {
                self.preferences.has_dragged = true;
            }
            ui.take_available_space();
        });
        name_panel_edge(ui, LEFT_PANEL, "Width of the left panel");
        name_panel_edge(ui, RIGHT_PANEL, "Width of the right panel");
    }

    pub(super) fn centre_ui(&mut self, ui: &mut Ui, comparing: bool, commands: &mut Vec<Command>) {
        let Some(model) = &self.model else { return self.picture_ui(ui, comparing, commands) };
        let (info, directions) = (model.info.clone(), model.directions.set.clone());
        let shows_hidden = model.directions.shows_hidden;
        self.shelf_ui(ui, commands);
        self.player_ui(ui, commands);
        let answer = looks_bar_ui(ui, &mut self.looks, &self.document.edit, commands);
        if answer.draw {
            self.looks.samples.show_drawn(draw);
        }
        if answer.learn {
            let [up, down] = self.looks.samples.marked(&info, &self.document.edit);
            self.learn(Lesson::Marks { up, down });
        }
        let mut taken = answer.taken;
        match self.looks.look {
            Look::Picture => self.picture_ui(ui, comparing, commands),
            Look::Samples => {
                let clicked = self.looks.samples.show(ui, &info, &self.document.edit, &mut self.tiles);
                match clicked.filter(|_| ui.input(|input| input.modifiers.shift)) {
                    Some(number) => {
                        let seed = Seed { number, kind: seed_kind(&self.document.edit, &info) };
                        self.keep(with_seed(&self.document.edit, seed));
                    }
                    None => taken = clicked.or(taken),
                }
            }
            Look::Directions => {
                if let Some(set) = &directions {
                    let sheet = Sheet { info: &info, set, shows_hidden };
                    self.looks.sheet.show(ui, &sheet, &mut self.document, &mut self.tiles);
                }
            }
            Look::Compare => self.compare_ui(ui),
            Look::Analysis => self.analysis_ui(ui),
            Look::Photo => {
                let present = self.views.surface(ViewId::PICTURE);
                self.looks.photo.show(ui, &info, present, self.picture_pipeline.as_ref(), commands);
            }
        }
        self.take_sample(taken);
    }

    /// The two pictures that are compared, A and B; `edit` is the present one.
    pub(super) fn compared_shots(&self, edit: &Edit) -> Vec<Shot> {
        let [a, b] = [self.caption(true, true), edit_title(edit)];
        let other = self.comparison_edit().unwrap_or_else(|| edit.unedited());
        vec![Shot { label: a, edit: other }, Shot { label: b, edit: edit.clone() }]
    }

    /// Two pictures: A is what Space shows, B the present edit.
    fn compare_ui(&mut self, ui: &mut Ui) {
        let texts = [self.caption(true, true), edit_title(&self.document.edit)];
        let edited = self.views.surface(ViewId::PICTURE);
        let compared = match self.comparison_edit() {
            Some(edit) if edit == self.document.edit => edited,
            Some(edit) => self.views.surface_of(ViewId::COMPARISON, &edit),
            None => None,
        };
        let [a, b] = &texts;
        let sides = [Side { surface: compared, text: a }, Side { surface: edited, text: b }];
        self.looks.compare.show(ui, &sides, &self.document.edit, self.picture_pipeline.as_ref(), &mut self.placement);
    }

    /// The picture, or the one to compare with.
    fn picture_ui(&mut self, ui: &mut Ui, comparing: bool, commands: &mut Vec<Command>) {
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
        picture_ui(ui, surface, self.picture_pipeline.as_ref(), &mut self.placement, &caption, commands);
    }

    fn caption(&self, comparing: bool, is_there: bool) -> String {
        let seed = sample_title(&self.document.edit.sample);
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
        if let Some(player) = &self.player {
            return player.title();
        }
        if !self.preferences.has_dragged {
            return "Drag a slider, or press 3 to see what they all do. Hold Space to compare.".to_owned();
        }
        edit_title(&self.document.edit)
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

    pub(super) fn overlays_ui(&mut self, ctx: &egui::Context, area: egui::Rect, commands: &mut Vec<Command>) {
        let mut palette = self.overlays.palette.take();
        commands.extend(palette_ui(ctx, &mut palette, &|command| self.is_pointless(command)));
        self.overlays.palette = palette;
        shortcuts_ui(ctx, &mut self.overlays.shortcuts);
        // The later window lies over the earlier: Escape is for that one first.
        if let Some((ask, path)) = open::path_ui(ctx, &mut self.overlays.path_prompt) {
            self.answered(ask, path, false, ctx);
        }
        if sweep_ui(ctx, &mut self.overlays.sweep, &self.document) {
            self.ask(Ask::SweepFolder, ctx);
        }
        let answer = reading_ui(ctx, &mut self.overlays.reading, self.model.as_ref().map(|model| &*model.info));
        if let Some(answer) = answer.filter(|_| self.work.openings.is_empty()) {
            self.reread_as(answer);
        }
        if self.player.is_some() && keyboard::escape_closes(ctx) {
            self.player = None;
        }
        messages::note_ui(ctx, &mut self.notices.note, area);
        for path in open::drop_ui(ctx) {
            self.open(Source::File(path), ctx);
        }
    }

    /// Bars under the menu: that the engine stopped, what did not work, an edit that waits for its model.
    pub(super) fn notices_ui(&mut self, ui: &mut Ui, comparing: bool, commands: &mut Vec<Command>) {
        let colours = style::palette(ui);
        let bar = |name: &'static str, fill| {
            let frame = egui::Frame::new().fill(fill).inner_margin(egui::Margin::symmetric(12, 4));
            Panel::top(name).frame(frame)
        };
        if let Some(stopped) = &self.work.stopped {
            let shown = bar("stopped", colours.error_back).show(ui, |ui| messages::stopped_ui(ui, &stopped.failure));
            if shown.inner {
                self.restart(ui.ctx());
            }
        }
        let compared = self.views.failure(ViewId::COMPARISON).filter(|_| comparing);
        if let Some(failure) = self.failure().or(compared) {
            let details = &mut self.notices.shows_details.clone();
            let shown = bar("failure", colours.error_back).show(ui, |ui| messages::failure_ui(ui, failure, details));
            self.notices.shows_details = *details;
            if !shown.inner {
                self.dismiss_failure();
            }
        }
        if let Some(asking) = self.asking.last() {
            let shown = bar("asking", colours.surround).show(ui, |ui| asking_ui(ui, asking, self.exports()));
            let is_free =
                self.overlays.palette.is_none() && self.overlays.path_prompt.is_none() && self.overlays.sweep.is_none();
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
        if let Some(waiting) = self.waiting.as_ref().filter(|_| self.work.openings.is_empty()) {
            let shown = bar("waiting edit", colours.surround)
                .show(ui, |ui| messages::waiting_ui(ui, &waiting.text(), commands));
            if shown.inner {
                self.waiting = None;
            }
        }
    }

    /// Takes away the failure that is shown; what became of kept files one by one.
    fn dismiss_failure(&mut self) {
        self.notices.shows_details = false;
        if self.notices.failure.is_none() && !self.notices.told.is_empty() {
            self.notices.told.remove(0);
            return;
        }
        self.notices.failure = None;
        self.views.dismiss_failures();
    }

    pub(super) fn reading_bar(&mut self, ui: &mut Ui) {
        let Some(model) = self.model.as_mut().filter(|model| !model.reading_seen && reading::is_open(&model.info))
        else {
            return;
        };
        let bar = Panel::top("reading").frame(style::bar_frame()).show(ui, |ui| reading_bar_ui(ui, &model.info));
        match bar.inner {
            Some(BarAnswer::Change) => self.overlays.reading = true,
            Some(BarAnswer::Dismiss) => model.reading_seen = true,
            None => {}
        }
    }
}

/// egui calls the edge of every panel "Resize panel".
fn name_panel_edge(ui: &Ui, panel: &str, name: &str) {
    let edge = ui.scope_id().with_salt(IdSalt::new(panel)).with("__resize");
    ui.ctx().accesskit_node_builder(edge, |node| node.set_label(name));
}
