//! LPIPS: against a plain computation in double precision, its gradient against differences, on the CPU and on wgpu.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use sefa_studio::gpu::RenderDevice;
use sefa_studio::invert::Photo;
use sefa_studio::perceptual::{Perceptual, PerceptualError};
use sefa_studio::progress;

use crate::cli::Shell;
use crate::support::devices;

/// Places of the convolutions, by block, and channels of a network of the same shape that is small.
const BLOCKS: [(&[usize], usize); 5] =
    [(&[0, 2], 4), (&[5, 7], 6), (&[10, 12, 14], 5), (&[17, 19, 21], 7), (&[24, 26, 28], 4)];

type Weights = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919 + seed * 104_729 + i * i % 97 * 31) % 2003) as f32 / 1001.5 - 1.0).collect()
}

/// Weights by a formula. `has_heads`: those of channels too, none of them negative.
fn weights(has_heads: bool) -> Weights {
    let (mut all, mut inputs, mut seed) = (Weights::new(), 3, 1);
    for (block, (places, outputs)) in BLOCKS.iter().enumerate() {
        for at in *places {
            let gain = (2.0 / (9.0 * inputs as f32)).sqrt() * 1.7;
            let kernel = numbers(outputs * inputs * 9, seed).into_iter().map(|x| x * gain).collect();
            all.insert(format!("features.{at}.weight"), (vec![*outputs, inputs, 3, 3], kernel));
            let bias = numbers(*outputs, seed + 50).into_iter().map(|x| 0.1 * x).collect();
            all.insert(format!("features.{at}.bias"), (vec![*outputs], bias));
            (inputs, seed) = (*outputs, seed + 1);
        }
        if has_heads {
            let head = numbers(inputs, seed + 90).into_iter().map(|x| x.abs() + 0.1).collect();
            all.insert(format!("lin{block}.model.1.weight"), (vec![1, inputs, 1, 1], head));
        }
    }
    all
}

fn write(folder: &Path, name: &str, weights: &Weights) -> PathBuf {
    let bytes: Vec<(&String, &Vec<usize>, Vec<u8>)> = weights
        .iter()
        .map(|(name, (shape, values))| (name, shape, values.iter().flat_map(|x| x.to_le_bytes()).collect()))
        .collect();
    let views = bytes
        .iter()
        .map(|(name, shape, bytes)| (name.as_str(), TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap()));
    let path = folder.join(name);
    fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    path
}

/// `[channels][height * width]`
type Map = Vec<Vec<f64>>;

fn conv(map: &Map, [height, width]: [usize; 2], (shape, kernel): &(Vec<usize>, Vec<f32>), bias: &[f32]) -> Map {
    let (outputs, inputs) = (shape[0], shape[1]);
    let at = |channel: usize, y: isize, x: isize| -> f64 {
        let inside = (0..height as isize).contains(&y) && (0..width as isize).contains(&x);
        if inside { map[channel][y as usize * width + x as usize] } else { 0.0 }
    };
    let pixel = |output: usize, y: usize, x: usize| -> f64 {
        let mut sum = f64::from(bias[output]);
        for input in 0..inputs {
            for tap in 0..9 {
                let (dy, dx) = (tap as isize / 3 - 1, tap as isize % 3 - 1);
                let weight = f64::from(kernel[(output * inputs + input) * 9 + tap]);
                sum += weight * at(input, y as isize + dy, x as isize + dx);
            }
        }
        sum.max(0.0)
    };
    (0..outputs).map(|o| (0..height * width).map(|at| pixel(o, at / width, at % width)).collect()).collect()
}

/// The features of each block, of unit length, and their numbers of pixels.
fn plain(weights: &Weights, picture: &[f32], mut size: [usize; 2]) -> Vec<Map> {
    let (shift, scale) = ([-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]);
    let plane = size[0] * size[1];
    let scaled = |at: usize| (f64::from(picture[at]) - shift[at / plane]) / scale[at / plane];
    let mut map: Map = (0..3).map(|c| (0..plane).map(|at| scaled(c * plane + at)).collect()).collect();
    let mut found = Vec::new();
    for (block, (places, _)) in BLOCKS.iter().enumerate() {
        if block > 0 {
            let (half, width) = ([size[0] / 2, size[1] / 2], size[1]);
            let largest = |plane: &Vec<f64>| -> Vec<f64> {
                (0..half[0] * half[1])
                    .map(|at| {
                        let (y, x) = (at / half[1] * 2, at % half[1] * 2);
                        let four = [y * width + x, y * width + x + 1, (y + 1) * width + x, (y + 1) * width + x + 1];
                        four.iter().fold(f64::NEG_INFINITY, |most, at| most.max(plane[*at]))
                    })
                    .collect()
            };
            map = map.iter().map(largest).collect();
            size = half;
        }
        for at in *places {
            let bias = &weights[&format!("features.{at}.bias")].1;
            map = conv(&map, size, &weights[&format!("features.{at}.weight")], bias);
        }
        let length = |pixel: usize| map.iter().map(|plane| plane[pixel].powi(2)).sum::<f64>().sqrt() + 1e-10;
        let unit = |plane: &Vec<f64>| plane.iter().enumerate().map(|(at, x)| x / length(at)).collect();
        found.push(map.iter().map(unit).collect());
    }
    found
}

