//! 1x1 convolutions on the CPU: a product of matrices, whose pixels are taken in panels that stay in the cache.

use std::cell::RefCell;

use rayon::prelude::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

use super::kernel::{Input, OUTPUTS, POSITIONS, accumulate, widest};
use super::memory::{Buffer, Disjoint, fresh, relu};
use super::{AfterSums, Before, PackedGroups};

/// Most pixels of a panel.
const PIXELS: usize = 4 * POSITIONS;
/// Values of a panel: a quarter of a processor's second cache.
const PANEL: usize = 1 << 16;

thread_local! {
    /// A panel and the sums of one group of outputs, kept from part to part.
    static SCRATCH: RefCell<[Buffer; 2]> = RefCell::default();
}

/// Convolution with a 1x1 kernel of one sample, `[inputs, height, width]` -> `[outputs, height, width]`.
#[expect(unsafe_code, reason = "a part alone writes its pixels of its groups' channels")]
pub(super) fn pointwise(
    x: &[f32],
    size: [usize; 2],
    before: Before,
    packed: &PackedGroups,
    after: AfterSums,
) -> Vec<f32> {
    let pixels = size[0] * size[1];
    let inputs = packed.inputs;
    let panel_pixels = (PANEL / inputs / POSITIONS * POSITIONS).clamp(POSITIONS, PIXELS);
    let panels = pixels.div_ceil(panel_pixels);
    let groups = packed.groups();
    // A few parts per thread, so that none waits long for the last.
    let groups_per_share = groups.div_ceil((4 * rayon::current_num_threads()).div_ceil(panels));
    let shares = groups.div_ceil(groups_per_share);
    let mut result = fresh(packed.outputs * pixels);
    let target = Disjoint::new(&mut result);
    (0..panels * shares).into_par_iter().with_max_len(1).for_each(|index| {
        let (panel, share) = (index / shares, index % shares);
        let first = panel * panel_pixels;
        let count = panel_pixels.min(pixels - first);
        SCRATCH.with_borrow_mut(|[values, sums]| {
            let blocks = count.div_ceil(POSITIONS);
            let values = values.take(blocks * inputs * POSITIONS);
            let sums = sums.take(OUTPUTS * panel_pixels);
            fill_panel(x, pixels, first..first + count, before, values);
            for group in share * groups_per_share..((share + 1) * groups_per_share).min(groups) {
                for (block, values) in values.chunks_exact(inputs * POSITIONS).enumerate() {
                    let input = Input { values, plane: POSITIONS, channels: inputs, first: 0, taps: &[0] };
                    accumulate(&input, packed.group(group), &mut sums[block * POSITIONS..], panel_pixels, POSITIONS);
                }
                let channels = group * OUTPUTS..packed.outputs.min((group + 1) * OUTPUTS);
                for (sums, channel) in sums.chunks_exact(panel_pixels).zip(channels) {
                    // SAFETY: a part owns its pixels of its groups' channels, and no other part has them.
                    let to = unsafe { target.slice(channel * pixels + first, count) };
                    to.copy_from_slice(&sums[..count]);
                    after.finish(to, channel, first, size[1]);
                }
            }
        });
    });
    result
}

widest! {
    /// Pixels of all channels, ready for the convolution, as `[blocks][channels][POSITIONS]`.
    fn fill_panel(x: &[f32], plane: usize, pixels: std::ops::Range<usize>, before: Before, to: &mut [f32]) {
        let channels = x.len() / plane;
        for (channel, from) in x.chunks_exact(plane).enumerate() {
            let scale = before.scale.map_or(1.0, |scale| scale[channel]);
            for (block, from) in from[pixels.clone()].chunks(POSITIONS).enumerate() {
                let to = to[(block * channels + channel) * POSITIONS..][..POSITIONS].iter_mut().zip(from);
                match before.offset {
                    Some(offset) => {
                        let offset = offset[channel];
                        to.for_each(|(to, x)| *to = relu(x * scale + offset));
                    }
                    None => to.for_each(|(to, x)| *to = x * scale),
                }
            }
        }
    }
}
