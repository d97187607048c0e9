//! NumPy's array files, written and read. Their header is read in `checkpoint`.

use std::io::{self, Cursor, Write};
use std::path::Path;

use half::f16;
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::ExportError;
use crate::checkpoint::npy::{Header, MAGIC};
use crate::files::{WriteError, write_atomically, write_bytes};

/// Writes a row-major float32 array. All of it or nothing.
pub fn write_npy(path: &Path, shape: &[usize], values: &[f32]) -> Result<(), ExportError> {
    write_atomically(path, |file| {
        write_array(file, shape, values).map_err(|source| WriteError { path: path.into(), source }.into())
    })
}

/// Writes a row-major float32 array under its name, as `numpy.savez` does. All of it or nothing.
pub fn write_npz(path: &Path, name: &str, shape: &[usize], values: &[f32]) -> Result<(), ExportError> {
    let mut bytes = Vec::new();
    let failed = |source: io::Error| WriteError { path: path.into(), source };
    write_array(&mut bytes, shape, values).map_err(failed)?;
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let zipped = |error: ZipError| failed(error.into());
    archive.start_file(format!("{name}.npy"), options).map_err(zipped)?;
    archive.write_all(&bytes).map_err(failed)?;
    let bytes = archive.finish().map_err(zipped)?.into_inner();
    Ok(write_bytes(path, &bytes)?)
}

fn write_array(file: &mut impl Write, shape: &[usize], values: &[f32]) -> io::Result<()> {
    let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({sizes}), }}");
    // The data starts at a multiple of 64: magic, version and length take 10 bytes, the newline one.
    let padding = (64 - (10 + header.len() + 1) % 64) % 64;
    header.push_str(&" ".repeat(padding));
    header.push('\n');
    let length = header.len() as u16; // a shape of a hundred axes stays far below 65536
    file.write_all(MAGIC)?;
    file.write_all(&[1, 0])?;
    file.write_all(&length.to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    values.iter().try_for_each(|value| file.write_all(&value.to_le_bytes()))
}

/// True if `bytes` begin as every npy file does.
pub(super) fn is_npy(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// The pickle in an npy file of Python objects; `None` for every other npy file.
pub(super) fn pickled_objects(bytes: &[u8]) -> Option<&[u8]> {
    let header = Header::parse(bytes)?;
    bytes.get(header.data_at..).filter(|_| header.code() == Some("|O"))
}

/// An array of numbers, row-major.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Array {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub enum NpyError {
    #[error("damaged or truncated npy header")]
    Header,
    #[error("expected numbers of type float16, float32 or float64, found {0}")]
    Type(String),
    #[error("expected {expected} bytes of data for shape {shape:?}, found {found}: the file is truncated")]
    Truncated { shape: Vec<usize>, expected: u128, found: usize },
    #[error("shape {0:?} is too large")]
    TooLarge(Vec<usize>),
}

/// Reads an array of floating-point numbers; float64 and float16 become float32. Allocates no more than the data needs.
pub(super) fn read_npy(bytes: &[u8]) -> Result<Array, NpyError> {
    let header = Header::parse(bytes).ok_or(NpyError::Header)?;
    let (width, decode) = decoder(&header)?;
    let (shape, data) = (header.shape, &bytes[header.data_at..]);

    let count = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    let count = count.ok_or_else(|| NpyError::TooLarge(shape.clone()))?;
    let expected = count as u128 * width as u128;
    let Some(numbers) = usize::try_from(expected).ok().and_then(|length| data.get(..length)) else {
        return Err(NpyError::Truncated { shape, expected, found: data.len() });
    };
    let mut values: Vec<f32> = numbers.chunks_exact(width).map(decode).collect();
    if header.fortran {
        values = row_major(&values, &shape);
    }
    Ok(Array { shape, values })
}

type Decode = fn(&[u8]) -> f32;

