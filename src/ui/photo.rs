//! A photo, the part of it that is to be found, and the picture that comes nearer to it.

use std::sync::Arc;
use std::time::Instant;

use egui::{
    Button, Color32, ColorImage, Panel, Rect, Shape, TextureHandle, TextureOptions, Ui, WidgetInfo, pos2, vec2,
};

use super::command::Command;
use super::icons::{Icon, icon_button};
use super::number::{Digits, number_box};
use super::photo_frame::{PhotoFrame, Tool};
use super::segments::{Segment, segments_ui};
use super::slider::Slider;
use super::style;
use super::surface::{PicturePipeline, Surface};
use crate::edit::{Code, Crop};
use crate::generator::ModelInfo;
use crate::invert::{Found, Glimpse, Photo, SearchSpace, Settings};
use crate::render::Pixels;
use crate::worker::JobId;

/// Pixels of the larger side of a photo on screen.
const SHOWN_SIDE: usize = 1024;
/// Steps that can be asked for.
const STEPS: [f32; 2] = [1.0, 100_000.0];
/// Costs that the curve is drawn through.
const MOST_COSTS: usize = 2000;

/// The view of a photo, and how it is searched.
pub struct PhotoView {
    pub open: Option<OpenPhoto>,
    /// As the person said; the model's own with the most room if nothing was.
    space: Option<SearchSpace>,
    pub editable: f32,
    pub steps: f32,
    seed: u64,
}

impl Default for PhotoView {
    fn default() -> Self {
        let (editable, steps) = (Settings::EDITABLE, Settings::STEPS as f32);
        PhotoView { open: None, space: None, editable, steps, seed: 0 }
    }
}

/// A photo that was opened.
pub struct OpenPhoto {
    /// Its file's name.
    pub name: String,
    pub photo: Arc<Photo>,
    pub frame: PhotoFrame,
    texture: TextureHandle,
    pub search: Option<PhotoSearch>,
}

/// A search that runs, or has come to its end.
pub struct PhotoSearch {
    /// `None` once it has ended.
    pub job: Option<JobId>,
    began: Instant,
    /// How long it took.
    seconds: Option<f64>,
    space: SearchSpace,
    steps: usize,
    /// Steps and costs.
    costs: Vec<[f64; 2]>,
    pub glimpse: Option<Glimpse>,
    picture: Option<TextureHandle>,
    /// Percentile of how typical the code is, once it is found.
    percentile: Option<f64>,
    pub code: Option<Code>,
}

impl OpenPhoto {
    pub fn new(name: String, photo: Photo, info: &ModelInfo, ctx: &egui::Context) -> Self {
        let small = image_of(&photo.small(SHOWN_SIDE));
        let texture = ctx.load_texture("photo", small, TextureOptions::LINEAR);
        let frame = PhotoFrame::new(&photo, photo.middle(info));
        OpenPhoto { name, photo: Arc::new(photo), frame, texture, search: None }
    }

    /// The search that runs.
    pub fn running(&self) -> Option<&PhotoSearch> {
        self.search.as_ref().filter(|search| search.job.is_some())
    }
}

impl PhotoView {
    /// The search of a job, if it is that of this photo.
    pub fn search_of(&mut self, job: JobId) -> Option<&mut PhotoSearch> {
        self.open.as_mut()?.search.as_mut().filter(|search| search.job == Some(job))
    }

    /// How the next search is made. `afresh`: from other samples than the last one.
    pub fn settings(&mut self, info: &ModelInfo, afresh: bool, from: Option<Code>) -> Settings {
        self.seed += u64::from(afresh);
        let usual = Settings::new(info);
        let space = if info.w_dim.is_some() { self.space.unwrap_or(usual.space) } else { SearchSpace::Z };
        Settings { space, steps: self.steps as usize, seed: self.seed, editable: self.editable, from, ..usual }
    }

    /// The code that the last search found, if another one can go on from it.
    pub fn goes_on_from(&self) -> Option<&Code> {
        let search = self.open.as_ref()?.search.as_ref().filter(|search| search.job.is_none())?;
        search.code.as_ref().filter(|_| self.space.is_none_or(|space| space == search.space))
    }

