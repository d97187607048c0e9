//! How much two pictures look alike, by the features of VGG16 (Simonyan & Zisserman, 2015) as LPIPS compares them (Zhang et al., CVPR
//! 2018), and the gradient of that. The weights are a file of the user's; nothing needs them.

use std::path::Path;

use burn::tensor::{Tensor, TensorData};

use crate::checkpoint::{Checkpoint, CheckpointError, Tensor as Stored, Tree, Value};
use crate::generator::read_back;
use crate::ops::{self, After, Conv, Place, pull_after};
use crate::progress::Report;

/// Convolutions of each block, and their places in torchvision's `features`. The last one of a block is compared.
const BLOCKS: [&[usize]; 5] = [&[0, 2], &[5, 7], &[10, 12, 14], &[17, 19, 21], &[24, 26, 28]];
/// What LPIPS takes off pictures in -1..1, and divides them by.
const SHIFT: [f32; 3] = [-0.030, -0.088, -0.188];
const SCALE: [f32; 3] = [0.458, 0.448, 0.450];
/// Added to the length of features.
const EPSILON: f64 = 1e-10;
/// Larger side of the pictures that it is meant for.
pub const MAX_SIDE: usize = 256;
/// Channels of a map: VGG16 has 512 at most.
const MAX_CHANNELS: usize = 1024;
/// Maps inside maps that are searched for the weights, and entries of all.
const MAX_DEPTH: usize = 4;
const MAX_ENTRIES: usize = 10_000;

#[derive(Debug, thiserror::Error)]
pub enum PerceptualError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(
        "{file}: expected the weights of VGG16 (features.0.weight and so on, or LPIPS' net.slice1.0.weight), {problem}"
    )]
    Weights { file: String, problem: String },
    #[error("the device failed while pictures were compared: {0}")]
    Device(String),
}

/// A network whose features are compared.
pub struct Perceptual {
    layers: Vec<Layer>,
    /// Of the channels of each block's features.
    weights: Vec<Vec<f32>>,
    place: Place,
}

struct Layer {
    conv: Conv,
    adjoint: Conv,
    after: After,
    /// The last one of its block.
    is_compared: bool,
}

/// What a picture is compared with: features of unit length, `[channels, height, width]` of each block.
#[derive(Default)]
pub struct Features(Vec<Vec<f32>>);

impl Perceptual {
    /// Reads the weights of a file: torchvision's, or those of LPIPS with or without its own weights of channels.
    ///
    /// # Errors
    /// The file cannot be read, or does not hold them; or `report` stopped the work.
    pub fn load(path: &Path, place: Place, report: Report) -> Result<Self, PerceptualError> {
        let checkpoint = Checkpoint::open(path, report)?;
        Self::of(&checkpoint, place)
    }

    fn of(checkpoint: &Checkpoint, place: Place) -> Result<Self, PerceptualError> {
        let wrong = |problem: String| PerceptualError::Weights { file: checkpoint.file.clone(), problem };
        let named = named(&checkpoint.tree).map_err(wrong)?;
        let find =
            |ending: &str| named.iter().find(|(name, _)| name == ending || name.ends_with(&format!(".{ending}")));
        let values = |tensor: &Stored| tensor.to_f32().map_err(|error| wrong(error.to_string()));
        let (mut layers, mut weights, mut inputs) = (Vec::new(), Vec::new(), 3);
        for (block, places) in BLOCKS.iter().enumerate() {
            for &at in *places {
                let part = |part: &str| {
                    let names = [format!("features.{at}.{part}"), format!("slice{}.{at}.{part}", block + 1)];
                    let found = names.iter().find_map(|name| find(name));
                    found.map(|(_, tensor)| tensor).ok_or_else(|| wrong(format!("found no {}", names[0])))
                };
                let (weight, bias) = (part("weight")?, part("bias")?);
                let outputs = weight.shape().first().copied().unwrap_or(0);
                let is_kernel = weight.shape() == [outputs, inputs, 3, 3] && bias.shape() == [outputs];
                if !is_kernel || !(1..=MAX_CHANNELS).contains(&outputs) {
                    let (weight, bias) = (weight.shape(), bias.shape());
                    return Err(wrong(format!("features.{at} has {weight:?} and {bias:?} after {inputs} channels")));
                }
                let kernel = values(weight)?;
                let shape = [outputs, inputs, 3];
                let bias = Tensor::from_data(TensorData::new(values(bias)?, [outputs]), &*place);
                layers.push(Layer {
                    conv: Conv::new(&kernel, shape, place.clone()),
                    adjoint: Conv::adjoint(&kernel, shape, 0, place.clone()),
                    after: After { bias: Some(bias), slope: Some(0.0), ..After::default() },
                    is_compared: Some(&at) == places.last(),
                });
                inputs = outputs;
            }
            weights.push(match find(&format!("lin{block}.model.1.weight")) {
                Some((_, tensor)) if tensor.len() == inputs => values(tensor)?,
                Some((name, tensor)) => {
                    return Err(wrong(format!("{name} has {:?} for {inputs} channels", tensor.shape())));
                }
                None => vec![1.0; inputs],
            });
        }
        Ok(Perceptual { layers, weights, place })
    }

