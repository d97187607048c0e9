//! safetensors files, and headers with the length that they have.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sefa_studio_fuzz::read_all;

fuzz_target!(|data: &[u8]| {
    match data.first() {
        Some(b'{') => read_all([&(data.len() as u64).to_le_bytes(), data].concat()),
        _ => read_all(data.to_vec()),
    }
});
