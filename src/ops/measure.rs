//! How fast the operators are on a device, one by one, in all their forms and with every tile.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use burn::tensor::module::conv2d;
use burn::tensor::ops::{ConvOptions, PadMode};
use burn::tensor::{Device, Distribution, Tensor};
use serde::Serialize;

use super::gpu::{self, By, CONV_TILES, DOUBLE_TILES, MATRIX_DOUBLING, MATRIX_SAME, MatrixConv};
use super::{After, Conv, ConvUp, Place, Precision, stored_as};

/// One layer and the ways to compute it.
#[derive(Serialize)]
pub struct Layer {
    /// "3x3, 512 to 256 channels, 64 to 128 pixels"
    pub name: String,
    pub ways: Vec<Way>,
}

#[derive(Serialize)]
pub struct Way {
    pub name: String,
    pub ms: f64,
    /// Multiplications and additions as the layer is written in the paper, however they are computed.
    pub gflops: f64,
}

/// What the device can do at most, in GFLOP/s.
#[derive(Serialize)]
pub struct Ceilings {
    /// Arithmetic in registers; absent on the CPU.
    pub arithmetic: Option<f64>,
    /// burn's product of two large matrices.
    pub matrix_product: f64,
}

/// A device that did not finish what it was given.
#[derive(Debug, thiserror::Error)]
#[error("the device failed: {0}")]
pub struct DeviceFailed(String);

/// StyleGAN2's channels (config f) at each resolution.
const CHANNELS: [(usize, usize); 9] =
    [(4, 512), (8, 512), (16, 512), (32, 512), (64, 512), (128, 256), (256, 128), (512, 64), (1024, 32)];

/// Measures StyleGAN2's layers at the sides in `pixels`, in every precision of the device; what needs a tensor of more than
/// `max_bytes` is left out. `report` is told what comes next, and how much of all is done.
pub fn layers(
    place: &Place,
    pixels: RangeInclusive<usize>,
    max_bytes: u64,
    mut report: impl FnMut(&str, usize, usize),
) -> Result<Vec<Layer>, DeviceFailed> {
    let bench = Bench::new(place, max_bytes);
    let sizes: Vec<_> = (0..CHANNELS.len()).filter(|&n| pixels.contains(&CHANNELS[n].0)).collect();
    let mut layers = Vec::new();
    for (done, &n) in sizes.iter().enumerate() {
        let (side, channels) = CHANNELS[n];
        report(&format!("{side}x{side}"), done, sizes.len());
        if let Some(&(_, inputs)) = n.checked_sub(1).and_then(|before| CHANNELS.get(before)) {
            layers.push(bench.up(inputs, channels, side / 2)?);
        }
        layers.push(bench.same(channels, side)?);
        layers.push(bench.rgb(channels, side)?);
    }
    Ok(layers)
}

/// Measures what the device can do at most.
pub fn ceilings(place: &Place) -> Result<Ceilings, DeviceFailed> {
    let (bench, device): (_, &Device) = (Bench::new(place, u64::MAX), place);
    let mut arithmetic = None;
    if gpu::is_able(device) {
        let operations = gpu::multiply_add(device);
        arithmetic = Some(operations / bench.time(|| gpu::multiply_add(device))? / 1e6);
    }
    let mut matrix_product = 0.0;
    for side in [512, 1024, 4096] {
        let [a, b] = [(); 2].map(|()| bench.random([side, side]));
        let ms = bench.time(|| a.clone().matmul(b.clone()))?;
        matrix_product = f64::max(matrix_product, 2.0 * (side as f64).powi(3) / ms / 1e6);
        // A slow device is busy enough with a small one.
        if ms > 5.0 {
            break;
        }
    }
    Ok(Ceilings { arithmetic, matrix_product })
}

struct Bench<'a> {
    device: &'a Device,
    max_bytes: u64,
    /// The device in every precision that it has.
    places: Vec<Place>,
}

/// An operator in one precision, a map as it is stored then, and what that is called.
struct Stored<Operator> {
    operator: Operator,
    x: Tensor<4>,
    suffix: &'static str,
}

/// One measurement: a name, and what to run.
type Candidate<'a> = (String, Box<dyn Fn() -> Tensor<4> + 'a>);

impl<'a> Bench<'a> {
    fn new(place: &'a Place, max_bytes: u64) -> Self {
        let stored = |&precision| place.with_precision(precision).with_checked_matrix_units();
        Bench { device: place, max_bytes, places: Precision::of_device(place).iter().map(stored).collect() }
    }

    fn in_each_precision<Operator>(&self, x: &Tensor<4>, make: impl Fn(&Place) -> Operator) -> Vec<Stored<Operator>> {
        let of = |place: &Place| Stored {
            operator: make(place),
            x: stored_as(x.clone(), place.precision().dtype()),
            suffix: if place.precision() == Precision::F16 { ", f16" } else { "" },
        };
        self.places.iter().map(of).collect()
    }

