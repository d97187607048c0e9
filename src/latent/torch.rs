//! The normal numbers of PyTorch's CPU generator: `torch.manual_seed(seed); torch.randn(n)`.
//!
//! Source: ATen/native/cpu/DistributionTemplates.h (`normal_fill`), ATen/core/DistributionsHelper.h and
//! ATen/native/cpu/avx_mathfun.h (Cephes' logarithm, sine and cosine in single precision).
//!
//! From 16 numbers on, PyTorch works in single precision with its own polynomials on processors with AVX2 (AVX-512 takes
//! the same path), and with the platform's functions elsewhere (`ATEN_CPU_CAPABILITY=default`, ARM), whose last bits
//! differ. These are the bits of AVX2 as the published x86-64 packages have them: the compiler fuses multiplications and
//! additions there, and so does this. Numbers of CUDA devices come from another generator altogether.

use std::f64::consts::PI;

use rand_mt::Mt;

/// Numbers that one step of the vectorised transform makes.
const BLOCK: usize = 16;

/// `manual_seed(seed); randn(count)`. PyTorch takes seeds of 64 bits and uses the lower 32.
pub fn randn(seed: u64, count: usize) -> Vec<f32> {
    let mut words = Mt::new(seed as u32);
    if count < BLOCK { doubles(&mut words, count) } else { blocks(&mut words, count) }
}

/// Single precision, in blocks of 16; if numbers are left over, the last 16 are drawn once more.
fn blocks(words: &mut Mt, count: usize) -> Vec<f32> {
    let mut numbers: Vec<f32> = (0..count).map(|_| uniform(words)).collect();
    let (whole, rest) = numbers.as_chunks_mut::<BLOCK>();
    let is_whole = rest.is_empty();
    whole.iter_mut().for_each(transform);
    if let Some(last) = numbers.last_chunk_mut::<BLOCK>().filter(|_| !is_whole) {
        last.fill_with(|| uniform(words));
        transform(last);
    }
    numbers
}

/// Uniform in [0, 1) with 24 bits.
fn uniform(words: &mut Mt) -> f32 {
    (words.next_u32() & 0x00ff_ffff) as f32 / 16_777_216.0
}

/// The Box-Muller transform of 8 pairs: the first half of a block are radii, the second angles.
fn transform(block: &mut [f32; BLOCK]) {
    let (radii, angles) = block.split_at_mut(BLOCK / 2);
    for (radius, angle) in radii.iter_mut().zip(angles) {
        let length = libm::sqrtf(-2.0 * log(1.0 - *radius));
        let (sine, cosine) = sine_cosine(2.0 * PI as f32 * *angle);
        (*radius, *angle) = (length * cosine, length * sine);
    }
}

/// Cephes' logarithm of a number in (0, 1], with the products fused that the compiler fuses.
fn log(x: f32) -> f32 {
    const LN_2: [f32; 2] = [-2.121_944_4e-4, 0.693_359_4];
    const SERIES: [f32; 9] = [
        7.037_683_6e-2,
        -1.151_461e-1,
        0.116769984,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        0.20000714,
        -2.499_999_4e-1,
        3.333_333e-1,
    ];
    let bits = x.to_bits();
    let exponent = (bits >> 23) as i32 - 126;
    let mantissa = f32::from_bits((bits & 0x007f_ffff) | 0x3f00_0000);
    let (exponent, x) = match mantissa < std::f32::consts::FRAC_1_SQRT_2 {
        true => (exponent - 1, (mantissa - 1.0) + mantissa),
        false => (exponent, mantissa - 1.0),
    };
    let exponent = exponent as f32;
    let square = x * x;
    let series = polynomial(&SERIES, x) * x;
    let low = libm::fmaf(series, square, exponent * LN_2[0]);
    let low = libm::fmaf(-square, 0.5, low);
    libm::fmaf(exponent, LN_2[1], x + low)
}

/// Cephes' sine and cosine of an angle from 0 to 2 pi, likewise.
fn sine_cosine(x: f32) -> (f32, f32) {
    const MINUS_QUARTER_PI: [f32; 3] = [-0.785_156_25, -2.418_756_5e-4, -3.774_895e-8];
    const SINE: [f32; 3] = [-1.951_529_6e-4, 8.332_161e-3, -1.666_665_5e-1];
    const COSINE: [f32; 3] = [2.443_315_7e-5, -1.388_731_6e-3, 4.166_664_6e-2];
    let octant = ((x * (4.0 / PI) as f32) as i32 + 1) & !1;
    let x = MINUS_QUARTER_PI.iter().fold(x, |x, part| libm::fmaf(octant as f32, *part, x));
    let square = x * x;
    let cosine = polynomial(&COSINE, square) * square;
    let cosine = libm::fmaf(cosine, square, -(square * 0.5)) + 1.0;
    let sine = polynomial(&SINE, square) * square;
    let sine = libm::fmaf(sine, x, x);
    let (sine, cosine) = if octant & 2 == 0 { (sine, cosine) } else { (cosine, sine) };
    let sine = if octant & 4 == 0 { sine } else { -sine };
    let cosine = if (octant - 2) & 4 == 0 { -cosine } else { cosine };
    (sine, cosine)
}

/// Horner's rule, highest power first, one rounding a step.
fn polynomial(coefficients: &[f32], x: f32) -> f32 {
    coefficients[1..].iter().fold(coefficients[0], |sum, coefficient| libm::fmaf(sum, x, *coefficient))
}

/// Fewer than 16 numbers: double precision, one pair after the other.
fn doubles(words: &mut Mt, count: usize) -> Vec<f32> {
    let mut numbers = Vec::with_capacity(count + 1);
    while numbers.len() < count {
        let (angle, radius) = (2.0 * PI * uniform_double(words), uniform_double(words));
        let length = libm::sqrt(-2.0 * libm::log1p(-radius));
        numbers.extend([(length * libm::cos(angle)) as f32, (length * libm::sin(angle)) as f32]);
    }
    numbers.truncate(count);
    numbers
}

/// Uniform in [0, 1) with 53 bits.
fn uniform_double(words: &mut Mt) -> f64 {
    let (high, low) = (u64::from(words.next_u32()), u64::from(words.next_u32()));
    ((high << 32 | low) & ((1 << 53) - 1)) as f64 / (1u64 << 53) as f64
}
