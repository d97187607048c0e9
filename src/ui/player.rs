//! The player: a motion in place of the picture, and the bar under it. The document stays as it is; whoever changes the edit
//! meanwhile has the picture back.

use std::sync::Arc;

use egui::{Align, ComboBox, Layout, Panel, Ui, vec2};

use super::command::Command;
use super::icons::{Icon, icon_button};
use super::number::{Digits, number_box};
use super::segments::{Segment, segments_ui};
use super::slider::Slider;
use super::style;
use crate::edit::{Code, Direction, Easing, Edit, Playback, SECONDS, Sample, Shelf};
use crate::export::MAX_FILM_SIDE;
use crate::motion::{Motion, MotionError};

/// What is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Shelf,
    Swing,
    Walk,
}

const KINDS: [(Kind, &str, &str); 3] = [
    (Kind::Shelf, "Shelf", "The kept pictures from left to right, each with its time"),
    (Kind::Swing, "Swing", "A move from one distance to another and back"),
    (Kind::Walk, "Walk", "From sample to sample"),
];
const EASINGS: [(Easing, &str, &str); 3] = [
    (Easing::Smooth, "Smooth", "Through all pictures without a halt"),
    (Easing::Linear, "Linear", "Straight to the next, at constant speed"),
    (Easing::Hold, "Hold", "It stays, and jumps to the next"),
];
/// Widths of the choices, in points.
const KIND: f32 = 52.0;
const EASING: f32 = 54.0;
/// Narrower (points), how it is played has a line of its own, and still narrower the size of exports no room.
const ROOM: f32 = 640.0;
const ROOM_FOR_SIDE: f32 = 420.0;
/// Exported frames are enlarged by a whole number as far as this, in pixels.
const USUAL_SIDE: usize = 512;
/// More samples than anybody watches.
const MOST_SAMPLES: f32 = 100.0;

/// What the motions that are no shelf's are made of.
#[derive(Clone, Debug, PartialEq)]
struct ReadyMade {
    ends: [f32; 2],
    swing_seconds: f32,
    samples: usize,
    walk_seconds: f32,
}

/// What a motion is made of, besides its own settings.
#[derive(Clone)]
pub struct Scene<'a> {
    pub edit: &'a Edit,
    pub shelf: &'a Shelf,
    /// That of a swing: the move that is farthest out, or the strongest direction of those that Semantics shows.
    pub direction: Option<&'a Arc<Direction>>,
    /// Half-width of that direction's slider.
    pub range: f32,
    /// Larger side of the model's pictures, in pixels.
    pub side: usize,
}

/// A motion that is shown, running or not.
pub struct Player {
    kind: Kind,
    ready_made: ReadyMade,
    /// Larger side of exported frames, in pixels.
    side: usize,
    motion: Result<Motion, MotionError>,
    frame: usize,
    /// What is shown.
    edit: Edit,
    /// When it began to run (seconds of the window), and from which frame.
    running: Option<(f64, usize)>,
    /// What the motion was made of. If the edit is another one, somebody wants to see that.
    made_of: (Edit, Shelf, Kind, ReadyMade),
}

impl Player {
    /// Shows the shelf, or where that has too little a swing.
    pub fn new(scene: &Scene<'_>) -> Self {
        let kind = match (scene.shelf.len(), scene.direction) {
            (2.., _) => Kind::Shelf,
            (_, Some(_)) => Kind::Swing,
            (_, None) => Kind::Walk,
        };
        let ready_made =
            ReadyMade { ends: [-scene.range, scene.range], swing_seconds: 4.0, samples: 6, walk_seconds: 12.0 };
        let made_of = (scene.edit.clone(), scene.shelf.clone(), kind, ready_made.clone());
        let mut player = Player {
            kind,
            ready_made,
            side: scene.side * (USUAL_SIDE / scene.side.max(1)).max(1),
            motion: Err(MotionError::Keys(0)),
            frame: 0,
            edit: scene.edit.clone(),
            running: None,
            made_of,
        };
        player.make(scene);
        player
    }

