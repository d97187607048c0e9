//! The device that pictures are made on: a GPU shared with the window, or the CPU.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::sync::Mutex;

use burn::tensor::wgpu::WgpuBackend;
pub use burn::tensor::wgpu::WgpuSetup;
use burn::tensor::{Device, DeviceKind, Tensor, TensorData};

pub use crate::ops::{MatrixUnits, Place, Precision};

/// What the user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The best GPU; the CPU where there is none, or only a software rasteriser.
    #[default]
    Auto,
    /// A GPU or an error: number N of those that `gpu:N` counts, or the best one. Accepts a software rasteriser.
    Gpu(Option<usize>),
    Cpu,
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(DeviceChoice::Auto),
            "gpu" => Ok(DeviceChoice::Gpu(None)),
            "cpu" => Ok(DeviceChoice::Cpu),
            other => other
                .strip_prefix("gpu:")
                .and_then(|number| number.parse().ok())
                .map(|number| DeviceChoice::Gpu(Some(number)))
                .ok_or_else(|| format!("expected auto, gpu, gpu:N or cpu, found {other:?}")),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceChoice::Auto => f.write_str("auto"),
            DeviceChoice::Gpu(None) => f.write_str("gpu"),
            DeviceChoice::Gpu(Some(number)) => write!(f, "gpu:{number}"),
            DeviceChoice::Cpu => f.write_str("cpu"),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    #[error("there is no GPU number {number}; this machine has {found}")]
    NoSuchGpu { number: usize, found: String },
    #[error("no GPU could be opened: {reason}")]
    NoGpu { reason: String },
}

/// An open device. Clones share it.
#[derive(Clone)]
pub struct RenderDevice {
    place: Place,
    name: String,
    /// Why this is not the GPU that one would expect.
    reason: Option<String>,
    /// What was asked for; the place has what there is.
    precision: Precision,
    wgpu: Option<WgpuSetup>,
}

/// GPUs opened so far: burn registers each adapter once per process.
static OPEN_GPUS: Mutex<Vec<(Option<usize>, RenderDevice)>> = Mutex::new(Vec::new());

impl RenderDevice {
    /// Opens a device. `Auto` always succeeds; [`RenderDevice::note`] then says why it is not a GPU, if it is not.
    pub fn new(choice: DeviceChoice) -> Result<Self, DeviceError> {
        match choice {
            DeviceChoice::Cpu => Ok(Self::cpu(None)),
            DeviceChoice::Gpu(number) => Self::gpu(number),
            DeviceChoice::Auto => Ok(match hardware_gpus().is_empty() {
                true => Self::cpu(Some("no GPU was found".into())),
                false => Self::gpu(None).unwrap_or_else(|error| Self::cpu(Some(error.to_string()))),
            }),
        }
    }

    /// The same device, with maps and weights stored in `precision` if it can; [`RenderDevice::note`] then says that it cannot.
    pub fn with_precision(self, precision: Precision) -> Self {
        RenderDevice { place: self.place.with_precision(precision).with_checked_matrix_units(), precision, ..self }
    }

