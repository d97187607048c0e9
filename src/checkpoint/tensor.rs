//! Tensors as checked views into the bytes of a file.

use std::fmt;

use half::{bf16, f16};

use super::bytes::{Bytes, Unreadable};
use crate::limits;

/// Element type, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DType {
    F8E4M3,
    F8E4M3Fnuz,
    F8E5M2,
    F8E5M2Fnuz,
    F16,
    BF16,
    F32,
    F64,
    U8,
    I8,
    I16,
    I32,
    I64,
    Bool,
}

impl DType {
    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            DType::U8 | DType::I8 | DType::Bool => 1,
            DType::F8E4M3 | DType::F8E4M3Fnuz | DType::F8E5M2 | DType::F8E5M2Fnuz => 1,
            DType::F16 | DType::BF16 | DType::I16 => 2,
            DType::F32 | DType::I32 => 4,
            DType::F64 | DType::I64 => 8,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F8E4M3 => "float8_e4m3fn",
            DType::F8E4M3Fnuz => "float8_e4m3fnuz",
            DType::F8E5M2 => "float8_e5m2",
            DType::F8E5M2Fnuz => "float8_e5m2fnuz",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::U8 => "u8",
            DType::I8 => "i8",
            DType::I16 => "i16",
            DType::I32 => "i32",
            DType::I64 => "i64",
            DType::Bool => "bool",
        })
    }
}

/// An 8-bit float without infinities.
struct Float8 {
    mantissa_bits: u8,
    bias: i32,
    /// The code that is no number; where it is that of minus zero there is no other, else both signs have one.
    nan: u8,
}

/// Micikevicius et al., "FP8 formats for deep learning", arXiv 2209.05433.
const E4M3: Float8 = Float8 { mantissa_bits: 3, bias: 7, nan: 0x7f };
/// Noune et al., "8-bit numerical formats for deep neural networks", arXiv 2206.02915.
const E4M3_FNUZ: Float8 = Float8 { mantissa_bits: 3, bias: 8, nan: 0x80 };
const E5M2_FNUZ: Float8 = Float8 { mantissa_bits: 2, bias: 16, nan: 0x80 };

impl Float8 {
    fn decode(&self, code: u8) -> f32 {
        if code == self.nan || (self.nan == 0x7f && code == 0xff) {
            return f32::NAN;
        }
        let steps = 1 << self.mantissa_bits;
        let (exponent, mantissa) = (i32::from((code & 0x7f) >> self.mantissa_bits), i32::from(code & (steps - 1)));
        // Below the smallest exponent numbers have no leading one, and the step of the exponent above.
        let (exponent, mantissa) = if exponent == 0 { (1, mantissa) } else { (exponent, mantissa + i32::from(steps)) };
        let size = mantissa as f32 * 2f32.powi(exponent - self.bias - i32::from(self.mantissa_bits));
        if code & 0x80 == 0 { size } else { -size }
    }
}

/// A strided view: element `i` is at `offset + sum(i * strides)` of the storage, all counted in elements.
///
/// A value of this type is known to lie inside its storage; several may share one.
#[derive(Clone, Debug)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    strides: Vec<usize>,
    offset: usize,
    len: usize,
    storage: Bytes,
}