    /// The photo, its picture, and what the search is told; fills `ui`. `present`: the picture of the document.
    pub fn show(
        &mut self,
        ui: &mut Ui,
        info: &ModelInfo,
        present: Option<&Surface>,
        picture_pipeline: Option<&PicturePipeline>,
        commands: &mut Vec<Command>,
    ) {
        let frame = style::bar_frame();
        Panel::bottom("photo")
            .frame(frame)
            .exact_size(3.0 * style::ROW)
            .show(ui, |ui| self.controls_ui(ui, info, commands));
        let area = ui.available_rect_before_wrap();
        ui.painter().rect_filled(area, 0.0, style::palette(ui).surround);
        let Some(open) = &mut self.open else {
            return nothing_ui(ui, commands);
        };
        let [left, right] = area.split_left_right_at_fraction(0.5).into();
        let [left, right] = [left, right].map(|half| half.shrink(2.0 * style::GRID));
        let proportion = info.size.width as f32 / info.size.height as f32;
        open.frame.show(ui, left, &open.photo, &open.texture, proportion);
        let right = Rect::from_min_max(right.min, pos2(right.right(), right.bottom() - style::ROW));
        open.result_ui(ui, right, proportion, present, picture_pipeline);
    }

    /// In the bar over the view, from the right: the frame and the brush.
    pub fn bar_ui(&mut self, ui: &mut Ui, commands: &mut Vec<Command>) {
        let open_button = ui.add(Button::new("Open photo…").frame_when_inactive(false));
        if open_button.on_hover_text(Command::OpenPhoto.hint(ui.ctx())).clicked() {
            commands.push(Command::OpenPhoto);
        }
        let Some(OpenPhoto { photo, frame, .. }) = &mut self.open else { return };
        if frame.tool == Tool::Frame {
            let Crop { centre: [x, y], width, turn } = &mut frame.crop;
            let fields = [
                (turn, 0.1, 1, "Turn of the frame in degrees", "°"),
                (width, 1.0, 0, "Width of the frame in pixels of the photo", "w"),
                (y, 1.0, 0, "Middle of the frame, pixels from the top", "y"),
                (x, 1.0, 0, "Middle of the frame, pixels from the left", "x"),
            ];
            for (value, speed, decimals, name, label) in fields {
                number_box(ui, value, speed, Digits::AtMost(decimals), name)
                    .on_hover_text(format!("{name}; drag, or click to type"));
                ui.weak(label);
            }
        } else {
            if icon_button(ui, Icon::Cross, "Hide nothing", "All of the photo counts again").clicked() {
                frame.hide_nothing(photo);
            }
            let mut size = 200.0 * frame.brush;
            number_box(ui, &mut size, 0.1, Digits::AtMost(1), "Width of the brush in percent of the photo")
                .on_hover_text("Width of the brush, in percent of the photo's larger side");
            frame.brush = (size / 200.0).clamp(0.001, 0.5);
            ui.weak("Brush");
        }
        frame.limit(photo);
        let tools = [
            (
                Tool::Frame,
                "Frame",
                "Drag the frame, its corners and its knob: the part of the photo that is found, cut as the model's training pictures were",
            ),
            (Tool::Hide, "Hide", "Paint over what does not count: a hand, glasses, text (Shift shows it again)"),
            (Tool::Show, "Show", "Paint over what was hidden to have it count again"),
        ];
        let segments = tools.map(|(tool, text, tooltip)| segment(text, text, tooltip, true, tool == frame.tool));
        if let Some(at) = segments_ui(ui, 144.0, &segments) {
            frame.tool = tools[at].0;
        }
    }

    fn controls_ui(&mut self, ui: &mut Ui, info: &ModelInfo, commands: &mut Vec<Command>) {
        let running = self.open.as_ref().is_some_and(|open| open.running().is_some());
        let goes_on = self.goes_on_from().is_some();
        ui.horizontal_centered(|ui| {
            ui.vertical(|ui| {
                ui.set_width(400.0);
                ui.add_space(style::GRID);
                ui.add_enabled_ui(!running, |ui| ui.horizontal(|ui| self.wishes_ui(ui, info)));
                ui.horizontal(|ui| {
                    let is_open = self.open.is_some();
                    let find = if running { "Stop" } else { "Find it" };
                    for (text, command, enabled) in [
                        (find, Command::FindPhoto, is_open),
                        ("Go on", Command::FindOn, goes_on),
                        ("Another start", Command::FindAfresh, is_open && !running),
                    ] {
                        let button = ui.add_enabled(enabled, Button::new(text)).on_hover_text(command.hint(ui.ctx()));
                        if button.clicked() {
                            commands.push(command);
                        }
                    }
                });
            });
            if let Some(search) = self.open.as_ref().and_then(|open| open.search.as_ref()) {
                search.curve_ui(ui);
            }
        });
    }