    /// The operator on matrix units with every plan that the device allows, and a map as it reads it.
    fn with_each_plan<Plan: Copy>(
        &self,
        x: &Tensor<4>,
        plans: &[Plan],
        make: impl Fn(Plan, &Place) -> Option<MatrixConv>,
    ) -> Vec<(Plan, MatrixConv, Tensor<4>)> {
        let all = self.places.iter().flat_map(|place| plans.iter().map(move |&plan| (plan, place)));
        let of = |(plan, place): (Plan, &Place)| {
            Some((plan, make(plan, place)?, stored_as(x.clone(), place.precision().dtype())))
        };
        all.filter_map(of).collect()
    }

    fn random<const D: usize>(&self, shape: [usize; D]) -> Tensor<D> {
        Tensor::random(shape, Distribution::Uniform(-1.0, 1.0), self.device)
    }

    /// Best of three times, in milliseconds; each of as many runs as a thirtieth of a second holds: there are hundreds of
    /// ways, and a lent GPU is lent for minutes.
    fn time<T>(&self, run: impl Fn() -> T) -> Result<f64, DeviceFailed> {
        let runs = |count: u32| {
            let start = Instant::now();
            (0..count).for_each(|_| _ = run());
            self.device.sync().map_err(|error| DeviceFailed(format!("{error:?}")))?;
            Ok(start.elapsed())
        };
        // The first one may compile.
        runs(1)?;
        let once = runs(1)?;
        if once > Duration::from_millis(500) {
            return Ok(once.as_secs_f64() * 1e3);
        }
        let count = (1.0 / 30.0 / once.as_secs_f64()).clamp(1.0, 500.0) as u32;
        let mut best = once;
        for _ in 0..3 {
            best = best.min(runs(count)? / count);
        }
        Ok(best.as_secs_f64() * 1e3)
    }

    fn layer(&self, name: String, multiply_adds: usize, candidates: Vec<Candidate>) -> Result<Layer, DeviceFailed> {
        let way = |(name, run): Candidate| {
            let ms = self.time(run)?;
            Ok(Way { name, ms, gflops: 2.0 * multiply_adds as f64 / ms / 1e6 })
        };
        Ok(Layer { name, ways: candidates.into_iter().map(way).collect::<Result<_, _>>()? })
    }

    /// All that StyleGAN2 does after a convolution.
    fn after(&self, outputs: usize, side: usize) -> After {
        After {
            scale: Some(self.random([1, outputs])),
            bias: Some(self.random([outputs])),
            noise: Some(self.random([1, 1, side, side])),
            slope: Some(0.2),
            clamp: Some(256.0),
            ..After::default()
        }
    }

    fn allows(&self, numbers: usize) -> bool {
        4 * numbers as u64 <= self.max_bytes
    }

    fn same(&self, channels: usize, side: usize) -> Result<Layer, DeviceFailed> {
        let weight = vec![0.01; channels * channels * 9];
        let shape = [channels, channels, 3];
        let (x, style) = (self.random([1, channels, side, side]), Some(self.random([1, channels])));
        let convs = self.in_each_precision(&x, |place| {
            let tiled = gpu::is_able(self.device).then(|| gpu::TiledConv::new(&weight, shape, place));
            (Conv::for_side(&weight, shape, side, place), tiled)
        });
        let matrices = self
            .with_each_plan(&x, &MATRIX_SAME, |plan, place| MatrixConv::same(&weight, shape, By::Plan(plan), place));
        let plain = Conv::of_tensors(&weight, shape, self.device);
        let after = &self.after(channels, side);
        let [w, rows] = [self.random([channels, channels * 9]), self.random([channels * 9, channels])];
        let kernel = rows.reshape([channels, channels, 3, 3]);
        let (x, style, w, kernel) = (&x, &style, &w, &kernel);
        let mut candidates: Vec<Candidate> = Vec::new();
        for Stored { operator: (conv, _), x, suffix } in &convs {
            let run = || conv.forward(x.clone(), style.clone(), after);
            candidates.push((format!("sefa-studio{suffix}"), Box::new(run)));
        }
        candidates.extend::<[Candidate; 2]>([
            ("tensor operations".into(), Box::new(|| plain.forward(x.clone(), style.clone(), after))),
            (
                "burn's convolution alone".into(),
                Box::new(|| conv2d(x.clone(), kernel.clone(), None, ConvOptions::new([1, 1], [1, 1], [1, 1], 1))),
            ),
        ]);
        if self.allows(9 * channels * side * side) {
            let product = || {
                let columns = columns(x.clone()).reshape([9 * channels, side * side]);
                w.clone().matmul(columns).reshape([1, channels, side, side])
            };
            candidates.push(("im2col and matrix product alone".into(), Box::new(product)));
        }
        for (Stored { operator: (_, tiled), x, suffix }, tile, shares) in each_form(&convs, &CONV_TILES, side) {
            let Some(tiled) = tiled else { continue };
            let run = move || tiled.forward_by(tile, shares, x.clone(), style.clone(), after);
            candidates.push((format!("{tile}, shares {shares}{suffix}"), Box::new(run)));
        }
        for ((plan, conv, x), shares) in in_each_number_of_shares(&matrices, side) {
            let run = move || conv.forward_by(shares, x.clone(), style.clone(), after);
            candidates.push((format!("{plan}, shares {shares}, f16"), Box::new(run)));
        }
        let name = format!("3x3, {channels} channels, {side} pixels");
        self.layer(name, 9 * channels * channels * side * side, candidates)
    }