impl Tensor {
    /// Checks that every element lies inside `storage`; the error says what was needed and what is there.
    pub fn new(
        dtype: DType,
        shape: Vec<usize>,
        strides: Vec<usize>,
        offset: usize,
        storage: Bytes,
    ) -> Result<Tensor, String> {
        if shape.len() > limits::AXES || shape.len() != strides.len() {
            return Err(format!(
                "expected up to {} axes with a stride each, found {} axes and {} strides",
                limits::AXES,
                shape.len(),
                strides.len()
            ));
        }
        let available = storage.len() / dtype.size();
        let too_large = || format!("shape {shape:?} with strides {strides:?} is larger than any storage");
        let len = shape.iter().try_fold(1usize, |len, &axis| len.checked_mul(axis)).ok_or_else(too_large)?;
        let last = shape
            .iter()
            .zip(&strides)
            .try_fold(offset, |last, (&axis, &stride)| last.checked_add(axis.saturating_sub(1).checked_mul(stride)?));
        let last = last.ok_or_else(too_large)?;
        if len > 0 && last >= available {
            return Err(format!(
                "shape {shape:?} with strides {strides:?} at offset {offset} needs element {last}, the storage has \
                 {available} of {dtype}"
            ));
        }
        if len > available.max(limits::REPEATED) {
            return Err(format!("shape {shape:?} repeats a storage of {available} elements {len} times"));
        }
        Ok(Tensor { dtype, shape, strides, offset, len, storage })
    }

    /// A row-major tensor that starts with the storage.
    pub fn contiguous(dtype: DType, shape: Vec<usize>, storage: Bytes) -> Result<Tensor, String> {
        let strides = row_major(&shape).ok_or_else(|| format!("shape {shape:?} is larger than any storage"))?;
        Tensor::new(dtype, shape, strides, 0, storage)
    }

    pub fn dtype(&self) -> DType {
        self.dtype
    }

    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements: the product of the shape.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Entry `index` of the first axis, as a view; `None` if there is none.
    pub fn row(&self, index: usize) -> Option<Tensor> {
        let (&rows, shape) = self.shape.split_first()?;
        let (stride, strides) = self.strides.split_first()?;
        if index >= rows {
            return None;
        }
        let offset = self.offset + index * stride;
        Tensor::new(self.dtype, shape.to_vec(), strides.to_vec(), offset, self.storage.clone()).ok()
    }

    /// The same elements with the axes in another order: axis `i` of the result is axis `order[i]`; `None` if `order` is not
    /// a permutation.
    pub fn permuted(&self, order: &[usize]) -> Option<Tensor> {
        let mut seen = vec![false; self.shape.len()];
        for &axis in order {
            if std::mem::replace(seen.get_mut(axis)?, true) {
                return None;
            }
        }
        let pick = |values: &[usize]| order.iter().map(|&axis| values[axis]).collect();
        let (shape, strides) = (pick(&self.shape), pick(&self.strides));
        (order.len() == self.shape.len()).then(|| Tensor { shape, strides, ..self.clone() })
    }

    /// The same elements with one axis written as several, row-major; `None` if their product is not its length.
    pub fn split(&self, axis: usize, into: &[usize]) -> Option<Tensor> {
        let (&length, &stride) = self.shape.get(axis).zip(self.strides.get(axis))?;
        let product = into.iter().try_fold(1usize, |product, &axis| product.checked_mul(axis))?;
        let inner = row_major(into)?;
        let inner: Option<Vec<usize>> = inner.into_iter().map(|step| step.checked_mul(stride)).collect();
        let (mut shape, mut strides) = (self.shape.clone(), self.strides.clone());
        shape.splice(axis..=axis, into.iter().copied());
        strides.splice(axis..=axis, inner?);
        (product == length && shape.len() <= limits::AXES).then(|| Tensor { shape, strides, ..self.clone() })
    }

    /// The same elements in another shape; `None` if it has another number of them, or these do not lie in order.
    pub fn reshaped(&self, shape: &[usize]) -> Option<Tensor> {
        let len = shape.iter().try_fold(1usize, |len, &axis| len.checked_mul(axis))?;
        let strides = row_major(shape)?;
        let fits = len == self.len && shape.len() <= limits::AXES && self.is_row_major();
        fits.then(|| Tensor { shape: shape.to_vec(), strides, ..self.clone() })
    }

    /// The first `count` entries of the first axis; `None` if it has fewer.
    pub fn first_rows(&self, count: usize) -> Option<Tensor> {
        let (&rows, rest) = self.shape.split_first()?;
        let shape: Vec<usize> = std::iter::once(count).chain(rest.iter().copied()).collect();
        let len = shape.iter().product();
        (count <= rows).then(|| Tensor { shape, len, ..self.clone() })
    }

