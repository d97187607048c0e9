//! Sixteen rays at once: a lane type, three-vectors of it, and the few distance functions the scene is made of.

use std::ops::{Add, Mul, Sub};
use wide::f32x16;

/// Sixteen floats, one for each ray of a packet.
pub type F = f32x16;

/// How many rays a packet has.
pub const LANES: usize = 16;

/// The same number in every lane.
#[inline(always)]
pub fn f(x: f32) -> F {
    F::splat(x)
}

/// The smaller of two, lane by lane.
#[inline(always)]
pub fn min(a: F, b: F) -> F {
    a.fast_min(b)
}

/// The larger of two, lane by lane.
#[inline(always)]
pub fn max(a: F, b: F) -> F {
    a.fast_max(b)
}

/// `x` held between two numbers.
#[inline(always)]
pub fn clamp(x: F, low: f32, high: f32) -> F {
    max(min(x, f(high)), f(low))
}

/// A mask of the lanes where `a < b`.
#[inline(always)]
pub fn less(a: F, b: F) -> F {
    a.simd_lt(b)
}

/// A mask of the lanes where `a > b`.
#[inline(always)]
pub fn more(a: F, b: F) -> F {
    a.simd_gt(b)
}

/// `yes` where the mask is set, `no` elsewhere.
#[inline(always)]
pub fn pick(mask: F, yes: F, no: F) -> F {
    mask.bitselect(yes, no)
}

/// 0 below `low`, 1 above `high`, smooth between.
#[inline(always)]
pub fn smoothstep(low: f32, high: f32, x: F) -> F {
    let t = clamp((x - f(low)) * f(1.0 / (high - low)), 0.0, 1.0);
    t * t * (f(3.0) - t - t)
}

/// Union of two distances with a rounded seam of width `k`.
#[inline(always)]
pub fn smooth_min(a: F, b: F, k: f32) -> F {
    let h = max(f(k) - (a - b).abs(), f(0.0));
    min(a, b) - h * h * f(0.25 / k)
}

/// Intersection of two distances with a rounded edge of width `k`.
#[inline(always)]
pub fn smooth_max(a: F, b: F, k: f32) -> F {
    let h = max(f(k) - (a - b).abs(), f(0.0));
    max(a, b) + h * h * f(0.25 / k)
}

/// A wave like the sine of `2 pi x`, of two parabolas: the same bits on every machine, and cheap.
#[inline(always)]
pub fn wave(x: F) -> F {
    let t = x - x.round();
    t * (f(8.0) - f(16.0) * t.abs())
}

/// A vector for each ray.
#[derive(Clone, Copy)]
pub struct V3 {
    /// To the right.
    pub x: F,
    /// Up.
    pub y: F,
    /// Towards the camera.
    pub z: F,
}

/// The same vector for every ray.
#[inline(always)]
pub fn v([x, y, z]: [f32; 3]) -> V3 {
    V3 { x: f(x), y: f(y), z: f(z) }
}

impl Add for V3 {
    type Output = V3;
    #[inline(always)]
    fn add(self, o: V3) -> V3 {
        V3 { x: self.x + o.x, y: self.y + o.y, z: self.z + o.z }
    }
}

impl Sub for V3 {
    type Output = V3;
    #[inline(always)]
    fn sub(self, o: V3) -> V3 {
        V3 { x: self.x - o.x, y: self.y - o.y, z: self.z - o.z }
    }
}

impl Mul<F> for V3 {
    type Output = V3;
    #[inline(always)]
    fn mul(self, s: F) -> V3 {
        V3 { x: self.x * s, y: self.y * s, z: self.z * s }
    }
}

impl Mul<V3> for V3 {
    type Output = V3;
    #[inline(always)]
    fn mul(self, o: V3) -> V3 {
        V3 { x: self.x * o.x, y: self.y * o.y, z: self.z * o.z }
    }
}

impl V3 {
    /// The scalar product.
    #[inline(always)]
    pub fn dot(self, o: V3) -> F {
        self.x * o.x + self.y * o.y + self.z * o.z
    }

    /// The length.
    #[inline(always)]
    pub fn length(self) -> F {
        self.dot(self).sqrt()
    }

    /// The vector of length one in this direction.
    #[inline(always)]
    pub fn unit(self) -> V3 {
        self * (f(1.0) / (self.length() + f(1e-9)))
    }

    /// Mirrored to the right half: what is modelled once is there on both sides.
    #[inline(always)]
    pub fn mirrored(self) -> V3 {
        V3 { x: self.x.abs(), ..self }
    }

    /// `self` at `t = 0`, `o` at `t = 1`.
    #[inline(always)]
    pub fn mix(self, o: V3, t: F) -> V3 {
        self + (o - self) * t
    }

    /// `yes` where the mask is set, `no` elsewhere.
    #[inline(always)]
    pub fn pick(mask: F, yes: V3, no: V3) -> V3 {
        V3 { x: pick(mask, yes.x, no.x), y: pick(mask, yes.y, no.y), z: pick(mask, yes.z, no.z) }
    }
}

/// Three rows of a rotation (or any 3 by 3) matrix.
pub type Matrix = [[f32; 3]; 3];

/// `m` times `p`.
#[inline(always)]
pub fn turn(m: &Matrix, p: V3) -> V3 {
    V3 { x: v(m[0]).dot(p), y: v(m[1]).dot(p), z: v(m[2]).dot(p) }
}

/// Distance to a ball.
#[inline(always)]
pub fn ball(p: V3, centre: [f32; 3], radius: f32) -> F {
    (p - v(centre)).length() - f(radius)
}

/// Distance (a good estimate of it) to an ellipsoid at the origin with these half axes.
#[inline(always)]
pub fn ellipsoid(p: V3, [a, b, c]: [f32; 3]) -> F {
    let q = p * v([1.0 / a, 1.0 / b, 1.0 / c]);
    let g = q * v([1.0 / a, 1.0 / b, 1.0 / c]);
    let k = q.length();
    k * (k - f(1.0)) / (g.length() + f(1e-6))
}

/// Distance to a thick line from `a` to `b`.
#[inline(always)]
pub fn capsule(p: V3, a: [f32; 3], b: [f32; 3], radius: f32) -> F {
    let d = [b[0] - a[0], b[1] - a[1], b[2] - a[2]];
    let scale = 1.0 / (d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
    let q = p - v(a);
    let h = clamp(q.dot(v(d)) * f(scale), 0.0, 1.0);
    (q - v(d) * h).length() - f(radius)
}

/// Distance to a rectangle with rounded corners, from two coordinates measured from its middle.
#[inline(always)]
pub fn round_box(x: F, y: F, half_x: f32, half_y: f32, radius: f32) -> F {
    let a = x.abs() - f(half_x - radius);
    let b = y.abs() - f(half_y - radius);
    let (p, q) = (max(a, f(0.0)), max(b, f(0.0)));
    (p * p + q * q).sqrt() + min(max(a, b), f(0.0)) - f(radius)
}
