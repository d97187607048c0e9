//! The truncated normal numbers of SciPy's `truncnorm.rvs(-2, 2, size=n, random_state=RandomState(seed))`, which Hugging
//! Face's BigGAN draws its z from.
//!
//! Source: scipy/stats/_continuous_distns.py (`truncnorm_gen._ppf`) and xsf's `ndtri_exp`, whose rational functions are
//! Cephes' `ndtri`. Double precision, then float32.

use std::f64::consts::PI;

use rand_mt::Mt;

use super::numpy::uniform;

/// Logarithm of the normal distribution function at -2.
const LOG_BELOW: f64 = -3.783_184_333_682_031_7;
/// Logarithm of the mass between -2 and 2.
const LOG_MASS: f64 = -0.046_567_912_292_390_136;

/// `count` standard normal numbers within -2..=2, float32.
pub fn truncated_normal(seed: u32, count: usize) -> Vec<f32> {
    let mut words = Mt::new(seed);
    (0..count).map(|_| quantile(uniform(&mut words)) as f32).collect()
}

/// The number below which a share `q` of the truncated distribution lies.
fn quantile(q: f64) -> f64 {
    if q <= 0.0 {
        return -2.0;
    }
    // log(Phi(-2) + q * mass), as SciPy sums in logarithms.
    let (a, b) = (LOG_BELOW, libm::log(q) + LOG_MASS);
    let (larger, smaller) = if a > b { (a, b) } else { (b, a) };
    normal_quantile_of_log(larger + libm::log1p(libm::exp(smaller - larger)))
}

/// The normal quantile of exp(y), for -3.8 <= y <= -0.02.
fn normal_quantile_of_log(y: f64) -> f64 {
    if y < -2.0 {
        return -tail(libm::sqrt(-2.0 * y));
    }
    let p = libm::exp(y);
    if p > 1.0 - libm::exp(-2.0) {
        return tail(libm::sqrt(-2.0 * libm::log(1.0 - p)));
    }
    const P: [f64; 5] = [
        -59.963_350_101_410_79,
        98.001_075_418_599_97,
        -56.676_285_746_907_03,
        13.931_260_938_727_968,
        -1.2391658386738125,
    ];
    const Q: [f64; 9] = [
        1.0,
        1.954_488_583_381_417_6,
        4.676_279_128_988_815,
        86.36024213908905,
        -225.462_687_854_119_37,
        200.260_212_380_060_66,
        -82.037_225_616_833_34,
        15.905_622_512_621_17,
        -1.183_316_211_213_3,
    ];
    let y = p - 0.5;
    let square = y * y;
    let x = y + y * (square * polynomial(&P, square) / polynomial(&Q, square));
    x * libm::sqrt(2.0 * PI)
}

/// The quantile of exp(-x^2 / 2) in the upper tail, for 2 <= x < 8.
fn tail(x: f64) -> f64 {
    const P: [f64; 9] = [
        4.0554489230596245,
        31.525_109_459_989_388,
        57.162_819_224_642_13,
        44.080_507_389_320_08,
        14.684_956_192_885_803,
        2.186_633_068_507_902_5,
        -0.140_256_079_171_354_5,
        -0.035_042_462_682_784_82,
        -8.574_567_851_546_854e-4,
    ];
    const Q: [f64; 9] = [
        1.0,
        15.779_988_325_646_675,
        45.390_763_512_887_92,
        41.317_203_825_467_2,
        15.042_538_569_290_75,
        2.504_649_462_083_094,
        -0.14218292285478779,
        -0.038_080_640_769_157_83,
        -9.332_594_808_954_574e-4,
    ];
    let z = 1.0 / x;
    x - libm::log(x) / x - z * polynomial(&P, z) / polynomial(&Q, z)
}

/// Horner's rule, highest power first.
fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().fold(0.0, |sum, coefficient| sum * x + coefficient)
}