    /// Where the search looks, how far it goes.
    fn wishes_ui(&mut self, ui: &mut Ui, info: &ModelInfo) {
        let has_w = info.w_dim.is_some();
        let present = if has_w { self.space.unwrap_or(SearchSpace::WPlus) } else { SearchSpace::Z };
        let spaces = [
            (SearchSpace::WPlus, "w+", "One w for each layer: comes nearest"),
            (SearchSpace::W, "w", "One w for all layers: moves best"),
            (SearchSpace::Z, "z", "What the model was trained on: the most typical, the least near"),
        ];
        let segments = spaces.map(|(space, text, tooltip)| {
            let enabled = has_w || space == SearchSpace::Z;
            segment(text, text, if enabled { tooltip } else { "This model has no w" }, enabled, space == present)
        });
        if let Some(at) = segments_ui(ui, 96.0, &segments) {
            self.space = Some(spaces[at].0);
        }
        ui.weak("Faithful");
        let slider = Slider::new(&mut self.editable, 0.0..=1.0, "Editable").home(Settings::EDITABLE).step(0.05);
        let hint = "Left: as near to the photo as it gets. Right: a code as the model's own samples have, which moves like theirs.";
        slider.show(ui, 96.0).response.on_hover_text(format!("{hint} Double-click resets."));
        self.editable = self.editable.clamp(0.0, 1.0);
        ui.weak("Editable");
        number_box(ui, &mut self.steps, 1.0, Digits::Plain(0), "Steps at most")
            .on_hover_text("Steps at most; the search ends by itself when it comes no nearer");
        self.steps = self.steps.round().clamp(STEPS[0], STEPS[1]);
        ui.weak("steps");
    }
}

impl OpenPhoto {
    /// The picture that is nearest so far; after the search, the document's, which sliders move.
    fn result_ui(
        &self,
        ui: &mut Ui,
        area: Rect,
        proportion: f32,
        present: Option<&Surface>,
        picture_pipeline: Option<&PicturePipeline>,
    ) {
        let colours = style::palette(ui);
        let width = area.width().min(area.height() * proportion);
        let place = Rect::from_center_size(area.center(), vec2(width, width / proportion));
        let response = ui.interact(place, egui::Id::unique("picture of the photo"), egui::Sense::hover());
        let text = self.search.as_ref().map_or_else(|| "the edit as it is".to_owned(), PhotoSearch::text);
        response.widget_info(|| WidgetInfo::labeled(egui::Role::Image, true, format!("Picture, {text}")));
        let painter = ui.painter_at(area);
        let whole = Rect::from_min_max(pos2(0.0, 0.0), pos2(1.0, 1.0));
        match (self.running().and_then(|search| search.picture.as_ref()), present, picture_pipeline) {
            (Some(texture), ..) => {
                painter.image(texture.id(), place, whole, Color32::WHITE);
            }
            (None, Some(surface), Some(pipeline)) => surface.paint(&painter, pipeline, place, area, false),
            _ => {}
        }
        let line = pos2(area.center().x, place.bottom() + style::ROW / 2.0 + style::GRID);
        let font = egui::FontId::proportional(style::SMALL_TEXT + 1.0);
        ui.painter().text(line, egui::Align2::CENTER_CENTER, text, font, colours.text_weak);
    }
}

impl PhotoSearch {
    pub fn new(job: JobId, settings: &Settings) -> Self {
        PhotoSearch {
            job: Some(job),
            began: Instant::now(),
            seconds: None,
            space: settings.space,
            steps: settings.steps,
            costs: Vec::new(),
            glimpse: None,
            picture: None,
            percentile: None,
            code: None,
        }
    }

