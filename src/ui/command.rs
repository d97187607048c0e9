//! Every action of the window: its text, tooltip and shortcut. Menus, shortcuts, the palette and the sheet on F1 are made
//! from this one list.

use egui::{Context, Event, Key, KeyboardShortcut, Modifiers};

use super::looks::Look;
use crate::generator::Group;
use crate::render::Example;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    Open,
    OpenPhoto,
    OpenExample(Example),
    SaveEdit,
    SaveEditAs,
    Export,
    ExportView,
    ExportSweep,
    ExportShelf,
    ExportMotion,
    ExportFrames,
    Quit,
    Undo,
    Redo,
    PreviousSeed,
    NextSeed,
    RandomSeed,
    RerollNoise,
    MixStyle,
    ResetMoves,
    CopyPicture,
    Keep,
    ShowLayers,
    ShowWhere,
    MarkUp,
    MarkDown,
    FindPhoto,
    FindOn,
    FindAfresh,
    Play,
    PreviousFrame,
    NextFrame,
    Look(Look),
    Select(Group),
    Fit,
    ActualSize,
    ZoomIn,
    ZoomOut,
    SetComparison,
    ClearComparison,
    SwapCompared,
    HidePanels,
    Shelf,
    Strips,
    HalfPrecision,
    SwapChannels,
    Bilinear,
    ToggleTheme,
    Reading,
    Palette,
    Shortcuts,
    ShowLog,
    Cancel,
}

/// The menus of the bar, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Menu {
    File,
    Edit,
    View,
    Model,
    Help,
}

impl Menu {
    pub const ALL: [Menu; 5] = [Menu::File, Menu::Edit, Menu::View, Menu::Model, Menu::Help];

    pub fn title(self) -> &'static str {
        match self {
            Menu::File => "File",
            Menu::Edit => "Edit",
            Menu::View => "View",
            Menu::Model => "Model",
            Menu::Help => "Help",
        }
    }

    /// Its commands; `None` is a line between groups.
    pub fn commands(self) -> &'static [Option<Command>] {
        use Command as C;
        match self {
            Menu::File => &[
                Some(C::Open),
                Some(C::OpenPhoto),
                Some(C::OpenExample(Example::ToyHeads)),
                Some(C::OpenExample(Example::Faces)),
                None,
                Some(C::SaveEdit),
                Some(C::SaveEditAs),
                Some(C::Export),
                Some(C::ExportView),
                Some(C::ExportSweep),
                Some(C::ExportShelf),
                Some(C::ExportMotion),
                Some(C::ExportFrames),
                None,
                Some(C::Quit),
            ],
            Menu::Edit => &[
                Some(C::Undo),
                Some(C::Redo),
                None,
                Some(C::PreviousSeed),
                Some(C::NextSeed),
                Some(C::RandomSeed),
                Some(C::RerollNoise),
                None,
                Some(C::MixStyle),
                Some(C::ResetMoves),
                None,
                Some(C::Keep),
                Some(C::CopyPicture),
                None,
                Some(C::MarkUp),
                Some(C::MarkDown),
                None,
                Some(C::FindPhoto),
                Some(C::FindOn),
                Some(C::FindAfresh),
                None,
                Some(C::Play),
                Some(C::PreviousFrame),
                Some(C::NextFrame),
            ],
            Menu::View => &[
                Some(C::Look(Look::Picture)),
                Some(C::Look(Look::Samples)),
                Some(C::Look(Look::Directions)),
                Some(C::Look(Look::Compare)),
                Some(C::Look(Look::Analysis)),
                Some(C::Look(Look::Photo)),
                None,
                Some(C::Fit),
                Some(C::ActualSize),
                Some(C::ZoomIn),
                Some(C::ZoomOut),
                None,
                Some(C::Select(Group::Bottom)),
                Some(C::Select(Group::Middle)),
                Some(C::Select(Group::Top)),
                Some(C::Select(Group::All)),
                None,
                Some(C::ShowLayers),
                Some(C::ShowWhere),
                None,
                Some(C::SetComparison),
                Some(C::ClearComparison),
                Some(C::SwapCompared),
                None,
                Some(C::HidePanels),
                Some(C::Shelf),
                Some(C::Strips),
                Some(C::ToggleTheme),
            ],
            Menu::Model => {
                &[Some(C::Reading), None, Some(C::SwapChannels), Some(C::Bilinear), None, Some(C::HalfPrecision)]
            }
            Menu::Help => &[Some(C::Palette), Some(C::Shortcuts), None, Some(C::ShowLog)],
        }
    }
}

