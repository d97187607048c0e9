//! The bar at the top: menus, what is open, and the four buttons used most.

use std::path::PathBuf;

use egui::{Align, Align2, Button, FontId, Image, MenuBar, Rect, Role, Sense, Ui, Vec2, WidgetInfo, pos2, vec2};

use super::command::{Command, Menu};
use super::facts::{CARRIES_CODE, facts_ui};
use super::icons::{self, Icon, icon_button};
use super::keeping::RecentDocument;
use super::keyboard::leave_space_free;
use super::preferences::Recent;
use super::style;
use crate::generator::ModelInfo;
use crate::render::Source;

/// The facts of the bar.
pub struct Bar<'a> {
    pub info: Option<&'a ModelInfo>,
    /// The document, in front of the title.
    pub file: &'a str,
    pub recent: &'a [&'a Recent],
    /// Documents that can be opened again, the newest first.
    pub documents: &'a [RecentDocument],
    /// Commands that would do nothing now.
    pub idle: &'a dyn Fn(Command) -> bool,
    pub moved: bool,
    /// Of commands that are switches, whether they are on.
    pub is_on: &'a dyn Fn(Command) -> Option<bool>,
}

/// Rows of the menu of documents.
const MOST_DOCUMENTS: usize = 15;
const THUMBNAIL: Vec2 = vec2(32.0, 32.0);

/// What was asked for in the bar.
#[derive(Default)]
pub struct MenuAnswer {
    pub commands: Vec<Command>,
    pub open: Option<Source>,
    pub open_document: Option<PathBuf>,
    /// The documents are shown: they should be the present ones.
    pub shows_documents: bool,
    /// The compare button is held down.
    pub compare: bool,
}

pub fn bar_ui(ui: &mut Ui, bar: &Bar<'_>) -> MenuAnswer {
    let mut asked = MenuAnswer::default();
    let whole = ui.max_rect();
    let sides = MenuBar::new().ui(ui, |ui| {
        ui.set_min_height(style::MENU_HEIGHT);
        for menu in Menu::ALL {
            ui.menu_button(menu.title(), |ui| menu_ui(ui, menu, bar, &mut asked));
        }
        let left = ui.cursor().left();
        let right = ui
            .with_layout(egui::Layout::right_to_left(Align::Center), |ui| {
                buttons_ui(ui, bar, &mut asked);
                ui.cursor().right()
            })
            .inner;
        (left, right)
    });
    let (left, right) = sides.inner;
    if let Some(info) = bar.info {
        title_ui(
            ui,
            info,
            bar.file,
            Rect::from_x_y_ranges(left..=right, whole.y_range()).shrink2(vec2(8.0, 0.0)),
            whole.center().x,
        );
    }
    asked
}

fn menu_ui(ui: &mut Ui, menu: Menu, bar: &Bar<'_>, asked: &mut MenuAnswer) {
    ui.set_min_width(220.0);
    for &entry in menu.commands() {
        let Some(command) = entry else {
            ui.separator();
            continue;
        };
        let keys = egui::RichText::new(command.keys(ui.ctx())).weak();
        let mut button = Button::new(command.text()).right_text(keys);
        if let Some(on) = (bar.is_on)(command) {
            button = button.selected(on);
        }
        let button = ui.add_enabled(!(bar.idle)(command), button);
        if button.on_hover_text(command.tooltip()).clicked() {
            asked.commands.push(command);
        }
        if command == Command::Open {
            recent_ui(ui, bar, asked);
        }
    }
}

