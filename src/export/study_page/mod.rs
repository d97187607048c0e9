//! A study as a page: pictures along directions, and questions about each. It needs no server and nothing from outside.

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::{ExportError, png};
use crate::edit::{LayerSet, Weighting};
use crate::files;
use crate::generator::ModelInfo;
use crate::project::PROGRAM;
use crate::render::Pixels;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// A direction that is asked about.
pub struct StudyItem {
    pub layers: LayerSet,
    pub weighting: Weighting,
    pub index: usize,
    /// A row for each sample, from one end to the other.
    pub strip: Pixels,
}

/// Writes the page. All of it or nothing.
///
/// # Errors
/// A picture cannot be encoded, or the file cannot be written.
pub fn write_study(path: &Path, info: &ModelInfo, items: &[StudyItem]) -> Result<(), ExportError> {
    let encode = |item: &StudyItem| {
        let png = png::encode(&item.strip, None).map_err(|source| ExportError::Encode { path: path.into(), source })?;
        let picture = BASE64_STANDARD.encode(png);
        Ok(json!({"layers": item.layers, "weighting": item.weighting, "index": item.index, "picture": picture}))
    };
    let items = items.iter().map(encode).collect::<Result<Vec<_>, ExportError>>()?;
    // No text of a file ends the script that holds it.
    let study =
        json!({"model": info.name, "identity": info.identity, "family": info.family.to_string(), "items": items})
            .to_string()
            .replace('<', "\\u003c");
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta name=\"generator\" content=\"{PROGRAM}\">\n<title>What changes?</title>\n<style>\n{STYLE}</style>\n\
         <h1>What changes?</h1>\n\
         <p class=\"faint\">Each row shows one picture that is moved along the same direction, from one end to the other. Keys: 1 yes, \
         2 no, Enter after a name, Backspace goes back. Answers stay in this browser until you save them.</p>\n\
         <progress id=\"progress\" aria-label=\"Directions answered\"></progress>\n<p id=\"count\" class=\"faint\"></p>\n\
         <img id=\"strip\">\n<p id=\"question\" aria-live=\"polite\"></p>\n\
         <div id=\"yesno\" class=\"row\"><button id=\"yes\">1 Yes</button><button id=\"no\">2 No</button></div>\n\
         <div id=\"naming\" class=\"row\" hidden><label>A name, if one comes to mind <input id=\"name\" maxlength=\"80\"></label>\
         <button id=\"next\">Enter</button></div>\n\
         <footer class=\"row\"><button id=\"back\">Back</button><button id=\"save\">Save answers</button>\
         <label>Your name, if you like <input id=\"participant\" maxlength=\"80\"></label></footer>\n\
         <script type=\"application/json\" id=\"study\">{study}</script>\n<script>\n{SCRIPT}</script>\n</html>\n"
    );
    Ok(files::write_bytes(path, page.as_bytes())?)
}
