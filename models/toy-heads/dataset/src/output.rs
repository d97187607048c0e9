//! The files: the arrays of a data set and contact sheets.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use rayon::prelude::*;

use crate::arguments::Task;
use crate::factors::{Factors, LIST, Spread};
use crate::render::render;

/// Pictures rendered between two writes.
const BATCH: usize = 256;

/// Does what the command line asks for.
pub fn run(task: &Task) -> Result<(), String> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(task.threads).build().map_err(|e| e.to_string())?;
    pool.install(|| match (&task.factors, &task.out, &task.sheet) {
        (_, Some(folder), _) => data_set(task, folder),
        (_, _, Some(file)) => sheet(task, file),
        _ => Err("nothing to do".to_owned()),
    })
}

/// The bytes of a NumPy file before its numbers (format version 1.0).
fn npy_header(kind: &str, shape: &[usize]) -> Vec<u8> {
    let shape: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let text = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({}), }}", shape.trim_end());
    let length = (10 + text.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((length as u16).to_le_bytes());
    bytes.extend(format!("{text:<width$}\n", width = length - 1).bytes());
    bytes
}

/// The heads of a NumPy file of the shape [n, factors], little-endian f4 in the order of [`LIST`].
fn read_heads(bytes: &[u8]) -> Result<Vec<Factors>, String> {
    const ROW: usize = 4 * LIST.len();
    let (magic, rest) = bytes.split_at_checked(10).ok_or("too short for a NumPy file")?;
    let length = usize::from(u16::from_le_bytes([magic[8], magic[9]]));
    let (header, rows) = rest.split_at_checked(length).ok_or("too short for a NumPy file")?;
    let header: String = String::from_utf8_lossy(header).split_whitespace().collect();
    let shape = format!("'shape':({},{}", rows.len() / ROW, LIST.len());
    if !magic.starts_with(b"\x93NUMPY\x01") || ["'<f4'", "False", &shape].iter().any(|part| !header.contains(part)) {
        return Err(format!("not a NumPy file (version 1) of f4 numbers in C order with {} columns", LIST.len()));
    }
    let head = |row: &[u8]| {
        let mut values = row.chunks_exact(4).map(|x| f32::from_le_bytes([x[0], x[1], x[2], x[3]]));
        Factors::from_values(&std::array::from_fn(|_| values.next().unwrap_or(0.0)))
    };
    Ok(rows.chunks_exact(ROW).map(head).collect())
}

/// The heads that the command line asks for.
fn heads(task: &Task) -> Result<Vec<Factors>, String> {
    match &task.factors {
        Some(path) => fs::read(path)
            .map_err(|e| e.to_string())
            .and_then(|bytes| read_heads(&bytes))
            .map_err(|e| format!("{}: {e}", path.display())),
        None => Ok((0..task.count.unwrap_or(0) as u64).map(|i| Factors::sample(task.seed, i)).collect()),
    }
}

/// Pictures of heads, one after the other.
fn pictures(heads: &[Factors], size: usize) -> Vec<u8> {
    let mut bytes = vec![0; heads.len() * size * size * 3];
    bytes.par_chunks_mut(size * size * 3).zip(heads).for_each(|(picture, head)| render(*head, size, picture));
    bytes
}

/// Writes a file under a temporary name and gives it its own when all of it is there.
fn write(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>) -> Result<(), String> {
    let part = path.with_added_extension("part");
    let all = || -> std::io::Result<()> {
        let mut file = BufWriter::new(File::create(&part)?);
        fill(&mut file)?;
        file.into_inner().map_err(|e| e.into_error())?.sync_all()?;
        fs::rename(&part, path)
    };
    all().map_err(|e| format!("{}: {e}", path.display()))
}

fn data_set(task: &Task, folder: &Path) -> Result<(), String> {
    let heads = heads(task)?;
    let count = heads.len();
    fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    write(&folder.join("factors.json"), |file| file.write_all(json().as_bytes()))?;
    write(&folder.join("factors.npy"), |file| {
        file.write_all(&npy_header("<f4", &[count, LIST.len()]))?;
        for head in &heads {
            for x in head.values() {
                file.write_all(&x.to_le_bytes())?;
            }
        }
        Ok(())
    })?;
    let start = Instant::now();
    let mut told = 0;
    write(&folder.join("images.npy"), |file| {
        file.write_all(&npy_header("|u1", &[count, task.size, task.size, 3]))?;
        let mut done = 0;
        for batch in heads.chunks(BATCH) {
            file.write_all(&pictures(batch, task.size))?;
            done += batch.len();
            let seconds = start.elapsed().as_secs_f64();
            if seconds as u64 / 5 > told || done == count {
                told = seconds as u64 / 5;
                eprintln!("{done} of {count} pictures, {:.1} a second", done as f64 / seconds);
            }
        }
        Ok(())
    })
}

