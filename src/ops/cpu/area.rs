//! Means over areas on the CPU, one plane at a time.

use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

/// Planes `[from[0], from[1]]` -> planes of `to`: means of values limited to -1..=1. What is not finite stays so.
pub(crate) fn area_mean(x: &[f32], from: [usize; 2], to: [usize; 2]) -> Vec<f32> {
    let planes = x.len() / (from[0] * from[1]);
    let mut result = vec![0.0; planes * to[0] * to[1]];
    let rows: Vec<Overlap> = overlaps(from[0], to[0]).collect();
    let columns: Vec<Overlap> = overlaps(from[1], to[1]).collect();
    let all = (from[0] * from[1]) as f32;
    let planes = result.par_chunks_exact_mut(to[0] * to[1]).zip(x.par_chunks_exact(from[0] * from[1]));
    planes.for_each(|(result, x)| {
        for row in &rows {
            let result = &mut result[row.to * to[1]..][..to[1]];
            let x = &x[row.from * from[1]..][..from[1]];
            for column in &columns {
                result[column.to] += row.length * column.length * limited(x[column.from]);
            }
        }
        result.iter_mut().for_each(|sum| *sum /= all);
    });
    result
}

fn limited(x: f32) -> f32 {
    if x.is_infinite() { x } else { x.clamp(-1.0, 1.0) }
}

/// A part of an axis that lies both in one pixel of the picture and in one of the result.
struct Overlap {
    from: usize,
    to: usize,
    /// In parts of a pixel: so many as the result is long.
    length: f32,
}

/// All of them, in order.
fn overlaps(from: usize, to: usize) -> impl Iterator<Item = Overlap> {
    let of = move |at: usize| {
        // Pixel `at` of the picture lies from `at * to` to `(at + 1) * to`, those of the result from `from` to `from`.
        let (start, end) = (at * to, (at + 1) * to);
        let first = start / from;
        (first..=(end - 1) / from).map(move |result| Overlap {
            from: at,
            to: result,
            length: (end.min((result + 1) * from) - start.max(result * from)) as f32,
        })
    };
    (0..from).flat_map(of)
}
