//! Every colour and size of the window.

use std::sync::Arc;

use egui::style::{HandleShape, Selection, WidgetVisuals, Widgets};
use egui::{
    Color32, CornerRadius, FontData, FontDefinitions, FontFamily, FontId, Margin, Shadow, Stroke, TextStyle, Theme,
    vec2,
};

/// Distance between things; every size is a multiple of it.
pub const GRID: f32 = 4.0;
/// Height of a slider row, a field, a button: ten directions fit in 768 px.
pub const ROW: f32 = 22.0;
pub const TEXT: f32 = 13.0;
pub const SMALL_TEXT: f32 = 11.0;
/// Narrowest, first and widest width of the side panels; the left one starts narrower.
pub const PANEL_WIDTHS: [f32; 3] = [260.0, 332.0, 340.0];
pub const LEFT_WIDTH: f32 = 272.0;
pub const MENU_HEIGHT: f32 = 32.0;
pub const STATUS_HEIGHT: f32 = 24.0;
/// A line in the list of what is under way.
pub const TASK_WIDTH: f32 = 480.0;
/// The column of labels before the controls of the sample panel.
pub const LABEL_COLUMN: f32 = 48.0;
/// The column of numbers at the right edge of a panel.
pub const VALUE_COLUMN: f32 = 44.0;
pub const RADIUS: u8 = 3;
/// From this scale on, pixels of the picture are shown as squares.
pub const SHARP_FROM: f32 = 2.0;

/// Colours that egui's own table has no place for.
#[derive(Clone, Copy, Debug)]
pub struct Palette {
    pub panel: Color32,
    /// Around the picture: the quietest surface there is.
    pub surround: Color32,
    pub field: Color32,
    pub button: Color32,
    pub button_hovered: Color32,
    pub button_pressed: Color32,
    pub line: Color32,
    pub text: Color32,
    pub text_weak: Color32,
    /// Signs and bars that must not compete with text.
    pub mark: Color32,
    pub text_strong: Color32,
    pub accent: Color32,
    /// Behind selected things, under `text_strong`.
    pub accent_dim: Color32,
    pub rail: Color32,
    pub handle: Color32,
    pub share: Color32,
    pub error: Color32,
    pub error_back: Color32,
    pub warning: Color32,
}

const DARK: Palette = Palette {
    panel: Color32::from_gray(38),
    surround: Color32::from_gray(24),
    field: Color32::from_gray(27),
    button: Color32::from_gray(54),
    button_hovered: Color32::from_gray(66),
    button_pressed: Color32::from_gray(76),
    line: Color32::from_gray(54),
    text: Color32::from_gray(204),
    text_weak: Color32::from_gray(152),
    mark: Color32::from_gray(122),
    text_strong: Color32::from_gray(240),
    accent: Color32::from_rgb(96, 156, 240),
    accent_dim: Color32::from_rgb(44, 76, 120),
    rail: Color32::from_gray(70),
    handle: Color32::from_gray(214),
    share: Color32::from_gray(47),
    error: Color32::from_rgb(240, 128, 116),
    error_back: Color32::from_rgb(66, 38, 36),
    warning: Color32::from_rgb(226, 176, 92),
};

const LIGHT: Palette = Palette {
    panel: Color32::from_gray(241),
    surround: Color32::from_gray(218),
    field: Color32::from_gray(253),
    button: Color32::from_gray(225),
    button_hovered: Color32::from_gray(213),
    button_pressed: Color32::from_gray(200),
    line: Color32::from_gray(211),
    text: Color32::from_gray(48),
    text_weak: Color32::from_gray(94),
    mark: Color32::from_gray(130),
    text_strong: Color32::from_gray(12),
    accent: Color32::from_rgb(28, 104, 206),
    accent_dim: Color32::from_rgb(184, 210, 246),
    rail: Color32::from_gray(196),
    handle: Color32::from_gray(90),
    share: Color32::from_gray(229),
    error: Color32::from_rgb(176, 32, 24),
    error_back: Color32::from_rgb(250, 226, 222),
    warning: Color32::from_rgb(150, 96, 0),
};

/// The colours of the theme that `ui` is drawn in.
pub fn palette(ui: &egui::Ui) -> &'static Palette {
    if ui.visuals().dark_mode { &DARK } else { &LIGHT }
}

/// The same, outside any panel.
pub fn palette_of(ctx: &egui::Context) -> &'static Palette {
    if ctx.theme() == Theme::Dark { &DARK } else { &LIGHT }
}