/// A way to start a command from the keyboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortcut {
    pub keys: KeyboardShortcut,
    /// Works while a text field has the keyboard, too.
    pub global: bool,
}

const CTRL: Modifiers = Modifiers::COMMAND;
const CTRL_SHIFT: Modifiers = Modifiers::COMMAND.plus(Modifiers::SHIFT);

impl Command {
    /// Every command, for the palette and the sheet.
    pub fn all() -> impl Iterator<Item = Command> {
        Menu::ALL.into_iter().flat_map(|menu| menu.commands().iter().copied().flatten()).chain([Command::Cancel])
    }

    pub fn text(self) -> &'static str {
        match self {
            Command::Open => "Open…",
            Command::OpenPhoto => "Open photo…",
            Command::OpenExample(Example::ToyHeads) => "Open example: Toy heads",
            Command::OpenExample(Example::Faces) => "Open example: Faces",
            Command::SaveEdit => "Save edit",
            Command::SaveEditAs => "Save edit as…",
            Command::Export => "Export picture…",
            Command::ExportView => "Export this view…",
            Command::ExportSweep => "Export sweep…",
            Command::ExportShelf => "Export shelf…",
            Command::ExportMotion => "Export motion…",
            Command::ExportFrames => "Export motion as pictures…",
            Command::Quit => "Quit",
            Command::Undo => "Undo",
            Command::Redo => "Redo",
            Command::PreviousSeed => "Previous seed",
            Command::NextSeed => "Next seed",
            Command::RandomSeed => "Random seed",
            Command::RerollNoise => "New random noise",
            Command::MixStyle => "Mix in another style",
            Command::ResetMoves => "Reset all moves",
            Command::Keep => "Keep on the shelf",
            Command::ShowLayers => "Which layers a direction acts through",
            Command::ShowWhere => "Where a direction acts",
            Command::MarkUp => "Mark the sample up",
            Command::MarkDown => "Mark the sample down",
            Command::FindPhoto => "Find the photo, or stop",
            Command::FindOn => "Go on finding the photo",
            Command::FindAfresh => "Find the photo from another start",
            Command::Play => "Play or pause",
            Command::PreviousFrame => "Previous frame",
            Command::NextFrame => "Next frame",
            Command::CopyPicture => "Copy picture",
            Command::Select(Group::Bottom) => "Bottom layers",
            Command::Select(Group::Middle) => "Middle layers",
            Command::Select(Group::Top) => "Top layers",
            Command::Select(Group::All) => "All layers",
            Command::Look(look) => look.title(),
            Command::Fit => "Fit picture",
            Command::ActualSize => "Actual size",
            Command::ZoomIn => "Zoom in",
            Command::ZoomOut => "Zoom out",
            Command::SetComparison => "Set as comparison",
            Command::ClearComparison => "Compare with the unedited sample",
            Command::SwapCompared => "Swap with the comparison",
            Command::HidePanels => "Hide panels",
            Command::Shelf => "Shelf",
            Command::Strips => "Thumbnails under directions",
            Command::HalfPrecision => "Half precision on the GPU",
            Command::SwapChannels => "Read as blue, green, red",
            Command::Bilinear => "Read as bilinear",
            Command::ToggleTheme => "Dark or light",
            Command::Reading => "How the file was read…",
            Command::Palette => "Command palette",
            Command::Shortcuts => "Keyboard shortcuts",
            Command::ShowLog => "Show log",
            Command::Cancel => "Cancel loading or exporting",
        }
    }

    pub fn tooltip(self) -> &'static str {
        match self {
            Command::Open => "A checkpoint (.pkl, .pt, .pth, .safetensors), a saved edit, or an exported picture",
            Command::OpenPhoto => "A picture of yours (PNG, JPEG, WebP, BMP or TIFF), which the model is to make",
            Command::OpenExample(_) => "A small generator that ships inside the program",
            Command::SaveEdit => "Writes the edit as a small JSON file that opens again; asks where, the first time",
            Command::SaveEditAs => "Writes the edit to another file, which is saved to from then on",
            Command::Export => "Writes a PNG that carries the edit",
            Command::ExportView => {
                "Writes the samples or the comparison as one picture in full size, the sheet as a page for browsers or a picture, measurements as a picture or a table"
            }
            Command::ExportSweep => "Writes a series of pictures along one move",
            Command::ExportShelf => "Writes the kept pictures as a series of PNGs, each of which carries its edit",
            Command::ExportMotion => {
                "Writes what the player shows as a film: MP4, GIF or APNG, and with ffmpeg other kinds"
            }
            Command::ExportFrames => "Writes what the player shows as a series of PNGs, each of which carries its edit",
            Command::Quit => "Closes the window",
            Command::Undo => "Takes back the last change",
            Command::Redo => "Makes the change again",
            Command::PreviousSeed => "Moves stay as they are",
            Command::NextSeed => "Moves stay as they are",
            Command::RandomSeed => "Moves stay as they are",
            Command::RerollNoise => "Another draw of the per-pixel noise",
            Command::MixStyle => "Takes the codes of the layers that Semantics shows from a random seed",
            Command::ResetMoves => "Removes every move and style",
            Command::Keep => "Puts the picture as it is now on the shelf, from where a click brings it back",
            Command::ShowLayers => {
                "Bars over the layers: what the slider touched last does in each alone. A click has it act in that layer only"
            }
            Command::ShowWhere => "The difference that the slider touched last makes to this picture, as heat",
            Command::MarkUp | Command::MarkDown => {
                "In Samples: marks the one under the pointer, or the present one; a direction can be learned from marks"
            }
            Command::FindPhoto => {
                "Looks for the code whose picture is nearest to the photo; stopped, it goes on with the nearest so far"
            }
            Command::FindOn => "Takes more steps from the code that was found",
            Command::FindAfresh => "Looks once more, from other samples of the model",
            Command::Play => "Plays the shelf from left to right, or a swing along a move where little is kept",
            Command::PreviousFrame | Command::NextFrame => "Halts, and goes one frame of the motion",
            Command::CopyPicture => "Puts the picture on the clipboard",
            Command::Select(_) => "Shows the directions of these layers; moves made elsewhere stay active",
            Command::Look(Look::Picture) => "One picture, as large as there is room",
            Command::Look(Look::Samples) => "Many samples under the same moves",
            Command::Look(Look::Directions) => "What every direction of these layers does to the sample",
            Command::Look(Look::Compare) => {
                "The edit beside another: a line between them, side by side, or their difference"
            }
            Command::Look(Look::Analysis) => {
                "What directions change, how evenly, how far they disturb each other, and where others' lie"
            }
            Command::Look(Look::Photo) => "A photo of yours beside the model's picture of it",
            Command::Fit => "As large as the window allows",
            Command::ActualSize => "One pixel of the picture is one pixel of the screen",
            Command::ZoomIn | Command::ZoomOut => "The wheel does the same, at the pointer",
            Command::SetComparison => "Space then shows the picture as it is now",
            Command::ClearComparison => "Space then shows the sample without moves",
            Command::SwapCompared => "The comparison becomes the edit, and the edit the comparison",
            Command::HidePanels => "Leaves only the picture",
            Command::Shelf => "The strip of kept pictures under the picture",
            Command::Strips => "Small pictures along every direction; pointing at one shows its own without this",
            Command::HalfPrecision => {
                "Stores weights and maps in 16 bits (f16): half the memory, matrix units where the GPU has them, pictures that differ invisibly. The CPU keeps 32 bits"
            }
            Command::SwapChannels => {
                "Takes the network's first channel for blue: where faces are blue, files cannot tell"
            }
            Command::Bilinear => {
                "Takes a StyleGAN2 for the version that doubles sizes by interpolation (BasicSR, GFPGAN), which names cannot tell"
            }
            Command::ToggleTheme => "Changes between the dark and the light look",
            Command::Reading => "Says where each part of the network comes from, and lets you correct it",
            Command::Palette => "Finds every command by name",
            Command::Shortcuts => "Shows all keys",
            Command::ShowLog => "Opens the folder of the file that says what went wrong and when",
            Command::Cancel => "What was there stays as it is",
        }
    }

    /// Shortcuts; the first is shown. More modifiers come first where keys are shared.
    pub fn shortcuts(self) -> &'static [Shortcut] {
        const fn global(modifiers: Modifiers, key: Key) -> Shortcut {
            Shortcut { keys: KeyboardShortcut::new(modifiers, key), global: true }
        }
        const fn plain(modifiers: Modifiers, key: Key) -> Shortcut {
            Shortcut { keys: KeyboardShortcut::new(modifiers, key), global: false }
        }
        const NONE: Modifiers = Modifiers::NONE;
        match self {
            Command::Open => const { &[global(CTRL, Key::O)] },
            Command::OpenPhoto => const { &[global(CTRL_SHIFT, Key::O)] },
            Command::ShowLayers => const { &[plain(NONE, Key::L)] },
            Command::ShowWhere => const { &[plain(NONE, Key::W)] },
            Command::MarkUp => const { &[plain(NONE, Key::U)] },
            Command::MarkDown => const { &[plain(NONE, Key::D)] },
            Command::FindPhoto => const { &[plain(CTRL, Key::Enter)] },
            Command::SaveEdit => const { &[global(CTRL, Key::S)] },
            Command::SaveEditAs => const { &[global(CTRL_SHIFT, Key::S)] },
            Command::Export => const { &[global(CTRL, Key::E)] },
            Command::ExportView => const { &[global(CTRL_SHIFT, Key::X)] },
            Command::ExportSweep => const { &[global(CTRL_SHIFT, Key::E)] },
            Command::ExportMotion => const { &[global(CTRL_SHIFT, Key::M)] },
            Command::Quit => const { &[global(CTRL, Key::Q)] },
            Command::Undo => const { &[plain(CTRL, Key::Z)] },
            Command::Redo => const { &[plain(CTRL_SHIFT, Key::Z), plain(CTRL, Key::Y)] },
            Command::PreviousSeed => const { &[plain(NONE, Key::ArrowLeft)] },
            Command::NextSeed => const { &[plain(NONE, Key::ArrowRight)] },
            Command::RandomSeed => const { &[plain(NONE, Key::R)] },
            Command::RerollNoise => const { &[plain(NONE, Key::N)] },
            Command::MixStyle => const { &[plain(NONE, Key::M)] },
            Command::ResetMoves => const { &[plain(CTRL_SHIFT, Key::Delete)] },
            Command::Keep => const { &[plain(NONE, Key::K)] },
            Command::Play => const { &[plain(NONE, Key::P)] },
            Command::PreviousFrame => const { &[plain(NONE, Key::Comma)] },
            Command::NextFrame => const { &[plain(NONE, Key::Period)] },
            Command::CopyPicture => const { &[plain(CTRL_SHIFT, Key::C)] },
            Command::Select(Group::Bottom) => const { &[plain(CTRL, Key::Num1)] },
            Command::Select(Group::Middle) => const { &[plain(CTRL, Key::Num2)] },
            Command::Select(Group::Top) => const { &[plain(CTRL, Key::Num3)] },
            Command::Select(Group::All) => const { &[plain(CTRL, Key::Num4)] },
            Command::Look(Look::Picture) => const { &[plain(NONE, Key::Num1)] },
            Command::Look(Look::Samples) => const { &[plain(NONE, Key::Num2)] },
            Command::Look(Look::Directions) => const { &[plain(NONE, Key::Num3)] },
            Command::Look(Look::Compare) => const { &[plain(NONE, Key::Num4)] },
            Command::Look(Look::Analysis) => const { &[plain(NONE, Key::Num5)] },
            Command::Look(Look::Photo) => const { &[plain(NONE, Key::Num6)] },
            Command::Fit => const { &[plain(NONE, Key::F)] },
            Command::ActualSize => const { &[plain(NONE, Key::Num0)] },
            Command::ZoomIn => const { &[plain(NONE, Key::Plus), plain(NONE, Key::Equals)] },
            Command::ZoomOut => const { &[plain(NONE, Key::Minus)] },
            Command::SetComparison => const { &[plain(NONE, Key::C)] },
            Command::Shelf => const { &[plain(NONE, Key::B)] },
            Command::HidePanels => const { &[plain(NONE, Key::H)] },
            Command::Strips => const { &[plain(NONE, Key::T)] },
            Command::ToggleTheme => const { &[global(CTRL, Key::Comma)] },
            Command::Palette => const { &[global(CTRL, Key::P)] },
            Command::Shortcuts => const { &[global(NONE, Key::F1)] },
            Command::OpenExample(_)
            | Command::FindOn
            | Command::FindAfresh
            | Command::ExportShelf
            | Command::ExportFrames
            | Command::ClearComparison
            | Command::SwapCompared
            | Command::HalfPrecision
            | Command::Reading
            | Command::ShowLog
            | Command::SwapChannels
            | Command::Bilinear
            | Command::Cancel => &[],
        }
    }

    /// The first shortcut as text, such as "Ctrl+E"; empty if there is none.
    pub fn keys(self, ctx: &Context) -> String {
        let shown = |shortcut: &Shortcut| ctx.format_shortcut(&shortcut.keys);
        let text = self.shortcuts().first().map_or_else(String::new, shown);
        // egui spells out the names of signs.
        text.replace("Comma", ",").replace("Period", ".").replace("Minus", "−").replace("Plus", "+")
    }

    /// Tooltip with the shortcut behind it, for buttons that show neither.
    pub fn hint(self, ctx: &Context) -> String {
        let keys = self.keys(ctx);
        let text = self.text().trim_end_matches('…');
        if keys.is_empty() {
            format!("{text}\n{}", self.tooltip())
        } else {
            format!("{text} ({keys})\n{}", self.tooltip())
        }
    }

    /// True of commands that go a step further each time, so that two presses within one frame are two.
    fn steps(self) -> bool {
        use Command as C;
        matches!(
            self,
            C::Undo
                | C::Redo
                | C::PreviousSeed
                | C::NextSeed
                | C::PreviousFrame
                | C::NextFrame
                | C::ZoomIn
                | C::ZoomOut
        )
    }

    /// The commands whose keys were pressed, in order; the keys are taken from the input.
    pub fn pressed(ctx: &Context) -> Vec<Command> {
        let typing = ctx.text_edit_focused();
        // Arrows belong to the focused control; without one they step through seeds.
        let focused = ctx.memory(|memory| memory.focused()).is_some();
        let mut candidates: Vec<(Command, Shortcut)> = Command::all()
            .flat_map(|command| command.shortcuts().iter().map(move |shortcut| (command, *shortcut)))
            .filter(|(_, shortcut)| {
                let arrow = matches!(shortcut.keys.logical_key, Key::ArrowLeft | Key::ArrowRight);
                !(typing && !shortcut.global || focused && arrow)
            })
            .collect();
        // Matching ignores extra modifiers, so Ctrl+Shift+Z must be asked for before Ctrl+Z.
        candidates.sort_by_key(|(_, shortcut)| std::cmp::Reverse(shortcut.keys.modifiers.shift));
        let mut pressed: Vec<Command> = Vec::new();
        ctx.input_mut(|input| {
            input.events.retain(|event| {
                let wanted = candidates.iter().find(|(_, shortcut)| starts(event, &shortcut.keys));
                let command = wanted.map(|(command, _)| *command);
                pressed.extend(command.filter(|command| command.steps() || !pressed.contains(command)));
                command.is_none()
            });
        });
        pressed
    }
}

/// True if the event is a press of these keys. A key without modifiers is not taken when any is held, but for signs.
fn starts(event: &Event, keys: &KeyboardShortcut) -> bool {
    let Event::Key { key, pressed: true, modifiers, .. } = event else { return false };
    let sign = matches!(keys.logical_key, Key::Plus | Key::Equals);
    let bare = !keys.modifiers.is_none() || sign || !modifiers.any();
    *key == keys.logical_key && bare && modifiers.matches_logically(keys.modifiers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_command_says_what_it_does_and_no_two_share_a_key() {
        let mut keys = HashSet::new();
        for command in Command::all() {
            assert!(!command.text().is_empty() && !command.tooltip().is_empty());
            for shortcut in command.shortcuts() {
                assert!(keys.insert(shortcut.keys), "{command:?} shares its key with another command");
            }
        }
    }
}