    /// The CPU, with the reason if it stands in for a GPU.
    pub fn cpu(reason: Option<String>) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let name = format!("CPU ({threads} {})", if threads == 1 { "thread" } else { "threads" });
        Self::of((&Device::flex()).into(), name, reason, None)
    }

    fn of(place: Place, name: String, reason: Option<String>, wgpu: Option<WgpuSetup>) -> Self {
        RenderDevice { place, name, reason, precision: Precision::F32, wgpu }
    }

    fn gpu(number: Option<usize>) -> Result<Self, DeviceError> {
        let mut open = OPEN_GPUS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some((_, device)) = open.iter().find(|(opened, _)| *opened == number) {
            return Ok(device.clone());
        }
        let (kind, api) = match number {
            None => (DeviceKind::DefaultDevice, WgpuBackend::Auto),
            Some(number) => gpu_of_number(number)?,
        };
        // Few tasks per submission: the window shares the queue and waits for what was submitted before it.
        let options = Device::wgpu_options().device_kind(kind).graphics_api(api).tasks_max(16);
        let opened = catch_unwind(|| options.init_with_setup());
        let (device, setup) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return Err(DeviceError::NoGpu { reason: error.to_string() }),
            Err(_) => return Err(DeviceError::NoGpu { reason: "the graphics driver failed while opening".into() }),
        };
        let adapter = setup.adapter.get_info();
        let name = format!("{} ({:?})", adapter.name, adapter.backend);
        let reason = (adapter.device_type == wgpu::DeviceType::Cpu).then(|| "a software rasteriser, not a GPU".into());
        let place = Place::new(&device, MatrixUnits::of(&setup.adapter, &setup.device));
        let device = Self::of(place, name, reason, Some(setup));
        open.push((number, device.clone()));
        Ok(device)
    }

    pub fn device(&self) -> &Device {
        &self.place
    }

    /// Where networks are loaded to.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Name to show, such as "NVIDIA GeForce RTX 4070 (Vulkan), f16 on matrix units" or "CPU (8 threads)".
    pub fn label(&self) -> String {
        match (self.place.precision(), self.place.uses_matrix_units()) {
            (Precision::F32, _) => self.name.clone(),
            (Precision::F16, false) => format!("{}, f16", self.name),
            (Precision::F16, true) => format!("{}, f16 on matrix units", self.name),
        }
    }

    /// Why this is not the GPU that one would expect; `None` if it is.
    pub fn note(&self) -> Option<String> {
        let notes = self.reason.iter().map(String::as_str).chain(self.precision_note());
        notes.map(str::to_owned).reduce(|first, second| format!("{first}; {second}"))
    }

    /// Why maps are not stored as was asked for; `None` if they are.
    pub fn precision_note(&self) -> Option<&'static str> {
        match (self.place.precision() == self.precision, &self.wgpu) {
            (true, _) => None,
            (false, Some(_)) => Some("this GPU has no f16, so f32 is used"),
            (false, None) => Some("f16 is for GPUs, so f32 is used"),
        }
    }

    /// Handles for sharing the GPU with the window; `None` on the CPU.
    pub fn wgpu(&self) -> Option<&WgpuSetup> {
        self.wgpu.as_ref()
    }

    /// True if the device still computes, which tells after a failed job whether it was the job's fault. Waits for it.
    pub fn is_alive(&self) -> bool {
        let doubles = || {
            let numbers = TensorData::new(vec![1.0_f32, -2.5], [2]);
            let doubled = Tensor::<1>::from_data(numbers, self.device()) * 2.0;
            let read = doubled.try_into_data().ok().and_then(|data| data.try_into_vec::<f32>().ok());
            self.device().sync().is_ok() && read.is_some_and(|read| read == [2.0, -5.0])
        };
        // What the failed job left behind is told once; a device that is lost says so every time.
        (0..2).any(|_| catch_unwind(AssertUnwindSafe(doubles)).unwrap_or(false))
    }

    /// Bytes that one tensor can have on this device; `None` where only memory limits it.
    pub fn max_tensor_bytes(&self) -> Option<u64> {
        let limits = self.wgpu.as_ref()?.device.limits();
        Some(limits.max_storage_buffer_binding_size.min(limits.max_buffer_size))
    }
}

/// A card as one graphics API shows it.
#[derive(Clone, Debug)]
struct Gpu {
    info: wgpu::AdapterInfo,
    /// Where it comes among that API's adapters of its type: so burn counts.
    index: usize,
}

impl Gpu {
    fn kind(&self) -> DeviceKind {
        match self.info.device_type {
            wgpu::DeviceType::DiscreteGpu => DeviceKind::DiscreteGpu(self.index),
            wgpu::DeviceType::IntegratedGpu => DeviceKind::IntegratedGpu(self.index),
            wgpu::DeviceType::VirtualGpu => DeviceKind::VirtualGpu(self.index),
            _ => DeviceKind::DefaultDevice,
        }
    }

    fn api(&self) -> WgpuBackend {
        match self.info.backend {
            wgpu::Backend::Vulkan => WgpuBackend::Vulkan,
            wgpu::Backend::Metal => WgpuBackend::Metal,
            wgpu::Backend::Dx12 => WgpuBackend::Dx12,
            _ => WgpuBackend::Auto,
        }
    }
}

/// Graphics APIs, the preferred one first. Windows shows one card through two of them.
const APIS: [wgpu::Backends; 3] = [wgpu::Backends::VULKAN, wgpu::Backends::METAL, wgpu::Backends::DX12];

/// Adapters that are no software rasterisers, each card once, discrete ones first.
fn hardware_gpus() -> Vec<Gpu> {
    let adapters = APIS.map(|backends| {
        let descriptor =
            wgpu::InstanceDescriptor { backends, ..wgpu::InstanceDescriptor::new_without_display_handle() };
        let instance = wgpu::Instance::new(descriptor);
        let adapters = cubecl::future::block_on(instance.enumerate_adapters(backends));
        adapters.iter().map(wgpu::Adapter::get_info).collect()
    });
    cards(adapters)
}

/// The cards behind the adapters of each API. An API shows a card once, so that two adapters of one are two cards, however
/// alike; of two APIs they are the same card if both its maker's number and its own agree. (Places on the PCI bus would not do:
/// DirectX 12 gives two cards of the same kind the place of the first.)
fn cards(of_apis: impl IntoIterator<Item = Vec<wgpu::AdapterInfo>>) -> Vec<Gpu> {
    let mut cards: Vec<Gpu> = Vec::new();
    for adapters in of_apis {
        let mut known = cards.clone();
        for (at, info) in adapters.iter().enumerate() {
            let index = adapters[..at].iter().filter(|other| other.device_type == info.device_type).count();
            match known.iter().position(|card| is_same_kind(&card.info, info)) {
                Some(known_at) => drop(known.swap_remove(known_at)),
                None => cards.push(Gpu { info: info.clone(), index }),
            }
        }
    }
    cards.retain(|card| card.info.device_type != wgpu::DeviceType::Cpu);
    cards.sort_by_key(|card| match card.info.device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        _ => 3,
    });
    cards
}