/// The list of factors for `factors.json`. Names and descriptions hold nothing that JSON would have to escape.
fn json() -> String {
    let lines = LIST.iter().map(|x| {
        let kind = if matches!(x.spread, Spread::Switch(_)) { "switch" } else { "continuous" };
        let (name, about, low, high) = (x.name, x.about, x.low, x.high);
        format!(r#"  {{"name": "{name}", "kind": "{kind}", "about": "{about}", "low": {low:?}, "high": {high:?}}}"#)
    });
    format!("[\n{}\n]\n", lines.collect::<Vec<_>>().join(",\n"))
}

fn sheet(task: &Task, path: &Path) -> Result<(), String> {
    let (rows, columns, size) = (task.rows, task.columns, task.size);
    let swept = match &task.sweep {
        Some(name) => {
            Some(LIST.iter().find(|x| x.name == name).ok_or_else(|| format!("{name} is not a factor: {}", names()))?)
        }
        None => None,
    };
    let heads = (0..rows * columns).map(|i| match swept {
        None => Factors::sample(task.seed, i as u64),
        Some(factor) => {
            let mut head = Factors::sample(task.seed, (i / columns) as u64);
            let t = (i % columns) as f32 / (columns.max(2) - 1) as f32;
            head.set(factor.name, factor.low + (factor.high - factor.low) * t);
            head.settle();
            head
        }
    });
    let heads: Vec<Factors> = heads.collect();
    let tiles = pictures(&heads, size);
    let mut picture = image::RgbImage::new((columns * size) as u32, (rows * size) as u32);
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        let (x, y) = (x as usize, y as usize);
        let tile = y / size * columns + x / size;
        let at = ((tile * size + y % size) * size + x % size) * 3;
        pixel.0.copy_from_slice(&tiles[at..at + 3]);
    }
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png).map_err(|e| e.to_string())?;
    write(path, |file| file.write_all(bytes.get_ref()))
}

fn names() -> String {
    LIST.iter().map(|x| x.name).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(seed: u64, indices: std::ops::Range<u64>) -> Vec<Factors> {
        indices.map(|i| Factors::sample(seed, i)).collect()
    }

    fn with_threads(threads: usize) -> Vec<u8> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| pictures(&sampled(5, 3..9), 32))
    }

    #[test]
    fn the_pictures_do_not_depend_on_the_threads() {
        let one = with_threads(1);
        assert_eq!(one, with_threads(3));
        let single = pictures(&sampled(5, 4..5), 32);
        assert_eq!(one[32 * 32 * 3..2 * 32 * 32 * 3], single);
    }

    #[test]
    fn a_picture_shows_something() {
        for picture in pictures(&sampled(1, 0..8), 32).chunks(32 * 32 * 3) {
            let (low, high) = (picture.iter().min().unwrap(), picture.iter().max().unwrap());
            assert!(high - low > 60);
        }
    }

    #[test]
    fn factors_stay_in_their_ranges() {
        for i in 0..2000 {
            for (x, factor) in Factors::sample(9, i).values().iter().zip(LIST) {
                assert!((factor.low..=factor.high).contains(x), "{} {x}", factor.name);
            }
        }
    }

    #[test]
    fn written_factors_give_the_same_heads() {
        let heads = sampled(4, 0..50);
        let mut file = npy_header("<f4", &[heads.len(), LIST.len()]);
        file.extend(heads.iter().flat_map(Factors::values).flat_map(f32::to_le_bytes));
        assert_eq!(read_heads(&file).unwrap(), heads);
        for end in [0, 9, 64, file.len() - 4 * LIST.len()] {
            assert!(read_heads(&file[..end]).is_err(), "{end}");
        }
        let wrong = npy_header("<f8", &[0, LIST.len()]);
        assert!(read_heads(&wrong).is_err());
    }

    #[test]
    fn wild_values_are_held_in_their_ranges() {
        for wild in [f32::NAN, f32::INFINITY, -1e30] {
            let head = Factors::from_values(&[wild; LIST.len()]);
            for (x, factor) in head.values().iter().zip(LIST) {
                assert!((factor.low..=factor.high).contains(x), "{} {x}", factor.name);
            }
        }
    }

    #[test]
    fn a_header_is_read_by_numpy_rules() {
        let header = npy_header("|u1", &[3, 8, 8, 3]);
        assert_eq!(header.len() % 64, 0);
        assert_eq!(header.len(), 10 + u16::from_le_bytes([header[8], header[9]]) as usize);
        assert!(header.ends_with(b"\n"));
        assert!(String::from_utf8_lossy(&header[10..]).contains("'shape': (3, 8, 8, 3,), }"));
    }
}
