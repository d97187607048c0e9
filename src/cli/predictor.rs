//! `predictor`: what a predictor says of a picture.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, json};

use super::progress::Bar;
use super::tables::TableArguments;
use super::{note, scored};
use crate::export::{Cell, Column, Table};
use crate::invert::Photo;
use crate::predictor::{Attribute, Predictor, PredictorSource};

const EXAMPLES: &str = "\
Examples:
  sefa-studio predictor check smile.onnx --picture me.jpg
      what the network says of a photo
  sefa-studio predictor check example:toy-heads --picture frame.png --json
      the same as JSON, with how the network was read: a description to be kept beside it, under \"description\"
  sefa-studio predictor check statistics --picture frame.png
      lightness, hue, symmetry and other numbers that need no network

A network is an ONNX file with one input of pictures. What the file does not say is read from smile.predictor.json beside smile.onnx:
  {\"version\": 1,
   \"input\": {\"layout\": \"nchw\", \"size\": [224, 224], \"channels\": \"rgb\", \"range\": [0, 1],
             \"mean\": [0.485, 0.456, 0.406], \"std\": [0.229, 0.224, 0.225], \"fit\": \"crop\"},
   \"outputs\": [{\"name\": \"logits\", \"activation\": \"sigmoid\",
                \"attributes\": [\"young\", {\"name\": \"smile\", \"plus\": \"smiling\", \"minus\": \"serious\"}, null]}]}
layout: nchw or nhwc; channels: rgb, bgr or grey; range: what black and white are, of which mean is taken off before std divides; \
fit: stretch or crop; activation: none, sigmoid, softmax or regression (a measure, which stays as it is). Numbers in the place of \
null are not looked at; attributes of one \"title\" are parts of one thing. Whatever is left out is what the file says, else nchw, \
rgb, -1..1, stretch and none. Pictures that are larger than the input become means over areas, smaller ones are interpolated.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Print what a predictor says of a picture
    #[command(after_help = EXAMPLES)]
    Check {
        /// Predictor: an ONNX file, statistics, or example:toy-heads
        predictor: PredictorSource,

        /// Picture to look at: PNG, JPEG, WebP, BMP or TIFF
        #[arg(long, value_name = "FILE")]
        picture: PathBuf,

        #[command(flatten)]
        table: TableArguments,
    },
}

pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Action::Check { predictor: source, picture, table } = arguments.action;
    let predictor = Predictor::open(&source, &mut Bar::new().report())?;
    scored::note_assumed(&predictor);
    let photo = Photo::read(&picture)?;
    let numbers = predictor.predict(&photo.planes(), [photo.height, photo.width])?;
    if numbers.iter().any(|x| !x.is_finite()) {
        note("some of what it says is no number");
    }
    let row = |(attribute, &number): (&Attribute, &f32)| {
        vec![Cell::Text(attribute.name.clone()), Cell::Text(attribute.title.clone()), f64::from(number).into()]
    };
    let found = Table {
        parameters: vec![
            ("predictor", json!(source.to_string())),
            ("picture", json!(picture.to_string_lossy())),
            ("size", json!([photo.height, photo.width])),
        ],
        columns: vec![
            Column::new("attribute", "attribute"),
            Column::new("title", "title"),
            Column::new("value", "value"),
        ],
        rows: predictor.attributes().iter().zip(&numbers).map(row).collect(),
    };
    let mut more = Map::new();
    let mut title = source.to_string();
    if let Predictor::Network(network) = &predictor {
        more.insert("description".into(), json!(network.description()));
        more.insert("assumed".into(), json!(network.assumed()));
        more.insert("multiplications".into(), json!(network.work()));
        title = format!("{title}, {:.0} million multiplications for a picture", network.work() as f64 / 1e6);
    }
    table.show(&title, &found, None, more)
}
