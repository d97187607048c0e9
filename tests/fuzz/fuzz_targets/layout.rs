//! Names and shapes of sound files: one tensor a line, `name axis axis ..`, all elements zero.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use sefa_studio_fuzz::read_all;

/// Elements of a whole file.
const MAX_ELEMENTS: usize = 1 << 18;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    let mut header = BTreeMap::new();
    let mut end = 0;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(name) = words.next() else { continue };
        let shape: Option<Vec<usize>> = words.map(|word| word.parse().ok()).collect();
        let Some(shape) = shape else { continue };
        let len = shape.iter().try_fold(1usize, |len, &axis| len.checked_mul(axis)).filter(|len| *len <= MAX_ELEMENTS);
        let Some(len) = len.filter(|len| end / 4 + len <= MAX_ELEMENTS) else { return };
        if header.contains_key(name) {
            continue;
        }
        let offsets = [end, end + 4 * len];
        end = offsets[1];
        header.insert(name, serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": offsets}));
    }
    let Ok(header) = serde_json::to_vec(&header) else { return };
    read_all([&(header.len() as u64).to_le_bytes()[..], &header, &vec![0; end]].concat());
});
