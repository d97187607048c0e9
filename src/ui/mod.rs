//! The window. Panels edit one [`Edit`](crate::edit::Edit); whenever it changed, the worker is asked for a picture; the
//! newest picture is shown. Nothing here waits, and egui appears nowhere else.
//!
//! A frame of the window is [`app`]: answers are taken ([`exchange`]), bars, panels and picture are laid out ([`layout`]), and
//! tell what was asked for as [`Command`]s; commands are done ([`perform`]; files are written by [`saving`]); whatever the picture
//! or the list of directions no longer answers is asked for ([`exchange`]); and the document is kept ([`keeping`]). The functions
//! `*_ui` of the other files each show one thing and change only what they are given.

mod analysing;
mod analysis;
mod app;
mod asking;
mod classes;
mod command;
mod compare;
mod dialog;
mod dialogs;
mod directions;
mod document;
mod exchange;
mod facts;
mod field;
mod file_name;
mod icons;
mod importing;
mod influence;
mod inverting;
mod keeping;
mod kept;
mod keyboard;
mod known;
mod layers;
mod layout;
mod librarian;
mod looks;
mod matrix;
mod menu;
mod messages;
mod moves;
mod number;
mod open;
mod pacing;
mod palette;
mod perform;
mod photo;
mod photo_frame;
mod picture;
mod player;
mod playing;
mod preferences;
mod reading;
mod ruler;
mod running;
mod sample;
mod samples;
mod saving;
mod segments;
mod semantics;
mod sheet;
mod shelf;
mod shelving;
mod shortcuts;
mod slider;
mod spectrum;
mod status;
mod strips;
mod style;
mod surface;
mod sweep;
mod thumbnail;
mod tiles;
mod titles;
mod views;
mod waiting;
mod wheel;

use anyhow::anyhow;

pub use app::{App, Services};
pub use command::Command;
pub use dialogs::{Answer, Ask, Dialogs, Question, ScriptedDialogs, SystemDialogs};
pub use document::Document;

use crate::gpu::{DeviceChoice, Precision, RenderDevice};
use crate::render::Source;
use crate::store::Folders;
use crate::worker::Worker;

/// What the window starts with.
#[derive(Clone, Debug)]
pub struct WindowOptions {
    /// A model, a saved edit, or an exported picture.
    pub source: Source,
    /// Instead of that, the newest document that was left and is in no other window, if there is one.
    pub restore: bool,
    pub device: DeviceChoice,
    /// As it was last time if `None`.
    pub precision: Option<Precision>,
}

const NAME: &str = "SeFa Studio";

/// Opens the window and returns when it is closed.
pub fn run(options: WindowOptions) -> anyhow::Result<()> {
    if !has_display() {
        return Err(no_window("this machine has no display (neither DISPLAY nor WAYLAND_DISPLAY is set)"));
    }
    let device = RenderDevice::new(options.device)?;
    let mut native = eframe::NativeOptions {
        viewport: egui::ViewportBuilder::default()
            .with_title(NAME)
            .with_app_id("sefa-studio")
            .with_icon(icon())
            .with_inner_size([1280.0, 800.0])
            .with_min_inner_size([960.0, 600.0]),
        renderer: eframe::Renderer::Wgpu,
        // There are no gradients, and software rasterisers would work for it at every pixel.
        dithering: false,
        ..Default::default()
    };
    // One device for both: pictures never leave the GPU on their way to the screen.
    if let Some(setup) = device.wgpu() {
        native.wgpu_options.wgpu_setup = egui_wgpu::WgpuSetup::Existing(egui_wgpu::WgpuSetupExisting {
            instance: setup.instance.clone(),
            adapter: setup.adapter.clone(),
            device: setup.device.clone(),
            queue: setup.queue.clone(),
        });
    }
    let WindowOptions { source: start, restore, precision, .. } = options;
    let folders = Folders::of_user();
    native.persistence_path = folders.as_ref().map(|folders| folders.data.join("app.ron"));
    let make = move |cc: &eframe::CreationContext<'_>| {
        let services = Services {
            background: Worker::starter(move || device.clone()),
            dialogs: Box::new(SystemDialogs::default()),
            start,
            restore,
            precision,
            folders,
        };
        Ok(Box::new(App::new(cc, services)?) as Box<dyn eframe::App>)
    };
    eframe::run_native("sefa-studio", native, Box::new(make)).map_err(|error| no_window(&error.to_string()))
}

fn has_display() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !cfg!(all(unix, not(target_os = "macos"))) || set("DISPLAY") || set("WAYLAND_DISPLAY")
}

fn no_window(reason: &str) -> anyhow::Error {
    anyhow!("no window can be opened: {reason}\nWithout one, `sefa-studio render --out frames` writes pictures")
}

/// Three sliders, the middle one moved: the icon of the window.
fn icon() -> egui::IconData {
    const SIZE: usize = 64;
    let mut rgba = vec![0; SIZE * SIZE * 4];
    let mut fill = |x: std::ops::Range<usize>, y: std::ops::Range<usize>, colour: [u8; 3]| {
        for row in y {
            for column in x.clone() {
                let at = (row * SIZE + column) * 4;
                rgba[at..at + 4].copy_from_slice(&[colour[0], colour[1], colour[2], 255]);
            }
        }
    };
    fill(2..62, 2..62, [38, 38, 38]);
    let (rail, handle, accent) = ([110, 110, 110], [220, 220, 220], [96, 156, 240]);
    for (y, x, moved) in [(16, 32, false), (32, 44, true), (48, 32, false)] {
        fill(10..54, y - 2..y + 2, rail);
        if moved {
            fill(32..x, y - 3..y + 3, accent);
        }
        fill(x - 4..x + 4, y - 8..y + 8, if moved { accent } else { handle });
    }
    egui::IconData { rgba, width: SIZE as u32, height: SIZE as u32 }
}