/// Bytes per number, and how to read one.
fn decoder(header: &Header) -> Result<(usize, Decode), NpyError> {
    // `chunks_exact` hands over exactly as many bytes as the type has.
    fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(bytes);
        array
    }
    let Some(code) = header.code() else { return Err(NpyError::Type("records".into())) };
    Ok(match code {
        "<f2" => (2, |b| f16::from_le_bytes(array(b)).to_f32()),
        ">f2" => (2, |b| f16::from_be_bytes(array(b)).to_f32()),
        "<f4" => (4, |b| f32::from_le_bytes(array(b))),
        ">f4" => (4, |b| f32::from_be_bytes(array(b))),
        "<f8" => (8, |b| f64::from_le_bytes(array(b)) as f32),
        ">f8" => (8, |b| f64::from_be_bytes(array(b)) as f32),
        "|O" => return Err(NpyError::Type("Python objects".into())),
        other => return Err(NpyError::Type(other.into())),
    })
}

/// From Fortran's order, where the first index runs fastest.
fn row_major(values: &[f32], shape: &[usize]) -> Vec<f32> {
    let at = |mut index: usize| {
        let (mut offset, mut stride) = (0, values.len());
        // Walks from the last axis, whose stride is the largest in the file and the smallest in the result.
        for &size in shape.iter().rev() {
            stride /= size;
            offset += index % size * stride;
            index /= size;
        }
        values[offset]
    };
    (0..values.len()).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
        [MAGIC, &[1, 0], &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat()
    }

    #[test]
    fn types_and_orders_are_converted() {
        let f8: Vec<u8> = [1.5f64, -2.0].iter().flat_map(|x| x.to_be_bytes()).collect();
        assert_eq!(
            read_npy(&npy("'>f8'", "False", "(2,)", &f8)).unwrap(),
            Array { shape: vec![2], values: vec![1.5, -2.0] }
        );
        let f2: Vec<u8> = [0.5f32, 4.0].iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect();
        assert_eq!(read_npy(&npy("'<f2'", "False", "(1, 2)", &f2)).unwrap().values, [0.5, 4.0]);
        // [[0, 1, 2], [3, 4, 5]] column by column.
        let columns: Vec<u8> = [0f32, 3.0, 1.0, 4.0, 2.0, 5.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(read_npy(&npy("'<f4'", "True", "(2, 3)", &columns)).unwrap().values, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(read_npy(&npy("'<f4'", "True", "(0, 3)", &[])).unwrap().values.len(), 0);
    }

    #[test]
    fn hostile_headers_are_errors() {
        let truncated = read_npy(&npy("'<f4'", "False", "(2, 3)", &[0; 23])).unwrap_err();
        assert_eq!(truncated, NpyError::Truncated { shape: vec![2, 3], expected: 24, found: 23 });
        assert!(
            matches!(read_npy(&npy("'<i8'", "False", "(1,)", &[0; 8])), Err(NpyError::Type(name)) if name == "<i8")
        );
        assert!(matches!(read_npy(&npy("'|O'", "False", "(1,)", &[0; 8])), Err(NpyError::Type(_))));
        assert!(matches!(read_npy(&npy("[('a', '<f4')]", "False", "(1,)", &[0; 8])), Err(NpyError::Type(_))));
        let huge = "(4294967296, 4294967296, 2)";
        assert!(matches!(read_npy(&npy("'<f4'", "False", huge, &[])), Err(NpyError::TooLarge(_))));
        assert!(matches!(read_npy(&npy("'<f4'", "False", "(99999999999,)", &[])), Err(NpyError::Truncated { .. })));
        let nested = "(".repeat(60_000);
        for bad in [npy("'<f4'", "False", &nested, &[]), npy("'<f4'", "Maybe", "(1,)", &[0; 4]), MAGIC.to_vec()] {
            assert_eq!(read_npy(&bad), Err(NpyError::Header));
        }
        let whole = npy("'<f4'", "False", "(1,)", &[0; 4]);
        for length in 0..whole.len() {
            assert!(read_npy(&whole[..length]).is_err(), "{length} bytes were accepted");
        }
    }
}