    /// `side` is that of the input.
    fn up(&self, inputs: usize, outputs: usize, side: usize) -> Result<Layer, DeviceFailed> {
        let weight = vec![0.01; outputs * inputs * 9];
        let shape = [outputs, inputs];
        let (x, style) = (self.random([1, inputs, side, side]), Some(self.random([1, inputs])));
        let convs = self.in_each_precision(&x, |place| {
            let tiled = gpu::is_able(self.device).then(|| gpu::Double::filtered(&weight, shape, place));
            (ConvUp::for_side(&weight, shape, side, place), tiled)
        });
        let matrices = self.with_each_plan(&x, &MATRIX_DOUBLING, |plan, place| {
            MatrixConv::filtered(&weight, shape, By::Plan(plan), place)
        });
        let plain = ConvUp::of_tensors(&weight, shape, self.device);
        let after = &self.after(outputs, 2 * side);
        let (x, style) = (&x, &style);
        let mut candidates: Vec<Candidate> = Vec::new();
        for Stored { operator: (conv, _), x, suffix } in &convs {
            let run = || conv.forward(x.clone(), style.clone(), after);
            candidates.push((format!("sefa-studio{suffix}"), Box::new(run)));
        }
        if self.allows(outputs * (2 * side + 1) * (2 * side + 1)) {
            let run = || plain.forward(x.clone(), style.clone(), after);
            candidates.push(("tensor operations".into(), Box::new(run)));
        }
        for (Stored { operator: (_, tiled), x, suffix }, tile, shares) in each_form(&convs, &DOUBLE_TILES, side) {
            let Some(tiled) = tiled else { continue };
            let run = move || tiled.forward_by(tile, shares, x.clone(), style.clone(), after);
            candidates.push((format!("{tile}, shares {shares}{suffix}"), Box::new(run)));
        }
        for ((plan, conv, x), shares) in in_each_number_of_shares(&matrices, side) {
            let run = move || conv.forward_by(shares, x.clone(), style.clone(), after);
            candidates.push((format!("{plan}, shares {shares}, f16"), Box::new(run)));
        }
        let name = format!("3x3 and filter, {inputs} to {outputs} channels, {side} to {} pixels", 2 * side);
        self.layer(name, 9 * inputs * outputs * side * side, candidates)
    }

    fn rgb(&self, channels: usize, side: usize) -> Result<Layer, DeviceFailed> {
        let weight = vec![0.01; 3 * channels];
        let (x, style) = (self.random([1, channels, side, side]), Some(self.random([1, channels])));
        let convs = self.in_each_precision(&x, |place| Conv::new(&weight, [3, channels, 1], place));
        let plain = Conv::of_tensors(&weight, [3, channels, 1], self.device);
        let after = &After { bias: Some(self.random([3])), is_picture: true, ..After::default() };
        let (x, style) = (&x, &style);
        let mut candidates: Vec<Candidate> = Vec::new();
        for Stored { operator: conv, x, suffix } in &convs {
            let run = || conv.forward(x.clone(), style.clone(), after);
            candidates.push((format!("sefa-studio{suffix}"), Box::new(run)));
        }
        let run = || plain.forward(x.clone(), style.clone(), after);
        candidates.push(("tensor operations".into(), Box::new(run)));
        let name = format!("1x1, {channels} to 3 channels, {side} pixels");
        self.layer(name, 3 * channels * side * side, candidates)
    }
}

/// Operators with every tile, and each in every number of shares.
fn each_form<'a, Operator, Tile: Copy>(
    operators: &'a [Operator],
    tiles: &'a [Tile],
    side: usize,
) -> impl Iterator<Item = (&'a Operator, Tile, usize)> {
    let with_tiles = operators.iter().flat_map(|operator| tiles.iter().map(move |&tile| (operator, tile)));
    with_tiles.flat_map(move |(operator, tile)| shares(side).iter().map(move |&shares| (operator, tile, shares)))
}

fn in_each_number_of_shares<T>(items: &[T], side: usize) -> impl Iterator<Item = (&T, usize)> {
    items.iter().flat_map(move |item| shares(side).iter().map(move |&shares| (item, shares)))
}

/// Into how many shares the input channels are cut: small pictures need several.
fn shares(side: usize) -> &'static [usize] {
    if side <= 32 { &[1, 4, 16] } else { &[1] }
}

/// The 3x3 neighbours of every pixel as channels: `[N, C, h, w]` -> `[N, 9 C, h, w]`.
fn columns(x: Tensor<4>) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    let padded = x.pad((1, 1, 1, 1), PadMode::Constant(0.0));
    let shifted = |tap: usize| padded.clone().narrow(2, tap / 3, height).narrow(3, tap % 3, width);
    Tensor::cat((0..9).map(shifted).collect(), 1)
}
