//! A generator's weights as safetensors, under the canonical names: a file that opens faster than the original, in this
//! program and in others, and that can carry no code.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use half::f16;
use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, SafeTensorError};

use super::ExportError;
use crate::files::{WriteError, write_atomically};
use crate::layout::Weights;
use crate::progress::{Progress, Report};

/// How numbers are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NumberFormat {
    #[default]
    Single,
    /// Half the size; pictures differ by about one part in a thousand.
    Half,
}

impl NumberFormat {
    fn dtype(self) -> Dtype {
        match self {
            NumberFormat::Single => Dtype::F32,
            NumberFormat::Half => Dtype::F16,
        }
    }
}

/// Writes all tensors, one at a time, with what the file says of itself. All of it or nothing. Returns the file's length
/// in bytes.
pub fn write_weights(
    path: &Path,
    weights: &Weights,
    precision: NumberFormat,
    report: Report,
) -> Result<u64, ExportError> {
    let mut end = 0;
    let mut tensors = Vec::new();
    for (name, shape) in weights.shapes() {
        let start = end;
        end += shape.iter().product::<usize>() * precision.dtype().bitsize() / 8;
        let (dtype, shape) = (precision.dtype(), shape.to_vec());
        tensors.push((name.to_owned(), TensorInfo { dtype, shape, data_offsets: (start, end) }));
    }
    let header = header(weights, tensors.clone());
    let mut header = header.map_err(|source| ExportError::Header { path: path.into(), source })?.into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');

    write_atomically::<ExportError>(path, |file| {
        let failed = |source| WriteError { path: path.into(), source };
        file.write_all(&(header.len() as u64).to_le_bytes()).map_err(failed)?;
        file.write_all(&header).map_err(failed)?;
        for (name, info) in &tensors {
            let done = info.data_offsets.0 as u64;
            report(Progress { stage: "writing tensors".into(), done, total: end as u64 })?;
            let values = weights.get(name, &info.shape)?;
            file.write_all(&encode(name, &values, precision)?).map_err(failed)?;
        }
        Ok(())
    })?;
    Ok(8 + (header.len() + end) as u64)
}

fn header(weights: &Weights, tensors: Vec<(String, TensorInfo)>) -> Result<String, SafeTensorError> {
    let mut about: HashMap<String, String> = weights.metadata.clone().into_iter().collect();
    about.extend(weights.settings());
    about.entry("source_layout".into()).or_insert_with(|| weights.layout.to_string());
    let metadata = Metadata::new(Some(about), tensors)?;
    serde_json::to_string(&metadata).map_err(SafeTensorError::from)
}

fn encode(tensor: &str, values: &[f32], precision: NumberFormat) -> Result<Vec<u8>, ExportError> {
    match precision {
        NumberFormat::Single => Ok(values.iter().flat_map(|value| value.to_le_bytes()).collect()),
        NumberFormat::Half => {
            if let Some(&value) = values.iter().find(|&&value| f16::from_f32(value).is_infinite()) {
                return Err(ExportError::HalfRange { tensor: tensor.into(), value });
            }
            Ok(values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect())
        }
    }
}
