//! What several tests need: fixtures, expected arrays, devices, activations.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device, Tensor, TensorData};
use safetensors::SafeTensors;
use sefa_studio::generator::{Activation, Conditions, Generator, NoiseInput, Tape};
use sefa_studio::gpu::{DeviceChoice, Precision, RenderDevice};

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Values of a PNG file, 8 bits each.
pub fn pixels_of(png: &[u8]) -> Vec<u8> {
    let mut reader = png::Decoder::new(Cursor::new(png)).read_info().unwrap();
    let mut data = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut data).unwrap();
    data
}

/// Says so aloud: what is printed by macros shows for failed tests only.
pub fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED {why}");
}

/// The CPU, and wgpu on whatever this machine has (software Vulkan counts). A missing GPU is said aloud, and fails where
/// `SEFA_STUDIO_ALL_TESTS` is set, as the test command does.
pub fn devices() -> Vec<RenderDevice> {
    let cpu = RenderDevice::cpu(None);
    match RenderDevice::new(DeviceChoice::Gpu(None)) {
        Ok(gpu) => vec![cpu, gpu],
        Err(error) => {
            assert!(std::env::var_os("SEFA_STUDIO_ALL_TESTS").is_none(), "no GPU to test on: {error}");
            skipped(&format!("on the GPU: {error}"));
            vec![cpu]
        }
    }
}

/// wgpu in half precision, unless it is missing: software Vulkan has it.
pub fn half_devices() -> Vec<RenderDevice> {
    let gpus = devices().into_iter().filter(|device| device.wgpu().is_some());
    let half: Vec<_> = gpus.map(|device| device.with_precision(Precision::F16)).collect();
    assert!(half.iter().all(|device| device.precision_note().is_none()), "no f16 to test on");
    half
}

/// Arrays of an `expected.safetensors`, all f32.
pub struct Arrays(Vec<u8>);

impl Arrays {
    pub fn read(path: &Path) -> Self {
        Arrays(std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    /// None at all.
    pub fn empty() -> Self {
        Arrays(safetensors::serialize::<&str, safetensors::tensor::TensorView<'_>, _>([], None).unwrap())
    }

    fn file(&self) -> SafeTensors<'_> {
        SafeTensors::deserialize(&self.0).unwrap()
    }

    pub fn has(&self, name: &str) -> bool {
        self.file().tensor(name).is_ok()
    }

    pub fn get(&self, name: &str) -> Vec<f32> {
        let file = self.file();
        let bytes = file.tensor(name).unwrap_or_else(|_| panic!("no array {name}")).data().to_vec();
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    }

    /// Entry `n` along the first axis.
    pub fn row(&self, name: &str, n: usize) -> Vec<f32> {
        let count = self.file().tensor(name).unwrap_or_else(|_| panic!("no array {name}")).shape()[0];
        let values = self.get(name);
        let length = values.len() / count;
        values[n * length..(n + 1) * length].to_vec()
    }

    /// Entry `n` of `[N, layers, dim]`, one vector per layer.
    pub fn rows(&self, name: &str, n: usize) -> Vec<Vec<f32>> {
        let layers = self.file().tensor(name).unwrap().shape()[1];
        let values = self.row(name, n);
        values.chunks_exact(values.len() / layers).map(<[f32]>::to_vec).collect()
    }

    /// An activation of sample `n`, and every how many rows and columns it was sampled.
    pub fn activation(&self, name: &str, n: usize) -> (usize, Vec<f32>) {
        self.sampled(n, |step| if step == 1 { format!("act/{name}") } else { format!("act_s{step}/{name}") })
    }

    /// A picture of sample `n`, and every how many rows and columns it was sampled.
    pub fn picture(&self, name: &str, n: usize) -> (usize, Vec<f32>) {
        self.sampled(n, |step| if step == 1 { name.to_owned() } else { format!("{name}_s{step}") })
    }

    fn sampled(&self, n: usize, name: impl Fn(usize) -> String) -> (usize, Vec<f32>) {
        let step = [1, 2, 3, 4, 8, 16].into_iter().find(|&step| self.has(&name(step)));
        let step = step.unwrap_or_else(|| panic!("no array {}", name(1)));
        (step, self.row(&name(step), n))
    }
}

/// Values of one stage's output.
pub struct StageOutput(Activation);

impl StageOutput {
    /// Types of the features and of the picture.
    pub fn dtypes(&self) -> (DType, Option<DType>) {
        (self.0.features.dtype(), self.0.picture.as_ref().map(Tensor::dtype))
    }

    pub fn features_every(&self, every: usize) -> Vec<f32> {
        let [_, channels, height, width] = self.0.features.dims();
        sampled(&self.0.features.clone().into_data().try_into_vec().unwrap(), [channels, height, width], every)
    }

    pub fn picture_every(&self, every: usize) -> Vec<f32> {
        let picture = self.0.picture.clone().expect("a picture");
        let [_, channels, height, width] = picture.dims();
        sampled(&picture.into_data().try_into_vec().unwrap(), [channels, height, width], every)
    }
}

/// Every so many rows and columns of `[channels, height, width]`.
pub fn sampled(values: &[f32], [channels, height, width]: [usize; 3], every: usize) -> Vec<f32> {
    let mut kept = Vec::new();
    for c in 0..channels {
        for y in (0..height).step_by(every) {
            kept.extend((0..width).step_by(every).map(|x| values[(c * height + y) * width + x]));
        }
    }
    kept
}

/// Runs all stages with one code for every layer and the stored noise.
pub fn run_stages(generator: &Generator, code: &[f32], conditions: &Conditions, device: &Device) -> Vec<StageOutput> {
    run_stages_with(generator, code, conditions, &NoiseInput::Const, device)
}

/// As [`run_stages`], with this noise.
pub fn run_stages_with(
    generator: &Generator,
    code: &[f32],
    conditions: &Conditions,
    noise: &NoiseInput,
    device: &Device,
) -> Vec<StageOutput> {
    let mut outputs: Vec<StageOutput> = Vec::new();
    for (i, stage) in generator.network.stages().iter().enumerate() {
        let code = |_: &usize| Tensor::from_data(TensorData::new(code.to_vec(), [1, code.len()]), device);
        let codes: Vec<Tensor<2>> = stage.layers.iter().map(code).collect();
        let before = outputs.last().map(|output| &output.0);
        let output =
            generator.network.run(i, before, &codes, noise, std::slice::from_ref(conditions), &mut Tape::off());
        outputs.push(StageOutput(output));
    }
    outputs
}

/// RGBA bytes of a texture.
pub fn read_texture(setup: &sefa_studio::gpu::WgpuSetup, texture: &wgpu::Texture) -> Vec<u8> {
    let (width, height) = (texture.width(), texture.height());
    let padded = (4 * width).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT);
    let buffer = setup.device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: u64::from(padded * height),
        usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
        mapped_at_creation: false,
    });
    let mut encoder = setup.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let layout = wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(padded), rows_per_image: None };
    let target = wgpu::TexelCopyBufferInfo { buffer: &buffer, layout };
    encoder.copy_texture_to_buffer(texture.as_image_copy(), target, texture.size());
    setup.queue.submit([encoder.finish()]);
    buffer.slice(..).map_async(wgpu::MapMode::Read, |result| result.unwrap());
    setup.device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    let mapped = buffer.slice(..).get_mapped_range().unwrap();
    let mapped: &[u8] = &mapped;
    mapped.chunks_exact(padded as usize).flat_map(|row| row[..4 * width as usize].to_vec()).collect()
}

