//! The compute pass that shows pictures: valid, and equal to the host's conversion for every kind of memory layout.

use burn::tensor::{Tensor, TensorData};
use sefa_studio::render::{Picture, Pixels, Screen};

use crate::support::{devices, read_texture};

#[test]
fn every_shader_is_valid() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // Templates are filled in, and then checked, by the tests of what uses them.
        if path.extension().unwrap() == "jinja" {
            continue;
        }
        assert_eq!(path.extension().unwrap(), "wgsl", "shaders/ holds WGSL only");
        let source = std::fs::read_to_string(&path).unwrap();
        let module = naga::front::wgsl::parse_str(&source).unwrap_or_else(|e| panic!("{}", e.emit_to_string(&source)));
        let (flags, capabilities) = (naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty());
        naga::valid::Validator::new(flags, capabilities).validate(&module).unwrap();
        count += 1;
    }
    assert!(count > 0);
}

#[test]
fn textures_hold_the_pixels_that_export_writes() {
    for device in devices() {
        let Some(setup) = device.wgpu() else { continue };
        let mut screen = Screen::new(setup);
        for (channels, height, width) in [(3, 20, 13), (1, 7, 9), (4, 8, 8), (3, 64, 64)] {
            let values: Vec<f32> =
                (0..channels * height * width).map(|i| (i * 37 % 1009) as f32 / 400.0 - 1.25).collect();
            let pixels = Pixels::from_planar(&values, channels, height, width);
            let planar = TensorData::new(values.clone(), [1, channels, height, width]);
            // The same picture stored channels-last, as convolutions leave it, and seen through a permuted view.
            let mut interleaved = vec![0.0; values.len()];
            for (i, &x) in values.iter().enumerate() {
                let (c, pixel) = (i / (height * width), i % (height * width));
                interleaved[pixel * channels + c] = x;
            }
            let view = TensorData::new(interleaved, [1, height, width, channels]);
            let view = Tensor::<4>::from_data(view, device.device()).permute([0, 3, 1, 2]);
            // A slice of a larger tensor starts at an offset in its buffer.
            let padding = Tensor::<4>::zeros([1, channels, 3, width], device.device());
            let plain = Tensor::<4>::from_data(planar, device.device());
            let sliced =
                Tensor::cat(vec![padding, plain.clone()], 2).slice([0..1, 0..channels, 3..3 + height, 0..width]);
            for (what, tensor) in [("planar", plain), ("channels-last", view), ("slice", sliced)] {
                let texture = screen.show(&Picture::new(tensor)).unwrap();
                let found = read_texture(setup, &texture);
                assert_eq!(found, pixels.to_rgba(), "{what}, {channels} x {height} x {width} on {}", device.label());
            }
        }
    }
}