    /// What pictures are compared with: planes of red, green and blue in -1..=1, `[3, height, width]`.
    ///
    /// # Errors
    /// The device failed.
    pub fn features(&self, picture: &[f32], size: [usize; 2]) -> Result<Features, PerceptualError> {
        let compared = self.run(picture, size).into_iter().zip(&self.layers).filter(|(_, layer)| layer.is_compared);
        let unit = |map: Tensor<4>| {
            let pixels = pixels_of(&map);
            let values = read(map)?;
            let lengths = lengths(&values, pixels);
            Ok(values
                .iter()
                .enumerate()
                .map(|(at, x)| (f64::from(*x) / (lengths[at % pixels] + EPSILON)) as f32)
                .collect())
        };
        Ok(Features(compared.map(|(map, _)| unit(map)).collect::<Result<_, PerceptualError>>()?))
    }

    /// How much a picture differs, and the gradient of that with respect to it, `[3, height, width]`.
    ///
    /// # Errors
    /// The device failed.
    pub fn cost(
        &self,
        picture: &[f32],
        size: [usize; 2],
        other: &Features,
    ) -> Result<(f64, Vec<f32>), PerceptualError> {
        let maps = self.run(picture, size);
        let (mut cost, mut gradient) = (0.0, None::<Tensor<4>>);
        let mut block = BLOCKS.len();
        for (at, layer) in self.layers.iter().enumerate().rev() {
            let map = &maps[at];
            if layer.is_compared {
                block -= 1;
                let (of_block, own) = self.compare(map.clone(), block, &other.0[block])?;
                cost += of_block;
                // Blocks after the first begin with the largest of four pixels.
                let pulled = gradient.map(|gradient| pull_largest(gradient, map));
                gradient = Some(pulled.map_or(own.clone(), |pulled| pulled + own));
            }
            let Some(grad) = gradient.take() else { continue };
            let (grad, _) = pull_after(grad, map, &layer.after);
            gradient = Some(layer.adjoint.pull(grad, None));
        }
        let Some(gradient) = gradient else { return Ok((cost, vec![0.0; picture.len()])) };
        let plane = size[0] * size[1];
        let values = read(gradient)?;
        Ok((cost, values.iter().enumerate().map(|(at, x)| x / SCALE[at / plane]).collect()))
    }

    /// The maps after every convolution.
    fn run(&self, picture: &[f32], [height, width]: [usize; 2]) -> Vec<Tensor<4>> {
        let plane = height * width;
        let scaled = picture.iter().enumerate().map(|(at, x)| (x - SHIFT[at / plane]) / SCALE[at / plane]).collect();
        let mut map = Tensor::from_data(TensorData::new(scaled, [1, 3, height, width]), &*self.place);
        let mut maps = Vec::with_capacity(self.layers.len());
        let mut begins_block = false;
        for layer in &self.layers {
            if begins_block {
                map = largest(map);
            }
            map = layer.conv.forward(map, None, &layer.after);
            begins_block = layer.is_compared;
            maps.push(map.clone());
        }
        maps
    }

