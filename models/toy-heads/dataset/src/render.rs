//! From a head to a picture: rays are marched sixteen at a time, and pixels at edges get four more of them.

use crate::factors::Factors;
use crate::lanes::*;
use crate::scene::Scene;
use crate::shade::{Look, Spot, to_screen};

/// Distance of the camera from the middle of the head.
const CAMERA: f32 = 6.5;
/// Half the height of what the picture shows, at the middle of the head.
const HALF_VIEW: f32 = 1.29;
/// The height of the picture's middle.
const VIEW_Y: f32 = 0.06;
/// All there is to see lies between these two depths.
const DEPTHS: [f32; 2] = [1.5, -1.0];
/// Where a pixel's four extra rays pass, from its middle, in pixels.
const OFFSETS: [[f32; 2]; 4] = [[-0.125, -0.375], [0.375, -0.125], [-0.375, 0.125], [0.125, 0.375]];
/// A pixel that differs this much (of 255) from a neighbour gets the extra rays.
const EDGE: f32 = 7.0;

/// The screen colours (0 to 255) seen through the picture's points (x, y), each from -1 to 1.
#[inline(never)]
fn look_at(scene: &Scene, look: &Look, x: F, y: F) -> V3 {
    let origin = [0.0, VIEW_Y, CAMERA];
    let ray = (V3 { x: x * f(HALF_VIEW), y: y * f(HALF_VIEW), z: f(-CAMERA) }).unit();
    let per_depth = f(-1.0) / ray.z;
    let mut t = f(CAMERA - DEPTHS[0]) * per_depth;
    let end = f(CAMERA - DEPTHS[1]) * per_depth;
    let mut near = scene.near(v(origin) + ray * t);
    for _ in 0..56 {
        let going = more(near.distance, f(0.003)) & less(t, end);
        if !going.any() {
            break;
        }
        t += pick(going, near.distance * f(0.8), f(0.0));
        near = scene.near(v(origin) + ray * t);
    }
    let hit = less(near.distance, f(0.02)) & less(t, end);
    let backdrop = look.backdrop(x, y);
    if !hit.any() {
        return to_screen(backdrop);
    }
    let at = v(origin) + ray * t;
    let normal = normal(scene, at);
    let (open, shade) = (openness(scene, at, normal), shadow(scene, look, at, normal));
    let colour = look.surface(scene, Spot { world: at, normal, view: ray, part: near.part, open, shade });
    to_screen(V3::pick(hit, colour, backdrop))
}

/// The outward normal, from the distances at the corners of a small tetrahedron.
#[inline(always)]
fn normal(scene: &Scene, at: V3) -> V3 {
    let mut n = v([0.0; 3]);
    for corner in [[1.0, -1.0, -1.0], [-1.0, -1.0, 1.0], [-1.0, 1.0, -1.0], [1.0, 1.0, 1.0]] {
        n = n + v(corner) * scene.near(at + v(corner) * f(0.008)).distance;
    }
    n.unit()
}

/// How open to the sky a point is: less in corners, where the distance grows slower than the way outwards.
#[inline(always)]
fn openness(scene: &Scene, at: V3, normal: V3) -> F {
    let mut closed = f(0.0);
    for (way, weight) in [(0.06, 3.0), (0.15, 1.6), (0.32, 0.9)] {
        let d = scene.near(at + normal * f(way)).distance;
        closed += max(f(way) - d, f(0.0)) * f(weight);
    }
    clamp(f(1.0) - closed, 0.15, 1.0)
}

/// How much of the key light, a wide lamp, reaches a point.
#[inline(always)]
fn shadow(scene: &Scene, look: &Look, at: V3, normal: V3) -> F {
    let start = at + normal * f(0.03);
    let mut light = f(1.0);
    let mut t = f(0.06);
    for _ in 0..7 {
        let d = scene.near(start + v(look.key()) * t).distance;
        light = min(light, f(0.5) + f(0.5) * f(5.0) * d / t);
        t += clamp(d, 0.06, 0.3);
    }
    let s = clamp(light, 0.0, 1.0);
    s * s * (f(3.0) - s - s)
}

/// Renders a head: `size * size` pixels of red, green and blue, from the top left.
pub fn render(factors: Factors, size: usize, out: &mut [u8]) {
    assert_eq!(out.len(), size * size * 3);
    let scene = Scene::new(factors);
    let look = Look::new(&scene);
    let step = 2.0 / size as f32;
    let point = |i: usize, j: usize, [dx, dy]: [f32; 2]| {
        ((i as f32 + 0.5 + dx) * step - 1.0, 1.0 - (j as f32 + 0.5 + dy) * step)
    };
    let mut picture = vec![[0f32; 3]; size * size];

    // one ray through the middle of each pixel, in blocks of four by four
    for block in 0..size.div_ceil(4) * size.div_ceil(4) {
        let (bi, bj) = (block % size.div_ceil(4) * 4, block / size.div_ceil(4) * 4);
        let (mut x, mut y) = ([0.0; LANES], [0.0; LANES]);
        for k in 0..LANES {
            (x[k], y[k]) = point(bi + k % 4, bj + k / 4, [0.0, 0.0]);
        }
        let c = look_at(&scene, &look, x.into(), y.into());
        let (r, g, b) = (c.x.to_array(), c.y.to_array(), c.z.to_array());
        for k in 0..LANES {
            let (i, j) = (bi + k % 4, bj + k / 4);
            if i < size && j < size {
                picture[j * size + i] = [r[k], g[k], b[k]];
            }
        }
    }

    let differ = |a: usize, b: usize| (0..3).any(|k| (picture[a][k] - picture[b][k]).abs() > EDGE);
    let mut edges = Vec::new();
    for j in 0..size {
        for i in 0..size {
            let at = j * size + i;
            if (i > 0 && differ(at, at - 1))
                || (i + 1 < size && differ(at, at + 1))
                || (j > 0 && differ(at, at - size))
                || (j + 1 < size && differ(at, at + size))
            {
                edges.push(at);
            }
        }
    }
    for group in edges.chunks(LANES / 4) {
        let (mut x, mut y) = ([0.0; LANES], [0.0; LANES]);
        for k in 0..LANES {
            let at = group[(k / 4).min(group.len() - 1)];
            (x[k], y[k]) = point(at % size, at / size, OFFSETS[k % 4]);
        }
        let c = look_at(&scene, &look, x.into(), y.into());
        let channels = [c.x.to_array(), c.y.to_array(), c.z.to_array()];
        for (k, &at) in group.iter().enumerate() {
            for (channel, values) in channels.iter().enumerate() {
                picture[at][channel] = values[4 * k..4 * k + 4].iter().sum::<f32>() * 0.25;
            }
        }
    }
    for (pixel, colour) in out.chunks_exact_mut(3).zip(&picture) {
        for k in 0..3 {
            pixel[k] = (colour[k] + 0.5) as u8;
        }
    }
}
