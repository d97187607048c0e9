//! Memory of the CPU operators: strips of input with a zero border, and results that several threads write.

use std::marker::PhantomData;

use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use super::Before;
use super::kernel::{Input, POSITIONS, widest};

/// The input of a convolution, `[channels, height, width]`.
pub(super) struct Source<'a> {
    pub x: &'a [f32],
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    pub before: Before<'a>,
}

impl Source<'_> {
    /// Makes values of one channel ready.
    pub(super) fn prepare(&self, channel: usize, from: &[f32], to: &mut [f32]) {
        let scale = self.before.scale.map_or(1.0, |scale| scale[channel]);
        prepare(from, scale, self.before.offset.map(|offset| offset[channel]), to);
    }
}

widest! {
    fn prepare(from: &[f32], scale: f32, offset: Option<f32>, to: &mut [f32]) {
        match offset {
            Some(offset) => to.iter_mut().zip(from).for_each(|(to, x)| *to = relu(x * scale + offset)),
            None => to.iter_mut().zip(from).for_each(|(to, x)| *to = x * scale),
        }
    }
}

/// Unlike `max`, which takes a NaN for the lower one.
#[inline(always)]
pub(super) fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// Rows of all channels, with a border of one zero on every side, and room at both ends for the kernels to read over.
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
    /// Takes the rows `first - 1 ..= end` of the source, zeros where it has none.
    /// Strip row 1 is source row `first`.
    pub(super) fn fill(&mut self, source: &Source, first: usize, end: usize) {
        let Source { channels, height, width, .. } = *source;
        assert_eq!(source.x.len(), channels * height * width, "values of the input");
        self.resize(channels, width + 2, end - first + 2);
        let inside = &mut self.values[BEFORE..BEFORE + channels * self.plane];
        for (channel, plane) in inside.chunks_exact_mut(self.plane).enumerate() {
            for (y, target) in plane.chunks_exact_mut(self.row).enumerate() {
                let Some(y) = (first + y).checked_sub(1).filter(|&y| y < height) else {
                    target.fill(0.0);
                    continue;
                };
                (target[0], target[width + 1]) = (0.0, 0.0);
                let from = &source.x[(channel * height + y) * width..][..width];
                source.prepare(channel, from, &mut target[1..=width]);
            }
        }
    }

    fn resize(&mut self, channels: usize, row: usize, rows: usize) {
        (self.channels, self.row, self.plane) = (channels, row, rows * row);
        self.values.resize(BEFORE + channels * self.plane + 2 * POSITIONS, 0.0);
    }

    /// Planes of so many rows for somebody else to fill, border included.
    pub(super) fn planes(&mut self, planes: usize, row: usize, rows: usize) -> &mut [f32] {
        self.resize(planes, row, rows);
        &mut self.values[BEFORE..BEFORE + planes * self.plane]
    }

    /// Positions from the start of strip row `row`.
    pub(super) fn input<'a>(&'a self, row: usize, taps: &'a [isize]) -> Input<'a> {
        self.input_of_planes(1, row, taps)
    }

    /// The same where so many planes belong to each channel, which taps reach.
    pub(super) fn input_of_planes<'a>(&'a self, planes: usize, row: usize, taps: &'a [isize]) -> Input<'a> {
        let first = BEFORE + row * self.row;
        Input { values: &self.values, plane: planes * self.plane, channels: self.channels / planes, first, taps }
    }
}

/// Memory for a task, kept for the next one. It starts where a cache line does: vectors that lie across two take twice as
/// long to load.
#[derive(Default)]
pub(super) struct Buffer(Vec<Line>);

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[expect(dead_code, reason = "read as values of the slice")] [f32; LINE]);

const LINE: usize = 16;

impl Buffer {
    /// That many values, whatever they are.
    #[expect(unsafe_code, reason = "sees lines as the numbers that they consist of")]
    pub(super) fn take(&mut self, len: usize) -> &mut [f32] {
        let lines = len.div_ceil(LINE);
        if self.0.len() < lines {
            self.0.resize(lines, Line([0.0; LINE]));
        }
        // SAFETY: a line consists of so many f32 and nothing else, since its size equals its alignment.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), len) }
    }
}

/// A map with zeros around it, `[channels, height, width]` to `[channels, height + 2 * border, width + 2 * border]`.
pub(crate) fn bordered(x: &[f32], [height, width]: [usize; 2], border: usize) -> Vec<f32> {
    let (plane, row) = ((height + 2 * border) * (width + 2 * border), width + 2 * border);
    let mut result = fresh(x.len() / (height * width) * plane);
    let planes = result.par_chunks_exact_mut(plane).zip(x.par_chunks_exact(height * width));
    planes.for_each(|(to, from)| {
        let rows = to[border * row..].chunks_exact_mut(row).zip(from.chunks_exact(width));
        rows.for_each(|(to, from)| to[border..border + width].copy_from_slice(from));
    });
    result
}

/// Zeros for a result. Large ones ask for large pages: touching fresh memory 4 KiB at a time costs more than a wide layer.
pub(super) fn fresh(len: usize) -> Vec<f32> {
    let values = vec![0.0; len];
    #[cfg(target_os = "linux")]
    advise_large_pages(&values);
    values
}

/// Lets the allocator keep what maps leave for those of the next picture. By default glibc gives it back to the system whenever
/// enough of it happens to lie together, several times a picture, and touching it anew takes up to a third of the time of a small
/// network. To be called before threads are started.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // What is larger still comes from the system and goes back there: the most that glibc allows.
        const LARGE_BYTES: i32 = 32 << 20;
        const KEPT_BYTES: i32 = 256 << 20;
        #[expect(unsafe_code, reason = "sets two numbers of the allocator")]
        // SAFETY: both are in the range that the manual gives; where the allocator is another one, nothing happens.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES);
            libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES);
        }
    }
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "advises about pages wholly inside a live slice, which changes no content")]
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
#[expect(unsafe_code, reason = "threads share it, but no part of it: `slice` is exclusive by its callers' promise")]
unsafe impl Sync for Disjoint<'_> {}

impl<'a> Disjoint<'a> {
    pub(super) fn new(slice: &'a mut [f32]) -> Self {
        Disjoint { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// # Safety
    /// No other part that overlaps `from..from + len` may be alive.
    #[expect(clippy::mut_from_ref, reason = "the caller keeps the parts apart")]
    #[expect(unsafe_code, reason = "in range by an assertion, exclusive by the caller's promise")]
    pub(super) unsafe fn slice(&self, from: usize, len: usize) -> &mut [f32] {
        assert!(from.checked_add(len).is_some_and(|end| end <= self.len), "a part beyond the end");
        // SAFETY: in range by the assertion, exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(from), len) }
    }
}