    /// All elements in row-major order.
    ///
    /// # Errors
    /// The file can no longer be read.
    pub fn to_f32(&self) -> Result<Vec<f32>, Unreadable> {
        let mut values = Vec::with_capacity(self.len);
        match self.dtype {
            DType::F8E4M3 => self.gather(&mut values, |[b]| E4M3.decode(b)),
            DType::F8E4M3Fnuz => self.gather(&mut values, |[b]| E4M3_FNUZ.decode(b)),
            // The upper half of an f16.
            DType::F8E5M2 => self.gather(&mut values, |[b]| f16::from_le_bytes([0, b]).to_f32()),
            DType::F8E5M2Fnuz => self.gather(&mut values, |[b]| E5M2_FNUZ.decode(b)),
            DType::F16 => self.gather(&mut values, |b| f16::from_le_bytes(b).to_f32()),
            DType::BF16 => self.gather(&mut values, |b| bf16::from_le_bytes(b).to_f32()),
            DType::F32 => self.gather(&mut values, f32::from_le_bytes),
            DType::F64 => self.gather(&mut values, |b| f64::from_le_bytes(b) as f32),
            DType::U8 => self.gather(&mut values, |[b]| f32::from(b)),
            DType::I8 => self.gather(&mut values, |b| f32::from(i8::from_le_bytes(b))),
            DType::I16 => self.gather(&mut values, |b| f32::from(i16::from_le_bytes(b))),
            DType::I32 => self.gather(&mut values, |b| i32::from_le_bytes(b) as f32),
            DType::I64 => self.gather(&mut values, |b| i64::from_le_bytes(b) as f32),
            DType::Bool => self.gather(&mut values, |[b]| f32::from(u8::from(b != 0))),
        }?;
        Ok(values)
    }

    /// All elements of whole numbers or truth values in row-major order; of real numbers, what is left without their fractions.
    ///
    /// # Errors
    /// The file can no longer be read.
    pub fn to_i64(&self) -> Result<Vec<i64>, Unreadable> {
        let mut values = Vec::with_capacity(self.len);
        match self.dtype {
            DType::U8 => self.gather(&mut values, |[b]| i64::from(b)),
            DType::I8 => self.gather(&mut values, |b| i64::from(i8::from_le_bytes(b))),
            DType::I16 => self.gather(&mut values, |b| i64::from(i16::from_le_bytes(b))),
            DType::I32 => self.gather(&mut values, |b| i64::from(i32::from_le_bytes(b))),
            DType::I64 => self.gather(&mut values, i64::from_le_bytes),
            DType::Bool => self.gather(&mut values, |[b]| i64::from(b != 0)),
            _ => return Ok(self.to_f32()?.into_iter().map(|x| x as i64).collect()),
        }?;
        Ok(values)
    }

    /// The stored bytes, if they already are what [`Tensor::to_f32`] gives: row-major little-endian f32.
    pub fn f32_bytes(&self) -> Option<Bytes> {
        (self.dtype == DType::F32 && self.is_row_major()).then(|| self.span(self.len))?
    }

    /// The stored bytes of that many elements, from the first one on.
    fn span(&self, elements: usize) -> Option<Bytes> {
        let size = self.dtype.size();
        if elements == 0 {
            self.storage.slice(0..0)
        } else {
            self.storage.slice(self.offset * size..(self.offset + elements) * size)
        }
    }

    fn is_row_major(&self) -> bool {
        let mut expected = 1;
        self.shape.iter().zip(&self.strides).rev().all(|(&axis, &stride)| {
            let fits = axis <= 1 || stride == expected;
            expected *= axis;
            fits
        })
    }

