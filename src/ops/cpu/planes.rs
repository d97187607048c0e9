//! Pictures with a zero border, and results that several threads write.

use std::marker::PhantomData;

use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSliceMut};

use super::kernel::{Input, POSITIONS};

/// Channels with a border of one zero on every side, and room at both ends for the kernels to read over.
pub(super) struct Planes {
    values: Vec<f32>,
    pub channels: usize,
    /// Length of a bordered row.
    pub row: usize,
    /// Distance between channels.
    plane: usize,
}

/// Values before the first plane: a tap left of the first corner reads one.
const BEFORE: usize = 16;

impl Planes {
    /// From `[channels, height, width]`, each channel times its factor in `style`.
    pub(super) fn bordered(x: &[f32], channels: usize, height: usize, width: usize, style: Option<&[f32]>) -> Self {
        assert_eq!(x.len(), channels * height * width, "values of the input");
        let row = width + 2;
        let plane = (height + 2) * row;
        let mut values = vec![0.0; BEFORE + channels * plane + 2 * POSITIONS];
        let inside = &mut values[BEFORE..BEFORE + channels * plane];
        inside.par_chunks_exact_mut(plane).enumerate().for_each(|(channel, target)| {
            let factor = style.map_or(1.0, |style| style[channel]);
            let source = &x[channel * height * width..(channel + 1) * height * width];
            for (to, from) in target[row..].chunks_exact_mut(row).zip(source.chunks_exact(width)) {
                for (to, from) in to[1..].iter_mut().zip(from) {
                    *to = from * factor;
                }
            }
        });
        Planes { values, channels, row, plane }
    }

    /// Positions from the start of bordered row `row`.
    pub(super) fn input<'a>(&'a self, row: usize, taps: &'a [isize]) -> Input<'a> {
        let first = BEFORE + row * self.row;
        Input { values: &self.values, plane: self.plane, channels: self.channels, first, taps }
    }
}

/// A slice whose parts are written by several threads at once.
pub(super) struct Disjoint<'a> {
    start: *mut f32,
    len: usize,
    slice: PhantomData<&'a mut [f32]>,
}

// SAFETY: the only access is `slice`, whose callers promise that no part is handed out twice at a time.
unsafe impl Sync for Disjoint<'_> {}

impl<'a> Disjoint<'a> {
    pub(super) fn new(slice: &'a mut [f32]) -> Self {
        Disjoint { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// # Safety
    /// No other part that overlaps `from..from + len` may be alive.
    #[expect(clippy::mut_from_ref, reason = "the caller keeps the parts apart")]
    pub(super) unsafe fn slice(&self, from: usize, len: usize) -> &mut [f32] {
        assert!(from + len <= self.len, "a part beyond the end");
        // SAFETY: in range by the assertion, exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(from), len) }
    }
}