    /// Makes the motion anew. Where it was, it stays as far as it can.
    fn make(&mut self, scene: &Scene<'_>) {
        let Playback { fps, .. } = scene.shelf.playback;
        let ReadyMade { ends, swing_seconds, samples, walk_seconds } = self.ready_made;
        let playback = scene.shelf.playback;
        let before = self.motion.as_ref().map_or(fps, |motion| motion.playback().fps);
        self.motion = match (self.kind, scene.direction) {
            (Kind::Shelf, _) => Motion::of_shelf(scene.shelf),
            (Kind::Swing, Some(direction)) => {
                Motion::swing(scene.edit, direction, ends, swing_seconds.into(), playback)
            }
            (Kind::Swing, None) => Err(MotionError::Keys(0)),
            (Kind::Walk, _) => Motion::walk(walk(scene.edit, samples), walk_seconds.into(), playback),
        };
        self.made_of = (scene.edit.clone(), scene.shelf.clone(), self.kind, self.ready_made.clone());
        // The same time, not the same number.
        self.frame = self.frame * fps as usize / before.max(1) as usize;
        self.running = self.running.map(|(since, _)| (since, self.frame));
        self.show_frame(self.frame);
    }

    /// Follows what it is made of. False if the edit was changed, and the picture is wanted back.
    pub fn follow(&mut self, scene: &Scene<'_>) -> bool {
        let (edit, shelf, kind, ready_made) = &self.made_of;
        if edit != scene.edit {
            return false;
        }
        if (shelf, kind, ready_made) != (scene.shelf, &self.kind, &self.ready_made) {
            self.make(scene);
        }
        true
    }

    /// The edit of the frame that is shown.
    pub fn edit(&self) -> &Edit {
        &self.edit
    }

    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// What an export writes: the motion and the larger side of its frames, in pixels.
    pub fn film(&self) -> Result<(Motion, usize), MotionError> {
        Ok((self.motion.clone()?, self.side))
    }

    /// "1.25 s"
    pub fn title(&self) -> String {
        let fps = self.motion.as_ref().map_or(1, |motion| motion.playback().fps);
        format!("{:.2} s", self.frame as f64 / f64::from(fps))
    }

    /// Plays on, or halts. `now`: seconds of the window.
    pub fn toggle(&mut self, now: f64) {
        let is_at_end = self.motion.as_ref().is_ok_and(|motion| self.frame + 1 >= motion.frames());
        let from = if is_at_end { 0 } else { self.frame };
        self.running = if self.running.is_some() { None } else { Some((now, from)) };
    }

    /// Halts, and goes frames on or back.
    pub fn step(&mut self, by: isize) {
        let Ok(motion) = &self.motion else { return };
        let frames = motion.frames() as isize;
        let to = self.frame as isize + by;
        let to = if motion.playback().loops { to.rem_euclid(frames) } else { to.clamp(0, frames - 1) };
        self.running = None;
        self.show_frame(to as usize);
    }

    /// Goes to the frame whose time it is, unless the one before is not made yet; returns the seconds to the next one.
    pub fn advance(&mut self, now: f64, is_shown: bool) -> Option<f64> {
        let (since, from) = self.running?;
        let Ok(motion) = &self.motion else {
            self.running = None;
            return None;
        };
        let (fps, frames) = (f64::from(motion.playback().fps), motion.frames());
        let passed = ((now - since).max(0.0) * fps).floor();
        let due = from + passed as usize;
        let loops = motion.playback().loops;
        if is_shown {
            if !loops && due + 1 >= frames {
                self.running = None;
                self.show_frame(frames - 1);
                return None;
            }
            self.show_frame(due % frames);
        }
        Some((since + (passed + 1.0) / fps - now).max(0.0))
    }

