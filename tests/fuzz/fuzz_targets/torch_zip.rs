//! Zip files, and programs inside a sound zip file with one storage of 64 bytes.

#![no_main]

use std::io::{Cursor, Write};

use libfuzzer_sys::fuzz_target;
use sefa_studio_fuzz::read_all;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fuzz_target!(|data: &[u8]| {
    if data.starts_with(b"PK") {
        return read_all(data.to_vec());
    }
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in [("x/data.pkl", data), ("x/data/0", &[1; 64])] {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        if zip.start_file(name, options).is_err() || zip.write_all(content).is_err() {
            return;
        }
    }
    if let Ok(file) = zip.finish() {
        read_all(file.into_inner());
    }
});
