//! Where a network's operators run, and in which type GPUs store its weights and maps.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use burn::tensor::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::gpu::{self, MatrixUnits};

/// Type of the weights of convolutions and of the maps between layers. Sums, styles, statistics and pictures are f32 in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Precision {
    #[default]
    F32,
    /// Half the memory; 11 bits of each value remain, and magnitudes end at 65504.
    F16,
}

impl Precision {
    /// Those that operators on `device` can store in.
    pub fn of_device(device: &Device) -> &'static [Precision] {
        match gpu::is_able(device) && device.supports_dtype(DType::F16) {
            true => &[Precision::F32, Precision::F16],
            false => &[Precision::F32],
        }
    }

    pub(super) fn dtype(self) -> DType {
        match self {
            Precision::F32 => DType::F32,
            Precision::F16 => DType::F16,
        }
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "f32" => Ok(Precision::F32),
            "f16" => Ok(Precision::F16),
            other => Err(format!("expected f32 or f16, found {other:?}")),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
        })
    }
}

/// A device, and how operators that are made for it store there. A device alone stores f32.
#[derive(Clone)]
pub struct Place {
    device: Device,
    precision: Precision,
    matrix_units: Option<MatrixUnits>,
}

impl Place {
    /// `device`, storing f32. Convolutions in f16 use the matrix units, if it has some.
    pub fn new(device: &Device, matrix_units: Option<MatrixUnits>) -> Self {
        Place { device: device.clone(), precision: Precision::F32, matrix_units }
    }

    /// The same device with this precision; f32 where it has no such precision.
    pub fn with_precision(&self, precision: Precision) -> Self {
        let able = Precision::of_device(self).contains(&precision);
        Place { precision: if able { precision } else { Precision::F32 }, ..self.clone() }
    }

    /// The same without matrix units, if these do not give what the other kernels do: no driver is to be trusted with what
    /// few programs ask of it.
    pub fn with_checked_matrix_units(self) -> Self {
        let matrix_units =
            self.matrix_units.filter(|_| !self.uses_matrix_units() || gpu::matrix_units_are_right(&self));
        Place { matrix_units, ..self }
    }

    pub fn uses_matrix_units(&self) -> bool {
        self.matrix_units().is_some()
    }

    /// Those that convolutions use: in f16.
    pub(super) fn matrix_units(&self) -> Option<MatrixUnits> {
        self.matrix_units.filter(|_| self.precision == Precision::F16)
    }

    pub fn precision(&self) -> Precision {
        self.precision
    }
}

impl Deref for Place {
    type Target = Device;

    fn deref(&self) -> &Device {
        &self.device
    }
}

impl From<&Device> for Place {
    fn from(device: &Device) -> Self {
        Place::new(device, None)
    }
}

impl From<&Place> for Place {
    fn from(place: &Place) -> Self {
        place.clone()
    }
}

/// The same values in another type; those that it does not hold become its largest.
pub fn stored_as<const D: usize>(x: Tensor<D>, dtype: DType) -> Tensor<D> {
    let largest = half::f16::MAX.to_f32();
    match (x.dtype(), dtype) {
        (DType::F32, DType::F16) => x.clamp(-largest, largest).cast(dtype),
        _ => x.cast(dtype),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precisions_read_and_write_the_same_text() {
        for text in ["f32", "f16"] {
            assert_eq!(text.parse::<Precision>().unwrap().to_string(), text);
        }
        assert!(["", "F16", "bf16", "16"].iter().all(|bad| bad.parse::<Precision>().is_err()));
    }

    #[test]
    fn the_cpu_stores_f32_whatever_is_asked_for() {
        assert_eq!(Place::from(&Device::flex()).with_precision(Precision::F16).precision(), Precision::F32);
    }
}