    fn show_frame(&mut self, number: usize) {
        if let Ok(motion) = &self.motion {
            self.frame = number.min(motion.frames() - 1);
            self.edit = motion.frame(self.frame);
        }
    }

    /// The bar; returns true if it was closed.
    pub fn show(&mut self, ui: &mut Ui, shelf: &mut Shelf, commands: &mut Vec<Command>) -> bool {
        let (width, height) = (ui.available_width(), height(ui.available_width()));
        let panel = Panel::bottom("player").frame(style::bar_frame()).exact_size(height);
        let shown = panel.show(ui, |ui| {
            ui.spacing_mut().item_spacing = vec2(style::GRID * 1.5, style::GRID);
            ui.add_space(style::GRID);
            let line = |ui: &mut Ui, contents: &mut dyn FnMut(&mut Ui)| {
                let size = vec2(ui.available_width(), style::ROW);
                ui.allocate_ui_with_layout(size, Layout::left_to_right(Align::Center), |ui| contents(ui));
            };
            let mut closes = false;
            line(ui, &mut |ui| closes = self.transport_ui(ui, commands));
            if width < ROOM {
                line(ui, &mut |ui| {
                    self.kinds_ui(ui);
                    ui.with_layout(Layout::right_to_left(Align::Center), |ui| playback_ui(ui, &mut shelf.playback));
                });
            }
            line(ui, &mut |ui| {
                if width >= ROOM {
                    self.kinds_ui(ui);
                }
                self.settings_ui(ui, shelf);
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    self.export_ui(ui, width >= ROOM_FOR_SIDE, commands);
                    if width >= ROOM {
                        playback_ui(ui, &mut shelf.playback);
                    }
                });
            });
            closes
        });
        shown.inner
    }

    /// Play, frame by frame, and where it is.
    fn transport_ui(&mut self, ui: &mut Ui, commands: &mut Vec<Command>) -> bool {
        let icon = if self.is_running() { Icon::Pause } else { Icon::Play };
        for (icon, command) in
            [(icon, Command::Play), (Icon::Previous, Command::PreviousFrame), (Icon::Next, Command::NextFrame)]
        {
            if icon_button(ui, icon, command.text(), &command.hint(ui.ctx())).clicked() {
                commands.push(command);
            }
        }
        let mut closes = false;
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            closes = icon_button(ui, Icon::Cross, "Close the player", "Shows the picture again (Escape)").clicked();
            let motion = match &self.motion {
                Ok(motion) => motion.clone(),
                Err(error) => {
                    let text = egui::RichText::new(error.to_string()).size(style::SMALL_TEXT);
                    ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
                        ui.add(egui::Label::new(text).truncate())
                    });
                    return;
                }
            };
            let fps = f64::from(motion.playback().fps);
            let last = motion.frames() - 1;
            ui.label(
                egui::RichText::new(format!("{:.2} of {:.2} s", self.frame as f64 / fps, motion.seconds())).monospace(),
            );
            let mut frame = self.frame as f32;
            let width = ui.available_width();
            Slider::new(&mut frame, 0.0..=last as f32, "Frame").integer().show(ui, width);
            if frame as usize != self.frame {
                self.running = None;
                self.show_frame(frame.max(0.0) as usize);
            }
        });
        closes
    }

    /// What is played.
    fn kinds_ui(&mut self, ui: &mut Ui) {
        let segments = KINDS.map(|(kind, text, tooltip)| {
            let on = kind == self.kind;
            Segment { text, name: text, tooltip, enabled: true, on }
        });
        if let Some(at) = segments_ui(ui, KIND * KINDS.len() as f32, &segments) {
            (self.kind, self.frame) = (KINDS[at].0, 0);
        }
    }

    /// What belongs to that alone.
    fn settings_ui(&mut self, ui: &mut Ui, shelf: &mut Shelf) {
        let ReadyMade { ends, swing_seconds, samples, walk_seconds } = &mut self.ready_made;
        match self.kind {
            Kind::Shelf => key_ui(ui, self.motion.as_ref().map_or(0, |motion| motion.key_of(self.frame)), shelf),
            Kind::Swing => {
                for (end, name) in ends.iter_mut().zip(["Swing from", "Swing to"]) {
                    number_box(ui, end, 0.05, Digits::AtMost(2), name);
                }
                seconds_ui(ui, swing_seconds, "Seconds of the swing");
            }
            Kind::Walk => {
                let mut count = *samples as f32;
                number_box(ui, &mut count, 0.1, Digits::Plain(0), "Samples of the walk");
                *samples = count.round().clamp(2.0, MOST_SAMPLES) as usize;
                ui.label("samples");
                seconds_ui(ui, walk_seconds, "Seconds of the walk");
            }
        }
    }

    /// From the right.
    fn export_ui(&mut self, ui: &mut Ui, shows_side: bool, commands: &mut Vec<Command>) {
        let hint = Command::ExportMotion.hint(ui.ctx());
        if icon_button(ui, Icon::Export, "Export motion", &hint).clicked() {
            commands.push(Command::ExportMotion);
        }
        if !shows_side {
            return;
        }
        let mut side = self.side as f32;
        ui.label("px");
        let field = number_box(ui, &mut side, 1.0, Digits::Plain(0), "Larger side of exported frames");
        field.on_hover_text("Larger side of the film's frames, in pixels");
        self.side = side.round().clamp(1.0, MAX_FILM_SIDE as f32) as usize;
    }
}

