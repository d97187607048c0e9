//! Memory of the CPU operators: strips of input with a zero border, and results that several threads write.

use std::marker::PhantomData;

use super::kernel::{Input, POSITIONS};

/// The input of a convolution: `[channels, height, width]`, each channel to be multiplied by its factor in `style`.
pub(super) struct Source<'a> {
    pub x: &'a [f32],
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub style: Option<&'a [f32]>,
}

/// Rows of all channels with a border of one zero on every side, and room at both ends for the kernels to read over.
#[derive(Default)]
pub(super) struct Strip {
    values: Vec<f32>,
    channels: usize,
    /// Length of a bordered row.
    row: usize,
    /// Distance between channels.
    plane: usize,
}

/// Values before the first plane: a tap left of the first corner reads one.
const BEFORE: usize = 16;

impl Strip {
    /// Copies the rows `first - 1 ..= end` of the source, zeros where it has none. Strip row 1 is source row `first`.
    pub(super) fn fill(&mut self, source: &Source, first: usize, end: usize) {
        let Source { x, channels, height, width, style } = *source;
        assert_eq!(x.len(), channels * height * width, "values of the input");
        (self.channels, self.row) = (channels, width + 2);
        self.plane = (end - first + 2) * self.row;
        self.values.resize(BEFORE + channels * self.plane + 2 * POSITIONS, 0.0);
        let inside = &mut self.values[BEFORE..BEFORE + channels * self.plane];
        for (channel, plane) in inside.chunks_exact_mut(self.plane).enumerate() {
            let factor = style.map_or(1.0, |style| style[channel]);
            for (y, target) in plane.chunks_exact_mut(self.row).enumerate() {
                let Some(y) = (first + y).checked_sub(1).filter(|&y| y < height) else {
                    target.fill(0.0);
                    continue;
                };
                (target[0], target[width + 1]) = (0.0, 0.0);
                let from = (channel * height + y) * width;
                for (to, from) in target[1..=width].iter_mut().zip(&x[from..from + width]) {
                    *to = from * factor;
                }
            }
        }
    }

    /// Positions from the start of strip row `row`.
    pub(super) fn input<'a>(&'a self, row: usize, taps: &'a [isize]) -> Input<'a> {
        let first = BEFORE + row * self.row;
        Input { values: &self.values, plane: self.plane, channels: self.channels, first, taps }
    }
}

/// Zeros for a result. Large ones ask for large pages: touching fresh memory 4 KiB at a time costs more than a wide layer.
pub(super) fn fresh(len: usize) -> Vec<f32> {
    let values = vec![0.0; len];
    #[cfg(target_os = "linux")]
    advise_large_pages(&values);
    values
}

#[cfg(target_os = "linux")]
fn advise_large_pages(values: &[f32]) {
    use nix::sys::mman::{MmapAdvise, madvise};
    const PAGE: usize = 4096;
    let start = values.as_ptr() as usize;
    let (from, to) = (start.next_multiple_of(PAGE), (start + size_of_val(values)) / PAGE * PAGE);
    let Some(from_pointer) = std::ptr::NonNull::new(from as *mut _) else { return };
    if to >= from + (4 << 20) {
        // SAFETY: the pages lie wholly inside a live allocation, and this advice changes no content.
        // Where the kernel refuses, pages stay small.
        let _ = unsafe { madvise(from_pointer, to - from, MmapAdvise::MADV_HUGEPAGE) };
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