    /// Takes in how near it is.
    pub fn come_nearer(&mut self, glimpse: Glimpse, ctx: &egui::Context) {
        self.costs.push([glimpse.step as f64, glimpse.cost]);
        if self.costs.len() > MOST_COSTS {
            // Every other one is enough.
            let mut number = 0;
            self.costs.retain(|_| {
                number += 1;
                number % 2 == 0
            });
        }
        let image = image_of(&glimpse.picture);
        match &mut self.picture {
            Some(texture) => texture.set(image, TextureOptions::LINEAR),
            None => self.picture = Some(ctx.load_texture("nearest so far", image, TextureOptions::LINEAR)),
        }
        self.glimpse = Some(glimpse);
    }

    /// It has ended, with what was found or with the last glimpse.
    pub fn end(&mut self, found: Option<&Found>) {
        self.job = None;
        self.seconds = Some(self.began.elapsed().as_secs_f64());
        if let (Some(found), Some(glimpse)) = (found, &mut self.glimpse) {
            glimpse.psnr = found.psnr;
        }
        self.percentile = found.map(|found| found.percentile);
        let edit = found.map(|found| &found.edit).or(self.glimpse.as_ref().map(|glimpse| &glimpse.edit));
        self.code = edit.map(|edit| edit.sample.code.clone());
    }

    /// "step 120 of 500 · 31.2 dB", "34.6 dB in 18 s · more typical than 40 % of samples"
    fn text(&self) -> String {
        let Some(glimpse) = &self.glimpse else {
            return if self.job.is_some() { "looking for a start…" } else { "nothing was found" }.to_owned();
        };
        let psnr = glimpse.psnr;
        match (self.seconds, self.percentile) {
            (None, _) => format!("step {} of {} · {psnr:.1} dB", glimpse.step, self.steps),
            (Some(seconds), None) => format!("stopped at {psnr:.1} dB after {seconds:.0} s"),
            (Some(seconds), Some(percentile)) => {
                format!("{psnr:.1} dB in {seconds:.0} s · more typical than {:.0} % of samples", 100.0 - percentile)
            }
        }
    }

    /// Costs over steps.
    fn curve_ui(&self, ui: &mut Ui) {
        let colours = style::palette(ui);
        let (area, response) = ui.allocate_exact_size(
            vec2(ui.available_width().max(1.0), ui.available_height() - style::GRID),
            egui::Sense::hover(),
        );
        response
            .widget_info(|| WidgetInfo::labeled(egui::Role::Image, true, format!("Cost over steps, {}", self.text())));
        ui.painter().rect_filled(area, style::RADIUS, colours.field);
        let log = |cost: f64| cost.max(1e-9).ln() as f32;
        let costs = self.costs.iter().map(|&[_, cost]| log(cost));
        let (low, high) = costs.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        let inner = area.shrink(style::GRID);
        let span = (high - low).max(1e-3);
        let point = |&[step, cost]: &[f64; 2]| {
            let x = inner.left() + inner.width() * (step / self.steps.max(1) as f64) as f32;
            pos2(x.min(inner.right()), inner.bottom() - inner.height() * (log(cost) - low) / span)
        };
        ui.painter().add(Shape::line(self.costs.iter().map(point).collect(), (1.5, colours.accent)));
        response.on_hover_text("The cost of the nearest picture so far over steps, on a logarithmic scale");
    }
}

fn nothing_ui(ui: &mut Ui, commands: &mut Vec<Command>) {
    let height = ui.available_height();
    ui.vertical_centered(|ui| {
        ui.add_space(height * 0.4);
        ui.label("Drop a photo here: the model's code for it is found, and all sliders work on it.");
        ui.add_space(style::GRID);
        if ui.button(Command::OpenPhoto.text()).on_hover_text(Command::OpenPhoto.hint(ui.ctx())).clicked() {
            commands.push(Command::OpenPhoto);
        }
    });
}

fn segment<'a>(text: &'a str, name: &'a str, tooltip: &'a str, enabled: bool, on: bool) -> Segment<'a> {
    Segment { text, name, tooltip, enabled, on }
}

fn image_of(pixels: &Pixels) -> ColorImage {
    ColorImage::from_rgba_unmultiplied([pixels.width, pixels.height], &pixels.to_rgba())
}
