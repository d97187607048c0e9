//! Directions of other tools, as `library import` and `align` take them.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;

use super::arguments::{LayerChoice, Numbers};
use super::note;
use crate::directions;
use crate::edit::{Direction, Origin};
use crate::export::{DirectionsAs, ForeignDirection, ForeignDirections, Latents, LatentsError};
use crate::generator::ModelInfo;
use crate::library;

/// Which directions of a file of arrays, and how they are read.
#[derive(Args)]
pub struct ForeignArguments {
    /// Array of directions: read its rows, its columns or its layers as directions, where the shape leaves that open
    #[arg(long = "as", value_name = "READING")]
    reading: Option<DirectionsAs>,

    /// Which array of the file, by its name or its path; needed if several can be meant
    #[arg(long, value_name = "NAME")]
    key: Option<String>,

    /// Which of its directions, such as 0-9,12 [default: all]
    #[arg(long, value_name = "NUMBERS")]
    directions: Option<Numbers>,

    /// Layers that they move: all, bottom, middle, top, or such as 2-5,7 [default: all]
    #[arg(long)]
    layers: Option<LayerChoice>,

    /// What to call it, if it is one [default: its name in the file, else that of the file]
    #[arg(long)]
    name: Option<String>,

    /// Take only what changes nothing along these directions, files as well (conditional boundaries)
    #[arg(long, value_name = "FILES", value_delimiter = ',')]
    without: Vec<PathBuf>,
}

impl ForeignArguments {
    /// Those that are meant, as they are to be moved.
    pub fn read(&self, file: &Path, info: &ModelInfo) -> anyhow::Result<Vec<ForeignDirection>> {
        let mut found = read(file, self.key.as_deref(), self.reading, info)?;
        if let Some(Numbers(numbers)) = &self.directions {
            let last = found.len() - 1;
            let wanted = |&number: &u64| usize::try_from(number).ok().filter(|&at| at <= last);
            let wrong = numbers.iter().find(|number| wanted(number).is_none());
            ensure!(
                wrong.is_none(),
                "--directions: expected 0 to {last}, found {}",
                wrong.copied().unwrap_or_default()
            );
            found = numbers.iter().filter_map(wanted).map(|at| found[at].clone()).collect();
        }
        if let Some(name) = &self.name {
            ensure!(found.len() == 1, "--name: expected one direction, found {}; --directions chooses", found.len());
            let (letters, most) = (name.chars().count(), library::MAX_NAME);
            ensure!(letters <= most, "--name: expected at most {most} letters, found {letters}");
            found[0].name.clone_from(name);
        }
        if let Some(layers) = &self.layers {
            let layers = layers.resolve(info)?;
            for found in &mut found {
                found.direction = found.direction.within(&layers).context("no layer is left to move")?;
            }
        }
        self.condition(&mut found, info)?;
        Ok(found)
    }

    fn condition(&self, found: &mut [ForeignDirection], info: &ModelInfo) -> anyhow::Result<()> {
        if self.without.is_empty() {
            return Ok(());
        }
        let mut conditions: Vec<Direction> = Vec::new();
        for file in &self.without {
            conditions.extend(read(file, None, None, info)?.into_iter().map(|found| found.direction));
        }
        for ForeignDirection { name, direction, counts_sigmas } in found {
            let left = directions::without(direction, &conditions);
            direction.vectors = left.with_context(|| {
                format!("--without: nothing is left of {name}: it lies among the {} conditions", conditions.len())
            })?;
            *counts_sigmas = false;
            if self.name.is_none() {
                name.push_str(", conditional");
            }
            direction.origin = Origin::Boundary { name: name.clone() };
        }
        Ok(())
    }
}

/// All directions of a file; says what they were taken for.
pub fn read(
    file: &Path,
    key: Option<&str>,
    reading: Option<DirectionsAs>,
    info: &ModelInfo,
) -> anyhow::Result<Vec<ForeignDirection>> {
    let latents = Latents::read(file, key).map_err(|error| match error {
        LatentsError::Container(_) => {
            anyhow::Error::new(error).context(format!("{} is no library and holds no directions", file.display()))
        }
        error => error.into(),
    })?;
    let ForeignDirections { directions, readings } = latents.directions(reading, info)?;
    readings.iter().for_each(|reading| note(reading));
    Ok(directions)
}
