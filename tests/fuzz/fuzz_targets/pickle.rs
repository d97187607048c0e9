//! Pickles of all protocols, files of PyTorch before 1.6, and pickled networks.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sefa_studio_fuzz::read_all;

fuzz_target!(|data: &[u8]| {
    let headed = if matches!(data, [0x80, 2..=5, ..]) { data.to_vec() } else { [b"\x80\x04", data].concat() };
    read_all(headed);
});
