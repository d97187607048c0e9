//! Filters that change the sampling rate, as weighted sums of runs of neighbouring values: samples are kept by phases, every
//! n-th of them next to the other, so that zeros between samples are skipped and nothing is read with a stride.

use super::filtered::FilterPlan;
use super::kernel::{POSITIONS, widest};

/// The four filters, and where they find their values. "Full" samples are counted in the full transposed convolution.
pub(super) struct Passes<'a> {
    pub plan: &'a FilterPlan,
    /// Height and width of the input.
    pub size: [usize; 2],
    /// An input row is kept as `inputs` phases of `line` values each, with `margin` zeros before the first sample.
    pub inputs: usize,
    pub line: usize,
    pub margin: usize,
    /// An up-sampled row is kept as `phases` phases of `run` values each.
    pub phases: usize,
    pub run: usize,
    /// A row of the result is made as `outputs` phases of `output_run` values each, and `rows` of them at a time.
    pub outputs: usize,
    pub output_run: usize,
    pub rows: usize,
    /// Along x, from a line to the phases of a row.
    pub up_x: Vec<f32>,
    pub up_x_offsets: Vec<isize>,
    /// Along y, from neighbouring rows to `up` rows.
    pub up_y: Vec<f32>,
    /// Along y, from rows to `rows` rows; a radial filter does both axes at once.
    pub down_y: Vec<f32>,
    /// Along x, from the phases of a row to those of the result. A radial filter has the offsets alone.
    pub down_x: Option<Vec<f32>>,
    pub down_x_offsets: Vec<isize>,
}

impl<'a> Passes<'a> {
    pub(super) fn new(plan: &'a FilterPlan, size: [usize; 2]) -> Self {
        // Rows are what is sorted by phases, so all lengths are along x.
        let &FilterPlan { up, down, start: [_, start], length: [_, length], .. } = plan;
        let ([_, width], [_, output]) = (size, plan.output());
        let count = plan.down_count();
        // The least common multiple: whatever a filter reads is a run of one phase.
        let phases = (1..down).map(|n| n * up).find(|phases| phases % down == 0).unwrap_or(up * down);
        let (inputs, outputs) = (phases / up, phases / down);
        // Runs begin with full sample `first * phases`.
        let first = start / phases;
        let run = ((start + length - 1) / phases - first + 1).next_multiple_of(POSITIONS);
        let output_run = output.div_ceil(outputs).next_multiple_of(POSITIONS);
        let rows = if plan.is_radial { 4_usize.div_ceil(outputs) } else { 2 };

        // Full sample `phases * n + p` takes sample `n - shift` of input phase `q` with tap `phases * shift + p - up * q`.
        let shifts = (plan.up_taps.len() - 1 + up * (inputs - 1)) / phases + 1;
        let margin = (shifts - 1).saturating_sub(first);
        let line = margin + (first + run).max(width.div_ceil(inputs));
        let up_tap = |tap: Option<usize>| tap.and_then(|tap| plan.up_taps.get(tap)).copied().unwrap_or(0.0);
        let up_x = weights(inputs * shifts, phases, |term, p| {
            up_tap((phases * (term % shifts) + p).checked_sub(up * (term / shifts)))
        });
        let up_x_offsets =
            (0..inputs * shifts).map(|term| (term / shifts * line + margin + first - term % shifts) as isize).collect();
        // With the activation's gain, which a positive factor may as well precede.
        let gain = plan.activation.map_or(1.0, |[_, gain]| gain);
        let up_y = weights(plan.up_taps.len().div_ceil(up), up, |shift, p| up_tap(Some(up * shift + p)) * gain);

        // Of neighbouring results, the later one reads the same samples with taps `down` earlier.
        let tap = |term: usize, result: usize| term.checked_sub(down * result).filter(|&tap| tap < count);
        let [terms_y, terms_x] = [rows, outputs].map(|results| count + down * (results - 1));
        let weight = |tap: Option<usize>| tap.map_or(0.0, |tap| plan.down_taps[tap]);
        let along_x = |term, result| weight(tap(term, result));
        let (down_y, down_x) = if plan.is_radial {
            let along_both = |term, result| {
                let y = tap(term / terms_x, result / outputs);
                weight(y.zip(tap(term % terms_x, result % outputs)).map(|(y, x)| y * count + x))
            };
            (weights(terms_y * terms_x, rows * outputs, along_both), None)
        } else {
            (weights(terms_y, rows, along_x), Some(weights(terms_x, outputs, along_x)))
        };
        let down_x_offsets = (0..terms_x)
            .map(|term| term + start - first * phases)
            .map(|sample| (sample % phases * run + sample / phases) as isize)
            .collect();
        Passes {
            plan,
            size,
            inputs,
            line,
            margin,
            phases,
            run,
            outputs,
            output_run,
            rows,
            up_x,
            up_x_offsets,
            up_y,
            down_y,
            down_x,
            down_x_offsets,
        }
    }

    /// Adds the bias to an input row and sorts it by phases into a line.
    pub(super) fn fill_line(&self, row: &[f32], bias: f32, line: &mut [f32]) {
        for (phase, to) in line.chunks_exact_mut(self.line).enumerate() {
            let to = &mut to[self.margin..];
            if self.inputs == 1 {
                add_bias(row, bias, to);
            } else {
                to.iter_mut().zip(row.iter().skip(phase).step_by(self.inputs)).for_each(|(to, x)| *to = x + bias);
            }
        }
    }

    /// Takes a row of the result from its phases.
    pub(super) fn take_row(&self, phases: &[f32], row: &mut [f32]) {
        let run = self.output_run;
        match self.outputs {
            1 => row.copy_from_slice(&phases[..row.len()]),
            2 => interleave([&phases[..run], &phases[run..]], row),
            outputs => row.iter_mut().enumerate().for_each(|(x, to)| *to = phases[x % outputs * run + x / outputs]),
        }
    }
}

widest! {
    fn add_bias(row: &[f32], bias: f32, to: &mut [f32]) {
        to.iter_mut().zip(row).for_each(|(to, x)| *to = x + bias);
    }
}

widest! {
    fn interleave(from: [&[f32]; 2], row: &mut [f32]) {
        let (pairs, last) = row.as_chunks_mut::<2>();
        pairs.iter_mut().zip(from[0].iter().zip(from[1])).for_each(|(to, (even, odd))| *to = [*even, *odd]);
        last.iter_mut().zip(&from[0][pairs.len()..]).for_each(|(to, even)| *to = *even);
    }
}

/// `weight(term, result)` as `[terms, results]`.
fn weights(terms: usize, results: usize, weight: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    (0..terms * results).map(|i| weight(i / results, i % results)).collect()
}