/// A thin StyleGAN2 of 256 pixels with numbers from a formula.
pub fn stylegan2_of_256() -> tempfile::NamedTempFile {
    stylegan2(256, 8, 2, |_| 8)
}

/// A StyleGAN2 with numbers from a formula, as NVIDIA's files name its tensors: pictures of `resolution` pixels, codes of
/// `code` numbers that go through `mapping` layers, and so many `channels` at each size.
pub fn stylegan2(
    resolution: usize,
    code: usize,
    mapping: usize,
    channels: impl Fn(usize) -> usize,
) -> tempfile::NamedTempFile {
    use safetensors::tensor::{Dtype, TensorView};
    let mut tensors: Vec<(String, Vec<usize>)> = Vec::new();
    let mut add = |name: String, shape: &[usize]| tensors.push((name, shape.to_vec()));
    for i in 0..mapping {
        add(format!("mapping.fc{i}.weight"), &[code, code]);
        add(format!("mapping.fc{i}.bias"), &[code]);
    }
    add("mapping.w_avg".into(), &[code]);
    let mut before = channels(4);
    add("synthesis.b4.const".into(), &[before, 4, 4]);
    for side in (2..).map(|power| 1 << power).take_while(|&side| side <= resolution) {
        let after = channels(side);
        let convs = [("conv0", before), ("conv1", after)];
        for &(layer, inputs) in if side == 4 { &convs[1..] } else { &convs[..] } {
            let prefix = format!("synthesis.b{side}.{layer}");
            add(format!("{prefix}.weight"), &[after, inputs, 3, 3]);
            add(format!("{prefix}.bias"), &[after]);
            add(format!("{prefix}.affine.weight"), &[inputs, code]);
            add(format!("{prefix}.affine.bias"), &[inputs]);
            add(format!("{prefix}.noise_const"), &[side, side]);
            add(format!("{prefix}.noise_strength"), &[]);
        }
        add(format!("synthesis.b{side}.torgb.weight"), &[3, after, 1, 1]);
        add(format!("synthesis.b{side}.torgb.bias"), &[3]);
        add(format!("synthesis.b{side}.torgb.affine.weight"), &[after, code]);
        add(format!("synthesis.b{side}.torgb.affine.bias"), &[after]);
        before = after;
    }
    let number = |i: usize| ((i * 7919 % 2003) as f32 / 1001.5 - 1.0).to_le_bytes();
    let values: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(name, shape)| (0..shape.iter().product()).flat_map(|i| number(i + name.len())).collect())
        .collect();
    let views = tensors
        .iter()
        .zip(&values)
        .map(|((name, shape), values)| (name.clone(), TensorView::new(Dtype::F32, shape.clone(), values).unwrap()));
    let file = tempfile::Builder::new().suffix(".safetensors").tempfile().unwrap();
    safetensors::serialize_to_file(views, None, file.path()).unwrap();
    file
}
