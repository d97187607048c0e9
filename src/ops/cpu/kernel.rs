//! The inner loop of every convolution on the CPU: sums over input channels and taps, kept in vector registers.
//!
//! It computes 8 output channels for a run of consecutive positions in a zero-bordered picture. Positions run across row
//! ends, so one loop serves every width; what falls on the border is never read. Weights are packed so that the 8 values
//! of one (input, tap) lie together. Compiled for AVX-512, AVX2 with FMA, and plain code, in single and in double precision;
//! the processor is asked once.

#![expect(
    unsafe_code,
    reason = "pointers into slices whose every index `check` has bounded, and instructions that the processor said it has"
)]

use std::ops::{Add, Mul};
use std::sync::LazyLock;

/// Output channels per call.
pub(super) const OUTPUTS: usize = 8;
/// Positions are computed in multiples of this many; buffers have to be as long.
pub(super) const POSITIONS: usize = 32;

/// Input planes and the taps that are summed.
pub(super) struct Input<'a, T = f32> {
    pub values: &'a [T],
    /// Distance between the planes of two channels.
    pub plane: usize,
    pub channels: usize,
    /// Index of the first position within a plane.
    pub first: usize,
    /// Where each tap reads, relative to the position.
    pub taps: &'a [isize],
}

/// `sums[o * stride + p] = sum over channels c and taps t of values[c * plane + first + p + taps[t]] * weights[c][t][o]`
/// for 8 outputs o and `positions` (rounded up to [`POSITIONS`]) positions p.
pub(super) fn accumulate<T: Scalar>(input: &Input<T>, weights: &[T], sums: &mut [T], stride: usize, positions: usize) {
    let positions = positions.next_multiple_of(POSITIONS);
    check(input, [weights.len(), OUTPUTS], [sums.len(), OUTPUTS], stride, positions);
    // SAFETY: the assertions above bound every index that the kernels form, and the kernel was chosen by asking the
    // processor for the features that it was compiled with.
    unsafe { T::kernel()(input, weights, OUTPUTS, sums, stride, positions) }
}

/// The same for any number of outputs, as many as `sums` has rows of `stride`; `stride` positions, a multiple of
/// [`POSITIONS`]. It pays where outputs are few.
pub(super) fn accumulate_few(input: &Input, weights: &[f32], sums: &mut [f32], stride: usize) {
    let outputs = sums.len() / stride;
    assert!(stride.is_multiple_of(POSITIONS), "a part of a vector");
    check(input, [weights.len(), outputs], [sums.len(), outputs], stride, stride);
    let mut first = 0;
    for (together, kernel) in FEW.iter() {
        while first + together <= outputs {
            let (weights, sums) = (&weights[first..], &mut sums[first * stride..]);
            // SAFETY: as above; the outputs before `first` are cut off from both.
            unsafe { kernel(input, weights, outputs, sums, stride, stride) }
            first += together;
        }
    }
}

/// Bounds every index that the kernels form.
fn check<T>(
    input: &Input<T>,
    [weights, weight_stride]: [usize; 2],
    [sums, outputs]: [usize; 2],
    stride: usize,
    positions: usize,
) {
    // `(count - 1) * each + rest`, where that is a number.
    let end = |count: usize, each: usize, rest: usize| count.checked_sub(1)?.checked_mul(each)?.checked_add(rest);
    let last = input.first.checked_add(positions).and_then(|rest| end(input.channels, input.plane, rest));
    let room = last.and_then(|last| input.values.len().checked_sub(last));
    let room = room.and_then(|room| room.try_into().ok()).expect("fewer values than positions");
    let lowest = -(input.first as isize);
    assert!(input.taps.iter().all(|tap| (lowest..=room).contains(tap)), "a tap outside the values");
    let read = input.channels.checked_mul(input.taps.len()).and_then(|taps| taps.checked_mul(weight_stride));
    assert!(read.is_some_and(|read| read <= weights), "too few weights");
    assert!(end(outputs, stride, positions).is_some_and(|end| end <= sums), "too little room for the sums");
}

/// Takes the input, the weights and their number for each tap, the sums and their stride, and the number of positions.
type Kernel<T> = unsafe fn(&Input<T>, &[T], usize, &mut [T], usize, usize);

/// Numbers that there are kernels for.
pub(super) trait Scalar: Sized + 'static {
    fn kernel() -> Kernel<Self>;
}

/// Takes the first of the kernels that this processor can run.
macro_rules! choose {
    ($avx512:expr, $avx2:expr, $portable:expr) => {
        LazyLock::new(|| {
            #[cfg(target_arch = "x86_64")]
            {
                if is_x86_feature_detected!("avx512f") {
                    return $avx512;
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    return $avx2;
                }
            }
            $portable
        })
    };
}

