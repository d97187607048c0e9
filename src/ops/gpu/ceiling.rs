//! What a device's arithmetic can do at most: sums in registers, no memory.

use burn::tensor::{Device, Tensor};
use cubecl::prelude::*;

use super::{THREADS, primitive};

const WORKGROUPS: usize = 4096;
/// Sums per thread, four numbers each: enough to hide how long one takes.
const CHAINS: usize = 8;
const TURNS: usize = 64;
const UNROLLED: usize = 4;

#[cube(launch)]
fn multiply_add_kernel(out: &mut [Vector<f32, Const<4>>], factor: f32, turns: usize) {
    let mut sums = Array::<Vector<f32, Const<4>>>::new(CHAINS);
    #[unroll]
    for chain in 0..CHAINS {
        sums[chain] = Vector::new(f32::cast_from(ABSOLUTE_POS + chain));
    }
    for _ in 0..turns {
        #[unroll]
        for _ in 0..UNROLLED {
            #[unroll]
            for chain in 0..CHAINS {
                sums[chain] = sums[chain] * Vector::new(factor) + Vector::new(1.0);
            }
        }
    }
    let mut total = sums[0];
    #[unroll]
    for chain in 1..CHAINS {
        total += sums[chain];
    }
    if ABSOLUTE_POS < out.len() {
        out[ABSOLUTE_POS] = total;
    }
}

/// Starts many multiplications and additions; returns how many, counting both.
pub(crate) fn multiply_add(device: &Device) -> f64 {
    let threads = WORKGROUPS * THREADS;
    let out = primitive(Tensor::<1>::empty([4 * threads], device));
    multiply_add_kernel::launch(
        &out.client.clone(),
        CubeCount::Static(WORKGROUPS as u32, 1, 1),
        CubeDim::new_1d(THREADS as u32),
        out.into_buffer_arg(),
        0.5,
        TURNS,
    );
    (threads * TURNS * UNROLLED * CHAINS * 4 * 2) as f64
}
