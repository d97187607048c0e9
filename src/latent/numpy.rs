//! The normal numbers of NumPy's `RandomState(seed).randn(n)`: frozen by NumPy for ever (its "legacy" generator).
//!
//! Source: numpy/random/src/legacy/legacy-distributions.c (`legacy_gauss`) and src/mt19937 of NumPy. Computed in double
//! precision there and here; the logarithm is libm's, so the last bit of a double may differ, and of six
//! million float32 numbers none did.

use rand_mt::Mt;

/// `RandomState(seed).randn(count)` as float32.
pub fn randn(seed: u32, count: usize) -> Vec<f32> {
    let mut words = Mt::new(seed);
    let mut numbers = Vec::with_capacity(count + 1);
    while numbers.len() < count {
        let (first, second) = polar_pair(&mut words);
        numbers.extend([first as f32, second as f32]);
    }
    numbers.truncate(count);
    numbers
}

/// Uniform in [0, 1) with 53 bits.
pub fn uniform(words: &mut Mt) -> f64 {
    let (high, low) = (words.next_u32() >> 5, words.next_u32() >> 6);
    (f64::from(high) * 67_108_864.0 + f64::from(low)) / 9_007_199_254_740_992.0
}

/// Marsaglia's polar method; the second number of the pair is handed out first, the other one is kept for the next call.
fn polar_pair(words: &mut Mt) -> (f64, f64) {
    loop {
        let x = 2.0 * uniform(words) - 1.0;
        let y = 2.0 * uniform(words) - 1.0;
        let square = x * x + y * y;
        if square < 1.0 && square != 0.0 {
            let factor = libm::sqrt(-2.0 * libm::log(square) / square);
            return (factor * y, factor * x);
        }
    }
}