/// Gives the window its fonts, sizes and both themes.
pub fn apply(ctx: &egui::Context) {
    ctx.set_fonts(fonts());
    for (theme, colours) in [(Theme::Dark, &DARK), (Theme::Light, &LIGHT)] {
        ctx.style_mut_of(theme, |style| {
            sizes(style);
            colour(&mut style.visuals, colours);
        });
    }
}

fn fonts() -> FontDefinitions {
    let mut fonts = FontDefinitions::default();
    let roboto = FontData::from_static(include_bytes!("../../assets/fonts/Roboto-Regular.ttf"));
    fonts.font_data.insert("Roboto".into(), Arc::new(roboto));
    // egui's own font stays behind it, for signs that Roboto lacks.
    fonts.families.entry(FontFamily::Proportional).or_default().insert(0, "Roboto".into());
    fonts
}

fn sizes(style: &mut egui::Style) {
    for (text, size) in [
        (TextStyle::Heading, TEXT + 2.0),
        (TextStyle::Body, TEXT),
        (TextStyle::Button, TEXT),
        (TextStyle::Monospace, TEXT - 1.0),
        (TextStyle::Small, SMALL_TEXT),
    ] {
        let family = if text == TextStyle::Monospace { FontFamily::Monospace } else { FontFamily::Proportional };
        style.text_styles.insert(text, FontId::new(size, family));
    }
    style.drag_value_text_style = TextStyle::Body;
    style.spacing.item_spacing = vec2(GRID * 2.0, GRID);
    style.spacing.button_padding = vec2(GRID * 2.0, 2.0);
    style.spacing.interact_size = vec2(ROW, ROW);
    style.spacing.window_margin = Margin::same(12);
    style.spacing.menu_margin = Margin::same(4);
    style.spacing.tooltip_width = 320.0;
    style.spacing.scroll = egui::style::ScrollStyle::thin();
    style.interaction.selectable_labels = false;
    style.interaction.tooltip_delay = 0.6;
    style.explanation_tooltips = false;
    style.animation_time = 0.1;
}

fn colour(visuals: &mut egui::Visuals, colours: &Palette) {
    let widget = |back: Color32, text: Color32, line: Color32| WidgetVisuals {
        bg_fill: back,
        weak_bg_fill: back,
        bg_stroke: Stroke::new(if line == Color32::TRANSPARENT { 0.0 } else { 1.0 }, line),
        corner_radius: CornerRadius::same(RADIUS),
        fg_stroke: Stroke::new(1.0, text),
        expansion: 0.0,
    };
    let none = Color32::TRANSPARENT;
    visuals.widgets = Widgets {
        noninteractive: widget(colours.panel, colours.text, colours.line),
        inactive: widget(colours.button, colours.text, none),
        hovered: widget(colours.button_hovered, colours.text_strong, none),
        // Also the look of a control that has the keyboard: its outline shows where one is.
        active: widget(colours.button_pressed, colours.text_strong, colours.accent),
        // Also the title bar of a window inside the window.
        open: widget(colours.button, colours.text_strong, none),
    };
    visuals.selection = Selection { bg_fill: colours.accent_dim, stroke: Stroke::new(1.0, colours.text_strong) };
    visuals.weak_text_color = Some(colours.text_weak);
    visuals.hyperlink_color = colours.accent;
    visuals.faint_bg_color = colours.share;
    visuals.extreme_bg_color = colours.field;
    visuals.code_bg_color = colours.field;
    visuals.error_fg_color = colours.error;
    visuals.warn_fg_color = colours.warning;
    visuals.panel_fill = colours.panel;
    visuals.window_fill = colours.panel;
    visuals.window_stroke = Stroke::new(1.0, colours.line);
    visuals.window_corner_radius = CornerRadius::same(6);
    visuals.menu_corner_radius = CornerRadius::same(4);
    visuals.text_cursor.stroke = Stroke::new(1.5, colours.accent);
    visuals.handle_shape = HandleShape::Rect { aspect_ratio: 0.5 };
    let shadow = Shadow { offset: [0, 4], blur: 16, spread: 0, color: Color32::from_black_alpha(64) };
    visuals.popup_shadow = shadow;
    visuals.window_shadow = shadow;
    visuals.disabled_alpha = 0.4;
}