    /// The cost of one block's features, and its gradient with respect to them.
    fn compare(&self, map: Tensor<4>, block: usize, other: &[f32]) -> Result<(f64, Tensor<4>), PerceptualError> {
        let (shape, pixels) = (map.dims(), pixels_of(&map));
        let values = read(map)?;
        let lengths = lengths(&values, pixels);
        let mut cost = 0.0;
        // With respect to the unit features, and its product with the features.
        let mut slopes = vec![0.0; values.len()];
        let mut along = vec![0.0; pixels];
        for (at, (&value, &other)) in values.iter().zip(other).enumerate() {
            let (pixel, weight) = (at % pixels, f64::from(self.weights[block][at / pixels]));
            let apart = f64::from(value) / (lengths[pixel] + EPSILON) - f64::from(other);
            cost += weight * apart * apart / pixels as f64;
            slopes[at] = 2.0 * weight * apart / pixels as f64;
            along[pixel] += slopes[at] * f64::from(value);
        }
        let gradient = values.iter().zip(&slopes).enumerate().map(|(at, (&value, slope))| {
            let (length, along) = (lengths[at % pixels], along[at % pixels]);
            let whole = length + EPSILON;
            // Features of length 0 have passed no activation, and nothing comes back through them.
            if length > 0.0 {
                (slope / whole - f64::from(value) * along / (length * whole * whole)) as f32
            } else {
                0.0
            }
        });
        let gradient = TensorData::new(gradient.collect::<Vec<_>>(), shape);
        Ok((cost, Tensor::from_data(gradient, &*self.place)))
    }
}

fn pixels_of(map: &Tensor<4>) -> usize {
    let [_, _, height, width] = map.dims();
    height * width
}

/// Of the features of each pixel.
fn lengths(values: &[f32], pixels: usize) -> Vec<f64> {
    let mut squares = vec![0.0; pixels];
    values.iter().enumerate().for_each(|(at, &x)| squares[at % pixels] += f64::from(x).powi(2));
    squares.into_iter().map(f64::sqrt).collect()
}

fn read(tensor: Tensor<4>) -> Result<Vec<f32>, PerceptualError> {
    read_back(tensor).map_err(|error| PerceptualError::Device(error.to_string()))
}

/// The largest of each 2x2 pixels; a last odd row or column is left out.
fn largest(map: Tensor<4>) -> Tensor<4> {
    let [n, channels, height, width] = map.dims();
    let (half_height, half_width) = (height / 2, width / 2);
    let even = map.slice([0..n, 0..channels, 0..2 * half_height, 0..2 * half_width]);
    let rows = even.reshape([n * channels * half_height, 2, half_width, 2]);
    rows.max_dim(1).max_dim(3).reshape([n, channels, half_height, half_width])
}

/// The adjoint of [`largest`], which made what `gradient` is of, of `map`. Equal pixels have passed an activation at 0, which lets nothing
/// back, or each get it all.
fn pull_largest(gradient: Tensor<4>, map: &Tensor<4>) -> Tensor<4> {
    let [n, channels, height, width] = map.dims();
    let [_, _, half_height, half_width] = gradient.dims();
    let even = map.clone().slice([0..n, 0..channels, 0..2 * half_height, 0..2 * half_width]);
    let is_largest = even.equal(ops::nearest_up(largest(map.clone())));
    let pulled = ops::nearest_up(gradient).mask_fill(is_largest.bool_not(), 0.0);
    let mut whole = map.zeros_like();
    whole = whole.slice_assign([0..n, 0..channels, 0..2 * half_height, 0..2 * half_width], pulled);
    debug_assert_eq!(whole.dims(), [n, channels, height, width]);
    whole
}

/// All tensors of a file by their names, with dots between those of maps inside maps.
fn named(tree: &Tree) -> Result<Vec<(String, Stored)>, String> {
    let mut waiting: Vec<(String, Value, usize)> = vec![(String::new(), tree.root(), 0)];
    let (mut named, mut left) = (Vec::new(), MAX_ENTRIES);
    while let Some((prefix, value, depth)) = waiting.pop() {
        for &(key, value) in tree.entries(value).unwrap_or_default() {
            left = left.checked_sub(1).ok_or_else(|| format!("found more than {MAX_ENTRIES} entries"))?;
            let Some(key) = tree.text(key) else { continue };
            let name = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
            match tree.tensor(value) {
                Some(tensor) => named.push((name, tensor.clone())),
                None if depth < MAX_DEPTH && name.len() < 200 => waiting.push((name, value, depth + 1)),
                None => {}
            }
        }
    }
    if named.is_empty() { Err("found no tensors".into()) } else { Ok(named) }
}