    /// Adds all elements to `to`; a file is read in order.
    fn gather<T, const N: usize>(
        &self,
        to: &mut Vec<T>,
        convert: impl Fn([u8; N]) -> T + Copy,
    ) -> Result<(), Unreadable> {
        /// A view that is spread wider over a file than this is read row by row.
        const SPREAD: usize = 16;
        if self.is_empty() {
            return Ok(());
        }
        if self.is_row_major() {
            let stored = self.span(self.len).unwrap_or_else(|| Vec::new().into());
            return stored.for_each_block(|block| {
                to.extend(block.as_chunks::<N>().0.iter().map(|&bytes| convert(bytes)));
                Ok(())
            });
        }
        // In range and free of overflow, as `new` has checked.
        let reach = 1 + self.shape.iter().zip(&self.strides).map(|(axis, stride)| (axis - 1) * stride).sum::<usize>();
        let stored = self.span(reach).unwrap_or_else(|| Vec::new().into());
        if stored.in_memory().is_none() && reach / SPREAD > self.len {
            return (0..self.shape[0]).filter_map(|row| self.row(row)).try_for_each(|row| row.gather(to, convert));
        }
        let stored = stored.load()?;
        let (elements, _) = stored.as_chunks::<N>();
        let mut index = vec![0; self.shape.len()];
        let mut at = 0;
        for _ in 0..self.len {
            to.push(convert(elements[at]));
            // An odometer over the axes: the last one turns fastest.
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                at += self.strides[axis];
                if index[axis] < self.shape[axis] {
                    break;
                }
                at -= self.shape[axis] * self.strides[axis];
                index[axis] = 0;
            }
        }
        Ok(())
    }
}