impl Scalar for f32 {
    fn kernel() -> Kernel<Self> {
        static KERNEL: LazyLock<Kernel<f32>> = choose!(avx512::<8, 8>, avx2::<4, 8>, portable::<4, 8>);
        *KERNEL
    }
}

impl Scalar for f64 {
    fn kernel() -> Kernel<Self> {
        static KERNEL: LazyLock<Kernel<f64>> =
            choose!(avx512_double::<8, 8>, avx2_double::<4, 8>, portable_double::<4, 8>);
        *KERNEL
    }
}

/// Kernels of 4, 2 and 1 outputs.
static FEW: LazyLock<[(usize, Kernel<f32>); 3]> = choose!(
    [(4, avx512::<4, 4>), (2, avx512::<2, 2>), (1, avx512::<1, 1>)],
    [(4, avx2::<4, 4>), (2, avx2::<2, 2>), (1, avx2::<1, 1>)],
    [(4, portable::<4, 4>), (2, portable::<2, 2>), (1, portable::<1, 1>)]
);

/// One kernel: of its outputs `TOGETHER`, and `$vectors` vectors of positions, are summed at a time, as many as there are
/// registers.
macro_rules! kernel {
    ($(#[$attribute:meta])* $name:ident, $scalar:ty, $vector:ty, lanes $lanes:literal x $vectors:literal,
     $zero:expr, $load:expr, $store:expr, $splat:expr, $multiply_add:expr) => {
        $(#[$attribute])*
        unsafe fn $name<const TOGETHER: usize, const OUTPUTS: usize>(
            input: &Input<$scalar>,
            weights: &[$scalar],
            weight_stride: usize,
            sums: &mut [$scalar],
            stride: usize,
            positions: usize,
        ) {
            // SAFETY: `check` has seen that all indices formed here are in range: positions run below the
            // rounded `positions`, a multiple of `$vectors * $lanes`.
            unsafe {
                for position in (0..positions).step_by($vectors * $lanes) {
                    for output in (0..OUTPUTS).step_by(TOGETHER) {
                        let mut sum: [[$vector; $vectors]; TOGETHER] = [[$zero; $vectors]; TOGETHER];
                        let mut weight = weights.as_ptr().add(output);
                        for channel in 0..input.channels {
                            let base = input.values.as_ptr().add(channel * input.plane + input.first + position);
                            for &tap in input.taps {
                                let from = base.offset(tap);
                                let mut value: [$vector; $vectors] = [$zero; $vectors];
                                for n in 0..$vectors {
                                    value[n] = $load(from.add(n * $lanes));
                                }
                                for o in 0..TOGETHER {
                                    let factor = $splat(*weight.add(o));
                                    for n in 0..$vectors {
                                        sum[o][n] = $multiply_add(factor, value[n], sum[o][n]);
                                    }
                                }
                                weight = weight.add(weight_stride);
                            }
                        }
                        for o in 0..TOGETHER {
                            for n in 0..$vectors {
                                let to = sums.as_mut_ptr().add((output + o) * stride + position + n * $lanes);
                                $store(to, sum[o][n]);
                            }
                        }
                    }
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64 as x86;

#[cfg(target_arch = "x86_64")]
kernel!(
    #[target_feature(enable = "avx512f")]
    avx512, f32, x86::__m512, lanes 16 x 2,
    x86::_mm512_setzero_ps(), x86::_mm512_loadu_ps, x86::_mm512_storeu_ps, x86::_mm512_set1_ps, x86::_mm512_fmadd_ps
);

#[cfg(target_arch = "x86_64")]
kernel!(
    #[target_feature(enable = "avx2,fma")]
    avx2, f32, x86::__m256, lanes 8 x 2,
    x86::_mm256_setzero_ps(), x86::_mm256_loadu_ps, x86::_mm256_storeu_ps, x86::_mm256_set1_ps, x86::_mm256_fmadd_ps
);

#[cfg(target_arch = "x86_64")]
kernel!(
    #[target_feature(enable = "avx512f")]
    avx512_double, f64, x86::__m512d, lanes 8 x 2,
    x86::_mm512_setzero_pd(), x86::_mm512_loadu_pd, x86::_mm512_storeu_pd, x86::_mm512_set1_pd, x86::_mm512_fmadd_pd
);

#[cfg(target_arch = "x86_64")]
kernel!(
    #[target_feature(enable = "avx2,fma")]
    avx2_double, f64, x86::__m256d, lanes 4 x 2,
    x86::_mm256_setzero_pd(), x86::_mm256_loadu_pd, x86::_mm256_storeu_pd, x86::_mm256_set1_pd, x86::_mm256_fmadd_pd
);

// Arrays, which compilers turn into SSE2 or NEON registers.
kernel!(portable, f32, [f32; 4], lanes 4 x 2, [0.0; 4], load_array, store_array, splat_array, multiply_add_array);
kernel!(portable_double, f64, [f64; 2], lanes 2 x 2, [0.0; 2], load_array, store_array, splat_array, multiply_add_array);

unsafe fn load_array<T: Copy, const N: usize>(from: *const T) -> [T; N] {
    // SAFETY: the caller hands a pointer to at least as many values; the read asks for no alignment.
    unsafe { from.cast::<[T; N]>().read_unaligned() }
}

unsafe fn store_array<T: Copy, const N: usize>(to: *mut T, values: [T; N]) {
    // SAFETY: as for `load_array`.
    unsafe { to.cast::<[T; N]>().write_unaligned(values) }
}

fn splat_array<T: Copy, const N: usize>(value: T) -> [T; N] {
    [value; N]
}

fn multiply_add_array<T: Copy + Mul<Output = T> + Add<Output = T>, const N: usize>(
    a: [T; N],
    b: [T; N],
    c: [T; N],
) -> [T; N] {
    // Two roundings: one would be a slow call where the processor has no such instruction.
    std::array::from_fn(|i| a[i] * b[i] + c[i])
}

/// Defines a function that is compiled for each vector extension; a call asks the processor which one it has. The body is
/// plain code over slices, from which the compiler makes vector instructions.
macro_rules! widest {
    ($(#[$attribute:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$attribute])*
        #[cfg_attr(
            target_arch = "x86_64",
            expect(unsafe_code, reason = "calls what is compiled for instructions that the processor has just said it has")
        )]
        $visibility fn $name($($argument: $type),*) {
            #[inline(always)]
            fn plain($($argument: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx2,fma")]
                fn avx512($($argument: $type),*) {
                    plain($($argument),*);
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2($($argument: $type),*) {
                    plain($($argument),*);
                }
                if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
                    // SAFETY: the processor has just said that it has these instructions.
                    return unsafe { avx512($($argument),*) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: as above.
                    return unsafe { avx2($($argument),*) };
                }
            }
            plain($($argument),*);
        }
    };
}

pub(super) use widest;

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Copy + From<f32> + Into<f64>>(outputs: usize, kernel: Kernel<T>) {
        let (channels, plane, positions, stride) = (3, 200, 96, 128);
        let values: Vec<T> = (0..channels * plane).map(|i| (((i * 31 % 67) as f32 - 33.0) / 16.0).into()).collect();
        let taps = [-11, -10, 0, 1, 12];
        let weights: Vec<T> =
            (0..channels * taps.len() * outputs).map(|i| (((i * 17 % 23) as f32 - 11.0) / 8.0).into()).collect();
        let input = Input { values: &values, plane, channels, first: 20, taps: &taps };
        let mut sums = vec![T::from(f32::NAN); outputs * stride];
        // SAFETY: all indices are in range, and the caller asked the processor.
        unsafe { kernel(&input, &weights, outputs, &mut sums, stride, positions) };
        for o in 0..outputs {
            for p in 0..positions {
                let mut expected = 0.0;
                for c in 0..channels {
                    for (t, tap) in taps.iter().enumerate() {
                        let value: f64 = values[(c * plane + 20 + p).checked_add_signed(*tap).unwrap()].into();
                        let weight: f64 = weights[(c * taps.len() + t) * outputs + o].into();
                        expected += value * weight;
                    }
                }
                // Multiples of 1/128 below 2^16 have no rounding.
                assert_eq!(sums[o * stride + p].into(), expected, "output {o}, position {p}");
            }
        }
    }

    fn check_few(kernels: [Kernel<f32>; 3]) {
        [4, 2, 1].into_iter().zip(kernels).for_each(|(outputs, kernel)| check(outputs, kernel));
    }

    #[test]
    #[should_panic(expected = "fewer values than positions")]
    fn sizes_that_wrap_are_not_taken_for_small_ones() {
        let input = Input { values: &[0.0; 64], plane: usize::MAX / 2 + 1, channels: 3, first: 0, taps: &[0] };
        super::check(&input, [3 * OUTPUTS, OUTPUTS], [OUTPUTS * POSITIONS, OUTPUTS], POSITIONS, POSITIONS);
    }

    #[test]
    fn every_kernel_of_this_processor_sums_exactly() {
        check(8, portable::<4, 8>);
        check_few([portable::<4, 4>, portable::<2, 2>, portable::<1, 1>]);
        check(8, portable_double::<4, 8>);
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                check(8, avx2::<4, 8>);
                check_few([avx2::<4, 4>, avx2::<2, 2>, avx2::<1, 1>]);
                check(8, avx2_double::<4, 8>);
            }
            if is_x86_feature_detected!("avx512f") {
                check(8, avx512::<8, 8>);
                check_few([avx512::<4, 4>, avx512::<2, 2>, avx512::<1, 1>]);
                check(8, avx512_double::<8, 8>);
            }
        }
    }
}
