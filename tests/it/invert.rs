//! Inversion: what is found of a picture that the model made, and what is said of files that are no photos.

use std::fs;

use serde_json::Value;

use crate::cli::Shell;
use crate::support::pixels_of;

#[test]
fn a_picture_of_the_model_is_found_again_and_renders_from_its_code() {
    let shell = Shell::new();
    shell.ok("render --seeds 901 --psi 0.7 --out made");
    shell.ok("invert --photos made/frame_0000.png --out found --steps 40 --seed 1");
    let table: Value = serde_json::from_slice(&fs::read(shell.path("found/table.json")).unwrap()).unwrap();
    let row = &table["rows"][0];
    assert!(row["psnr"].as_f64().unwrap() > 25.0 && row["steps"] == 40 && row["seconds"].is_number(), "{table}");
    assert!(shell.path("found/frame_0000-pair.png").exists());
    shell.ok("render --latents found/frame_0000.npz --psi 1 --out again");
    let [found, again] =
        ["found/frame_0000.png", "again/frame_0000.png"].map(|name| pixels_of(&fs::read(shell.path(name)).unwrap()));
    assert_eq!(found, again, "the code is that of the picture beside it");
    let (code, said) = shell.said("invert --photos made/frame_0000.png --out found");
    assert!(code == Some(1) && said.contains("frame_0000.npz is there already"), "{said}");
}

#[test]
fn what_is_no_photo_is_refused_by_name() {
    let shell = Shell::new();
    fs::write(shell.path("bad.png"), "no picture").unwrap();
    for (line, expected) in [
        ("invert --photos bad.png --out found", "bad.png: expected a picture (PNG, JPEG, WebP, BMP or TIFF)"),
        ("invert --photos missing.png --out found", "missing.png"),
    ] {
        let (code, said) = shell.said(line);
        assert!(code == Some(1) && said.contains(expected), "{line}: {said}");
    }
    let left = fs::read_dir(shell.path("found")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "nothing is written");
}