/// By the numbers of maker and kind where the driver knows them, otherwise by name.
fn is_same_kind(a: &wgpu::AdapterInfo, b: &wgpu::AdapterInfo) -> bool {
    let known = |info: &wgpu::AdapterInfo| info.vendor != 0 && info.device != 0;
    match known(a) && known(b) {
        true => (a.vendor, a.device) == (b.vendor, b.device),
        false => a.name == b.name,
    }
}

fn gpu_of_number(number: usize) -> Result<(DeviceKind, WgpuBackend), DeviceError> {
    let gpus = hardware_gpus();
    let none = || DeviceError::NoSuchGpu {
        number,
        found: match &gpus[..] {
            [] => "none".into(),
            gpus => {
                let names = gpus.iter().enumerate().map(|(i, gpu)| format!("gpu:{i} {}", gpu.info.name));
                names.collect::<Vec<_>>().join(", ")
            }
        },
    };
    gpus.get(number).map(|gpu| (gpu.kind(), gpu.api())).ok_or_else(none)
}

/// What a caught panic says. burn and wgpu report lost devices and exhausted memory by panicking.
pub fn reason_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason was given")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(name: &str, device: u32, device_type: wgpu::DeviceType, backend: wgpu::Backend) -> wgpu::AdapterInfo {
        let info = wgpu::AdapterInfo::new(device_type, backend);
        wgpu::AdapterInfo { name: name.into(), vendor: u32::from(device != 0) * 0x10de, device, ..info }
    }

    #[test]
    fn a_card_that_two_interfaces_show_counts_once_and_two_alike_count_twice() {
        use wgpu::{Backend::*, DeviceType::*};
        let names = |cards: &[Gpu]| cards.iter().map(|card| card.info.name.clone()).collect::<Vec<_>>();
        // As drivers list them: the small one first, names that differ, a software rasteriser in between.
        let vulkan = vec![
            adapter("Iris", 7, IntegratedGpu, Vulkan),
            adapter("RTX", 9, DiscreteGpu, Vulkan),
            adapter("llvmpipe", 0, Cpu, Vulkan),
            adapter("RTX", 9, DiscreteGpu, Vulkan),
        ];
        let dx12 = vec![
            adapter("NVIDIA RTX", 9, DiscreteGpu, Dx12),
            adapter("NVIDIA RTX", 9, DiscreteGpu, Dx12),
            adapter("Intel Iris", 7, IntegratedGpu, Dx12),
            adapter("Basic Render Driver", 0, Cpu, Dx12),
        ];
        let both = cards([vulkan.clone(), dx12.clone()]);
        assert_eq!(names(&both), ["RTX", "RTX", "Iris"]);
        assert_eq!(both.iter().map(|card| card.index).collect::<Vec<_>>(), [0, 1, 0]);
        assert_eq!(names(&cards([vulkan[..2].to_vec(), dx12.clone()])), ["RTX", "NVIDIA RTX", "Iris"]);
        assert_eq!(names(&cards([vec![], dx12])), ["NVIDIA RTX", "NVIDIA RTX", "Intel Iris"]);
        // A card that only the second API shows is opened through that.
        let other =
            cards([vulkan, vec![adapter("Basic Render Driver", 0, Cpu, Dx12), adapter("Arc", 5, DiscreteGpu, Dx12)]]);
        let arc = other.iter().find(|card| card.info.name == "Arc").unwrap();
        assert_eq!((arc.kind(), arc.api()), (DeviceKind::DiscreteGpu(0), WgpuBackend::Dx12));
        // Without numbers, names decide.
        let unnumbered = |backend| vec![adapter("Mali", 0, IntegratedGpu, backend)];
        assert_eq!(names(&cards([unnumbered(Vulkan), unnumbered(Dx12)])), ["Mali"]);
    }

    #[test]
    fn a_device_without_f16_says_so_and_goes_on() {
        let device = RenderDevice::cpu(Some("no GPU was found".into())).with_precision(Precision::F16);
        assert_eq!(device.place().precision(), Precision::F32);
        assert_eq!(device.note().unwrap(), "no GPU was found; f16 is for GPUs, so f32 is used");
        assert_eq!(device.clone().with_precision(Precision::F32).note().unwrap(), "no GPU was found");
        assert!(!device.label().contains("f16"));
    }

    #[test]
    fn choices_read_and_write_the_same_text() {
        for text in ["auto", "gpu", "gpu:3", "cpu"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        for bad in ["", "GPU", "gpu:", "gpu:x", "cuda", "gpu:-1"] {
            assert!(bad.parse::<DeviceChoice>().is_err(), "{bad:?} was accepted");
        }
    }
}