/// Text fields added from here on are outlined in the accent while they have the keyboard, not in the text's colour.
pub fn accent_outline(ui: &mut egui::Ui) {
    let accent = palette(ui).accent;
    ui.visuals_mut().selection.stroke.color = accent;
}

/// Over the whole window while a file hovers above it, and the text on it.
pub const DROP_SHADE: Color32 = Color32::from_black_alpha(120);
pub const DROP_TEXT: Color32 = Color32::WHITE;

/// A line over a picture, and what sets it off where the picture is as light.
pub const LINE: Color32 = Color32::WHITE;
pub const LINE_SHADE: Color32 = Color32::from_black_alpha(96);

/// The colour of a difference, 0..=1, as `shaders/view.wgsl` has it.
pub fn heat(share: f32) -> Color32 {
    let white = ((share - 0.85) / 0.15).clamp(0.0, 1.0);
    let white = white * white * (3.0 - 2.0 * white);
    let blue = (std::f32::consts::TAU * share).sin().max(white);
    let [red, green, blue] = [share.sqrt(), share.powi(3), blue].map(|x| (x * 255.0).round() as u8);
    Color32::from_rgb(red, green, blue)
}

/// Over what does not count of a photo.
pub const VEIL: Color32 = Color32::from_rgba_premultiplied(130, 20, 20, 150);

/// The colour of a number from -1 (blue) by 0 (`middle`) to 1 (orange), which everybody tells apart.
pub fn signed_heat(share: f32, middle: Color32) -> Color32 {
    let end = if share < 0.0 { Color32::from_rgb(90, 160, 255) } else { Color32::from_rgb(255, 170, 70) };
    middle.lerp_to_gamma(end, share.abs().min(1.0))
}

/// The frame of a side panel. Its ground is the window's own: see [`super::App`]'s `clear_color`.
pub fn panel_frame() -> egui::Frame {
    egui::Frame::new().inner_margin(Margin::symmetric(12, 8))
}

/// The frame of a bar across the window; likewise.
pub fn bar_frame() -> egui::Frame {
    egui::Frame::new().inner_margin(Margin::symmetric(12, 0))
}

/// The heading of a section, in small capitals.
pub fn section(ui: &mut egui::Ui, title: &str) -> egui::Response {
    let colour = palette(ui).text_weak;
    let text = egui::RichText::new(title.to_uppercase()).size(SMALL_TEXT).color(colour).extra_letter_spacing(0.8);
    ui.add(egui::Label::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_goes_from_black_to_white_and_grows_brighter() {
        assert_eq!([heat(0.0), heat(1.0)], [Color32::BLACK, Color32::WHITE]);
        let light = |step: i32| heat(step as f32 / 20.0).intensity();
        assert!((0..20).all(|step| light(step) < light(step + 1) + 0.02));
    }

    /// Contrast of two colours after WCAG 2, 1 to 21.
    fn contrast(a: Color32, b: Color32) -> f32 {
        let luminance = |colour: Color32| {
            let [red, green, blue, _] = egui::Rgba::from(colour).to_array();
            0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05
        };
        let (a, b) = (luminance(a), luminance(b));
        a.max(b) / a.min(b)
    }

    /// What WCAG 2 asks of texts (AA, 1.4.3) and of signs and outlines (1.4.11), in both themes.
    #[test]
    fn texts_and_signs_stand_out_from_what_they_are_on() {
        for p in [&DARK, &LIGHT] {
            let texts = [
                (p.text, &[p.panel, p.button, p.field, p.share, p.error_back][..]),
                (p.text_weak, &[p.panel, p.surround, p.field, p.share]),
                (p.text_strong, &[p.panel, p.button_hovered, p.button_pressed, p.accent_dim, p.error_back]),
                (p.warning, &[p.panel]),
            ];
            let signs = [
                (p.accent, &[p.panel, p.surround, p.field, p.share, p.button, p.button_hovered, p.accent_dim][..]),
                (p.handle, &[p.panel, p.share]),
                (p.mark, &[p.panel, p.field, p.share]),
                (p.error, &[p.error_back]),
            ];
            for (least, pairs) in [(4.5, &texts[..]), (3.0, &signs[..])] {
                for (colour, grounds) in pairs {
                    for ground in *grounds {
                        let found = contrast(*colour, *ground);
                        assert!(found >= least, "{colour:?} on {ground:?} has {found:.2}, expected {least}");
                    }
                }
            }
        }
    }
}