/// Models and documents that were open before.
fn recent_ui(ui: &mut Ui, bar: &Bar<'_>, asked: &mut MenuAnswer) {
    if !bar.recent.is_empty() {
        ui.menu_button("Recent models", |ui| {
            for recent in bar.recent {
                let facts = egui::RichText::new(recent.facts()).weak();
                let entry = ui.add(Button::new(recent.name.as_str()).right_text(facts));
                if entry.on_hover_text(recent.source.to_string()).clicked() {
                    asked.open = Some(recent.source.clone());
                }
            }
        });
    }
    let documents = ui.menu_button("Recent documents", |ui| {
        if bar.documents.is_empty() {
            ui.weak("Whatever is left is found here again");
        }
        for document in bar.documents.iter().take(MOST_DOCUMENTS) {
            let facts = egui::RichText::new(document.facts.as_str()).weak();
            let title = document.title.as_str();
            let button = match &document.thumbnail {
                Some(thumbnail) => Button::image_and_text(Image::new(thumbnail).fit_to_exact_size(THUMBNAIL), title),
                None => Button::new(title),
            };
            if ui.add(button.right_text(facts)).clicked() {
                asked.open_document = Some(document.path.clone());
            }
        }
    });
    asked.shows_documents |= documents.response.clicked();
}

fn buttons_ui(ui: &mut Ui, bar: &Bar<'_>, asked: &mut MenuAnswer) {
    ui.spacing_mut().item_spacing.x = style::GRID;
    let ctx = ui.ctx().clone();
    let button = |ui: &mut Ui, icon, command: Command, name: &str, commands: &mut Vec<Command>| {
        let response =
            ui.add_enabled_ui(!(bar.idle)(command), |ui| icon_button(ui, icon, name, &command.hint(&ctx))).inner;
        if response.clicked() {
            commands.push(command);
        }
    };
    button(ui, Icon::Export, Command::Export, "Export", &mut asked.commands);
    let hint = "Hold to compare (Space)\nShows the sample without moves, or the picture set as comparison";
    let compare = ui.add_enabled_ui(bar.moved, |ui| icon_button(ui, Icon::Compare, "Compare", hint)).inner;
    asked.compare = compare.is_pointer_button_down_on();
    if compare.has_focus() {
        // Held while the button has the keyboard, Space is the button.
        leave_space_free(ui, &compare);
    }
    button(ui, Icon::Redo, Command::Redo, "Redo", &mut asked.commands);
    button(ui, Icon::Undo, Command::Undo, "Undo", &mut asked.commands);
}

/// Name, family, size: in the middle of the bar if there is room, else beside the menus.
fn title_ui(ui: &mut Ui, info: &ModelInfo, file: &str, room: Rect, middle: f32) {
    let colours = style::palette(ui);
    let text = format!("{file}{}", title(info));
    let mut job =
        egui::text::LayoutJob::simple_singleline(text.clone(), FontId::proportional(style::TEXT), colours.text);
    let shield = if info.carries_code { 20.0 } else { 0.0 };
    job.wrap = egui::text::TextWrapping::truncate_at_width((room.width() - shield).max(0.0));
    let galley = ui.painter().layout_job(job);
    let width = galley.size().x + shield;
    let left = (middle - width / 2.0).clamp(room.left(), (room.right() - width).max(room.left()));
    let place = Rect::from_min_size(pos2(left, room.top()), vec2(width, room.height()));
    let response = ui.interact(place, ui.scope_id().with("title"), Sense::hover());
    let spoken = if info.carries_code { format!("{text}; {CARRIES_CODE}") } else { text };
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, spoken.as_str()));
    let mut text_left = left;
    if info.carries_code {
        icons::paint(ui.painter(), Icon::Shield, pos2(left + 6.0, place.center().y), colours.warning);
        text_left += shield;
    }
    let at = Align2::LEFT_CENTER.anchor_size(pos2(text_left, place.center().y), galley.size()).min;
    ui.painter().galley(at, galley, colours.text);
    response.on_hover_ui(|ui| facts_ui(ui, info));
}

/// "Toy heads · StyleGAN2 128 · 12 layers"
pub fn title(info: &ModelInfo) -> String {
    let plural = if info.num_layers == 1 { "layer" } else { "layers" };
    format!("{} · {} {} · {} {plural}", info.name, info.family, info.size.brief(), info.num_layers)
}
