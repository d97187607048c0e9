//! The shelf in a project file: every direction once, however many of its edits move along it.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use crate::edit::{
    self, DEFAULT_SECONDS, Direction, Easing, Edit, Kept, MAX_KEPT, MAX_NAME, Move, Noise, Playback, SECONDS, Sample,
    Shelf, Truncation,
};

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    directions: Vec<Arc<Direction>>,
    kept: Vec<StoredKept>,
    #[serde(default, skip_serializing_if = "is_usual")]
    playback: Playback,
}

fn is_usual(playback: &Playback) -> bool {
    *playback == Playback::default()
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKept {
    edit: StoredEdit,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    name: String,
    /// From it to the next; absent if nobody changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seconds: Option<f32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    easing: Option<Easing>,
}

/// An edit whose moves say the number of their direction.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredEdit {
    sample: Sample,
    truncation: Truncation,
    noise: Noise,
    moves: Vec<StoredMove>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredMove {
    value: f32,
    #[serde(default = "edit::enabled_by_default")]
    enabled: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    name: String,
    direction: usize,
}

/// On one line: a number takes a third of what it takes on its own.
pub fn to_json(shelf: &Shelf) -> serde_json::Result<String> {
    let mut directions: Vec<Arc<Direction>> = Vec::new();
    let mut number_of = |direction: &Arc<Direction>| {
        let is_this = |other: &Arc<Direction>| Arc::ptr_eq(other, direction) || other == direction;
        directions.iter().position(is_this).unwrap_or_else(|| {
            directions.push(direction.clone());
            directions.len() - 1
        })
    };
    let mut stored = |kept: &Arc<Kept>| {
        let Kept { edit: Edit { sample, truncation, noise, moves }, name, seconds, easing } = &**kept;
        let moves = moves.iter().map(|step| {
            let Move { value, enabled, name, direction } = step;
            StoredMove { value: *value, enabled: *enabled, name: name.clone(), direction: number_of(direction) }
        });
        let moves = moves.collect();
        let edit = StoredEdit { sample: sample.clone(), truncation: *truncation, noise: *noise, moves };
        StoredKept {
            edit,
            name: name.clone(),
            seconds: Some(*seconds).filter(|&seconds| seconds != DEFAULT_SECONDS),
            easing: Some(*easing).filter(|&easing| easing != Easing::default()),
        }
    };
    let kept = shelf.iter().map(&mut stored).collect();
    serde_json::to_string(&Stored { directions, kept, playback: shelf.playback })
}

/// Reads a shelf.
///
/// # Errors
/// It has too many edits, a move along a direction that it lacks, or times and rates that none can be played with.
pub fn deserialize<'de, D: Deserializer<'de>>(file: D) -> Result<Shelf, D::Error> {
    let Stored { directions, kept, playback } = Stored::deserialize(file)?;
    if kept.len() > MAX_KEPT {
        let problem = format!("a shelf of {} edits, expected at most {MAX_KEPT}", kept.len());
        return Err(serde::de::Error::custom(problem));
    }
    if !Playback::FPS.contains(&playback.fps) {
        let (fps, expected) = (playback.fps, Playback::FPS);
        let problem =
            format!("a shelf played at {fps} frames a second, expected {} to {}", expected.start(), expected.end());
        return Err(serde::de::Error::custom(problem));
    }
    let direction = |number: usize| {
        let count = directions.len();
        let missing = || format!("a move along direction {number} of the shelf, which has {count}");
        directions.get(number).cloned().ok_or_else(|| serde::de::Error::custom(missing()))
    };
    let read = |StoredKept { edit, name, seconds, easing }: StoredKept| {
        let seconds = seconds.unwrap_or(DEFAULT_SECONDS);
        if !SECONDS.contains(&seconds) {
            let (least, most) = (SECONDS.start(), SECONDS.end());
            let problem = format!("{seconds} seconds after an edit of the shelf, expected {least} to {most}");
            return Err(serde::de::Error::custom(problem));
        }
        let StoredEdit { sample, truncation, noise, moves } = edit;
        let moves = moves.into_iter().map(|StoredMove { value, enabled, name, direction: number }| {
            Ok(Move { value, enabled, name, direction: direction(number)? })
        });
        let edit = Edit { sample, truncation, noise, moves: moves.collect::<Result<_, D::Error>>()? };
        let name = name.chars().take(MAX_NAME).collect();
        Ok(Kept { edit, name, seconds, easing: easing.unwrap_or_default() })
    };
    let mut shelf: Shelf = kept.into_iter().map(read).collect::<Result<_, D::Error>>()?;
    shelf.playback = playback;
    Ok(shelf)
}
