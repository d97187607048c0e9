//! Pictures that are not finite are said on every device, wherever in the network it happens.

use burn::tensor::{Tensor, TensorData};
use sefa_studio::edit::{Code, Edit};
use sefa_studio::generator::ModelInfo;
use sefa_studio::progress;
use sefa_studio::render::{Engine, Picture, RenderError, Screen, Source};

use crate::support::{devices, fixture, half_devices};

#[test]
fn one_value_that_is_not_finite_is_found_and_the_next_picture_shows() {
    for device in devices() {
        let Some(setup) = device.wgpu() else { continue };
        let mut screen = Screen::new(setup);
        let picture = |position: usize, value: f32| {
            let mut values = vec![0.25; 3 * 9 * 7];
            values[position] = value;
            Picture::new(Tensor::<4>::from_data(TensorData::new(values, [1, 3, 9, 7]), device.device()))
        };
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -f32::NAN] {
            for position in [0, 62, 63, 3 * 63 - 1] {
                let shown = screen.show(&picture(position, value));
                assert!(matches!(shown, Err(RenderError::NotFinite)), "{value} at {position}");
            }
            assert!(screen.show(&picture(5, f32::MAX)).is_ok() && screen.show(&picture(5, -1e-45)).is_ok());
        }
    }
}

/// The edit with a code so large that the network's sums overflow.
fn overflowing(info: &ModelInfo) -> Edit {
    let mut edit = info.start(0);
    edit.sample.code = match info.w_dim {
        Some(w_dim) => Code::WPlus(vec![vec![3e38; w_dim]; info.num_layers]),
        None => Code::Z((0..info.z_dim).map(|i| if i % 2 == 0 { 3e38 } else { -3e38 }).collect()),
    };
    edit
}

#[test]
fn sums_that_overflow_inside_a_network_show_on_every_device() {
    for file in [
        "stylegan1_genforce/model.pth",
        "stylegan2_ada_skip/model.pth",
        "stylegan2_ada_resnet/model.pth",
        "stylegan3_t/model.pth",
        "biggan_ajbrock/G_ema.pth",
        "biggan_deep_hf_small/pytorch_model.bin",
        "dcgan/netG.pth",
    ] {
        for device in devices().into_iter().chain(half_devices()) {
            let label = format!("{file} on {}", device.label());
            let mut screen = device.wgpu().map(Screen::new);
            let mut engine = Engine::new(device);
            let info = engine.open(&Source::File(fixture(file)), &mut progress::silent).unwrap();
            let picture = engine.render(&overflowing(&info)).unwrap();
            assert!(matches!(picture.to_pixels(), Err(RenderError::NotFinite)), "{label}");
            let shown = screen.as_mut().map(|screen| screen.show(&picture).map(drop));
            assert!(matches!(shown, None | Some(Err(RenderError::NotFinite))), "{label}");
            // In a batch it spoils nothing but itself.
            let tiles = engine.tiles(&[info.start(0), overflowing(&info), info.start(1)], 8, None).unwrap();
            let is_good: Vec<bool> = tiles.iter().map(Result::is_ok).collect();
            assert_eq!(is_good, [true, false, true], "{label}");
            assert!(matches!(tiles[1], Err(RenderError::NotFinite)), "{label}");
            // Nothing of it stays.
            assert!(engine.render(&info.start(0)).unwrap().to_pixels().is_ok(), "{label}");
        }
    }
}