fn distance(weights: &Weights, a: &[Map], b: &[Map]) -> f64 {
    let of_block = |(block, (a, b)): (usize, (&Map, &Map))| -> f64 {
        let head = weights.get(&format!("lin{block}.model.1.weight")).map(|(_, values)| values);
        let of_channel = |(at, (a, b)): (usize, (&Vec<f64>, &Vec<f64>))| {
            let weight = head.map_or(1.0, |head| f64::from(head[at]));
            weight * a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / a.len() as f64
        };
        a.iter().zip(b).enumerate().map(of_channel).sum()
    };
    a.iter().zip(b).enumerate().map(of_block).sum()
}

fn load(path: &Path, device: &RenderDevice) -> Result<Perceptual, PerceptualError> {
    Perceptual::load(path, device.place().clone(), &mut progress::silent)
}

#[test]
fn distances_are_those_of_a_plain_computation_and_gradients_those_of_differences() {
    let folder = tempfile::tempdir().unwrap();
    for (has_heads, size) in [(false, [32, 32]), (true, [35, 48])] {
        let weights = weights(has_heads);
        let path = write(folder.path(), "vgg.safetensors", &weights);
        let count = 3 * size[0] * size[1];
        let (target, picture) = (numbers(count, 3), numbers(count, 8));
        let expected = distance(&weights, &plain(&weights, &picture, size), &plain(&weights, &target, size));
        for device in devices() {
            let network = load(&path, &device).unwrap();
            let features = network.features(&target, size).unwrap();
            let (cost, gradient) = network.cost(&picture, size, &features).unwrap();
            assert!((cost - expected).abs() < 1e-4 * expected, "{cost}, expected {expected}, on {}", device.label());
            assert!(network.cost(&target, size, &features).unwrap().0 < 1e-8 * expected);
            // Along a direction, by the plain computation.
            let direction = numbers(count, 21);
            let along = |step: f32| {
                let moved: Vec<f32> = picture.iter().zip(&direction).map(|(x, d)| x + step * d).collect();
                distance(&weights, &plain(&weights, &moved, size), &plain(&weights, &target, size))
            };
            let slope = (along(1e-4) - along(-1e-4)) / 2e-4;
            let found: f64 = gradient.iter().zip(&direction).map(|(a, b)| f64::from(a * b)).sum();
            assert!((found - slope).abs() < 2e-2 * slope.abs().max(0.05), "{found}, expected {slope}");
        }
    }
}

#[test]
fn the_names_of_lpips_are_known_and_other_files_refused_by_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let device = RenderDevice::cpu(None);
    let renamed: Weights = weights(true)
        .into_iter()
        .map(|(name, values)| match name.strip_prefix("features.") {
            Some(rest) => {
                let at: usize = rest.split('.').next().unwrap().parse().unwrap();
                let block = BLOCKS.iter().position(|(places, _)| places.contains(&at)).unwrap() + 1;
                (format!("net.slice{block}.{rest}"), values)
            }
            None => (name, values),
        })
        .collect();
    assert!(load(&write(folder.path(), "lpips.safetensors", &renamed), &device).is_ok());
    let message = |name: &str, weights: &Weights| {
        load(&write(folder.path(), name, weights), &device).err().expect(name).to_string()
    };
    let mut missing = weights(false);
    missing.remove("features.12.bias");
    let said = message("missing.safetensors", &missing);
    assert!(said.contains("missing.safetensors") && said.contains("found no features.12.bias"), "{said}");
    let mut wrong = weights(false);
    wrong.insert("features.5.weight".into(), (vec![6, 4, 5, 5], vec![0.0; 600]));
    let said = message("wrong.safetensors", &wrong);
    assert!(said.contains("features.5 has [6, 4, 5, 5] and [6] after 4 channels"), "{said}");
    let mut heads = weights(true);
    heads.insert("lin2.model.1.weight".into(), (vec![1, 9, 1, 1], vec![0.0; 9]));
    assert!(message("heads.safetensors", &heads).contains("lin2.model.1.weight has [1, 9, 1, 1] for 5 channels"));
    fs::write(folder.path().join("text.pth"), "no weights").unwrap();
    assert!(load(&folder.path().join("text.pth"), &device).is_err());
}

#[test]
fn a_search_compares_what_a_network_sees() {
    let shell = Shell::new();
    let vgg = write(&shell.path("."), "vgg.safetensors", &weights(true));
    shell.ok("render example:faces --seeds 3,4 --out made");
    let line =
        format!("invert example:faces --photos made/frame_0000.png --out found --steps 30 --vgg {}", vgg.display());
    shell.ok(&line);
    let table: serde_json::Value = serde_json::from_slice(&fs::read(shell.path("found/table.json")).unwrap()).unwrap();
    let row = &table["rows"][0];
    let network = load(&vgg, &RenderDevice::cpu(None)).unwrap();
    let planes = |name: &str| Photo::read(&shell.path(name)).unwrap().planes();
    let features = network.features(&planes("made/frame_0000.png"), [64, 64]).unwrap();
    let distance = |name: &str| network.cost(&planes(name), [64, 64], &features).unwrap().0;
    let (found, other) = (distance("found/frame_0000.png"), distance("made/frame_0001.png"));
    // The file has 8 bits a number.
    let said = row["lpips"].as_f64().unwrap();
    assert!((said - found).abs() < 0.03 * found, "{said} said, {found} found");
    assert!(found < 0.8 * other, "{found} from the photo, {other} between two faces");
    let wrong =
        shell.fails("invert example:faces --photos made/frame_0000.png --out other --vgg made/frame_0000.png", 1);
    assert!(wrong.contains("frame_0000.png"), "{wrong}");
}