/// Strides of a contiguous tensor in C order; `None` if the shape overflows.
pub(super) fn row_major(shape: &[usize]) -> Option<Vec<usize>> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].checked_mul(shape[axis].max(1))?;
    }
    Some(strides)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn storage(len: usize) -> Bytes {
        (0..len).flat_map(|i| (i as f32).to_le_bytes()).collect::<Vec<u8>>().into()
    }

    fn view(shape: &[usize], strides: &[usize], offset: usize, numel: usize) -> Result<Vec<f32>, String> {
        Tensor::new(DType::F32, shape.to_vec(), strides.to_vec(), offset, storage(numel)).map(|t| t.to_f32().unwrap())
    }

    #[test]
    fn views_gather_in_row_major_order() {
        assert_eq!(view(&[2, 3], &[3, 1], 1, 7).unwrap(), [1., 2., 3., 4., 5., 6.]);
        assert_eq!(view(&[2, 3], &[1, 2], 0, 6).unwrap(), [0., 2., 4., 1., 3., 5.]);
        assert_eq!(view(&[2, 2], &[0, 1], 3, 5).unwrap(), [3., 4., 3., 4.]);
        assert_eq!(view(&[], &[], 2, 3).unwrap(), [2.]);
        assert_eq!(view(&[0, 9], &[9, 1], 50, 3).unwrap(), [0.0; 0]);
        assert_eq!(view(&[1, 2, 1], &[99, 1, 77], 0, 2).unwrap(), [0., 1.]);
    }

    #[test]
    fn views_of_views_keep_their_elements() {
        let tensor = Tensor::contiguous(DType::F32, vec![2, 6], storage(12)).unwrap();
        assert_eq!(tensor.permuted(&[1, 0]).unwrap().to_f32().unwrap()[..4], [0., 6., 1., 7.]);
        let split = tensor.split(1, &[3, 2]).unwrap();
        assert_eq!((split.shape(), split.to_f32()), (&[2, 3, 2][..], tensor.to_f32()));
        let turned = split.permuted(&[1, 2, 0]).unwrap();
        assert_eq!((turned.shape(), &turned.to_f32().unwrap()[..4]), (&[3, 2, 2][..], &[0., 6., 1., 7.][..]));
        assert_eq!(tensor.first_rows(1).unwrap().to_f32().unwrap(), [0., 1., 2., 3., 4., 5.]);
        assert!(tensor.permuted(&[0, 0]).is_none() && tensor.permuted(&[0]).is_none());
        assert!(tensor.permuted(&[0, 2]).is_none() && tensor.first_rows(3).is_none());
        assert!(tensor.split(1, &[4, 2]).is_none() && tensor.split(2, &[1]).is_none());
        assert!(tensor.split(1, &[usize::MAX, 2]).is_none());
    }

    #[test]
    fn views_of_files_are_read_alike() {
        use std::io::Write;
        let numbers: Vec<u8> = (0..100_000).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&numbers).unwrap();
        let in_file = Bytes::of_file(std::fs::File::open(file.path()).unwrap()).unwrap();
        let buffer: Bytes = numbers.into();
        for (shape, strides, offset) in [
            (vec![90_000], vec![1], 9_999),
            (vec![300, 333], vec![333, 1], 5),
            (vec![333, 300], vec![1, 333], 5),
            (vec![3, 2], vec![33_333, 7], 1),
            (vec![2, 5, 2], vec![3, 0, 49_990], 11),
            (vec![7, 0], vec![1, 1], 0),
        ] {
            let view = |bytes: &Bytes| {
                Tensor::new(DType::F32, shape.clone(), strides.clone(), offset, bytes.clone()).unwrap().to_f32()
            };
            assert_eq!(view(&in_file), view(&buffer), "{shape:?} {strides:?}");
        }
        let tensor = Tensor::contiguous(DType::F32, vec![100_000], in_file).unwrap();
        file.as_file().set_len(1000).unwrap();
        assert!(tensor.to_f32().unwrap_err().to_string().contains("shorter"));
    }

    #[test]
    fn views_outside_their_storage_are_refused() {
        let huge = usize::MAX;
        for (shape, strides, offset) in [
            (vec![2, 3], vec![3, 1], 1),
            (vec![huge, huge], vec![1, 1], 0),
            (vec![2], vec![huge], 0),
            (vec![2], vec![1], huge),
            (vec![3], vec![huge / 2 + 1], 0),
            (vec![1 << 40], vec![0], 0),
            (vec![2, 2], vec![1], 0),
            (vec![1; 17], vec![1; 17], 0),
        ] {
            assert!(view(&shape, &strides, offset, 6).is_err(), "{shape:?} {strides:?} {offset} was accepted");
        }
    }

    #[test]
    fn every_element_type_converts() {
        let cases: [(DType, Vec<u8>); 14] = [
            (DType::F8E4M3, vec![0x44]),
            (DType::F8E4M3Fnuz, vec![0x4c]),
            (DType::F8E5M2, vec![0x42]),
            (DType::F8E5M2Fnuz, vec![0x46]),
            (DType::F16, f16::from_f32(3.0).to_le_bytes().to_vec()),
            (DType::BF16, bf16::from_f32(3.0).to_le_bytes().to_vec()),
            (DType::F32, 3f32.to_le_bytes().to_vec()),
            (DType::F64, 3f64.to_le_bytes().to_vec()),
            (DType::U8, vec![3]),
            (DType::I8, vec![3]),
            (DType::I16, 3i16.to_le_bytes().to_vec()),
            (DType::I32, 3i32.to_le_bytes().to_vec()),
            (DType::I64, 3i64.to_le_bytes().to_vec()),
            (DType::Bool, vec![3]),
        ];
        for (dtype, bytes) in cases {
            let expected = if dtype == DType::Bool { 1.0 } else { 3.0 };
            let tensor = Tensor::contiguous(dtype, vec![1], bytes.into()).unwrap();
            assert_eq!(tensor.to_f32().unwrap(), [expected], "{dtype}");
            assert_eq!(tensor.to_i64().unwrap(), [expected as i64], "{dtype}");
        }
    }
}