/// Of the bar, in a window of that width between its panels.
pub fn height(width: f32) -> f32 {
    let lines = if width < ROOM { 3.0 } else { 2.0 };
    lines * style::ROW + (lines + 1.0) * style::GRID
}

/// The seeds from the present one on, or the code alone where that is no seed.
fn walk(edit: &Edit, samples: usize) -> Vec<Edit> {
    let Code::Seed(first) = edit.sample.code else { return vec![edit.clone()] };
    let mut seed = first;
    let sample = |_| {
        let code = Code::Seed(seed);
        seed = seed.step(true);
        Edit { sample: Sample { code, ..edit.sample.clone() }, ..edit.clone() }
    };
    (0..samples).map(sample).collect()
}

/// How it goes on from the kept picture that was passed last.
fn key_ui(ui: &mut Ui, at: usize, shelf: &mut Shelf) {
    let Some(kept) = shelf.get(at) else { return };
    let (mut seconds, mut easing) = (kept.seconds, kept.easing);
    ui.label(format!("Kept {}", at + 1))
        .on_hover_text("The picture that was passed last, and how it goes on to the next");
    seconds_ui(ui, &mut seconds, "Seconds to the next picture");
    let segments = EASINGS.map(|(choice, text, tooltip)| Segment {
        text,
        name: text,
        tooltip,
        enabled: true,
        on: choice == easing,
    });
    if let Some(chosen) = segments_ui(ui, EASING * EASINGS.len() as f32, &segments) {
        easing = EASINGS[chosen].0;
    }
    if (seconds, easing) != (kept.seconds, kept.easing) {
        shelf.time(at, seconds, easing);
    }
}

fn seconds_ui(ui: &mut Ui, seconds: &mut f32, name: &str) {
    number_box(ui, seconds, 0.05, Digits::AtMost(2), name);
    *seconds = seconds.clamp(*SECONDS.start(), *SECONDS.end());
    ui.label("s");
}

/// From the right.
fn playback_ui(ui: &mut Ui, playback: &mut Playback) {
    let list = ComboBox::from_id_salt("frames per second").width(64.0).selected_text(format!("{} fps", playback.fps));
    let shown = list.show_ui(ui, |ui| {
        for fps in Playback::RATES {
            ui.selectable_value(&mut playback.fps, fps, format!("{fps} fps"));
        }
    });
    shown.response.on_hover_text("Frames per second");
    ui.checkbox(&mut playback.loops, "Loop").on_hover_text("From the last picture back to the first and on");
}
