//! The shape of a head: a signed distance to it, and which part is nearest.
//!
//! Head space: the origin is the middle of the head, x to the right of the picture, y up, z out of the face; the head is about
//! 1.7 high. The body stands in its own space, turned less than the head.

use crate::factors::Factors;
use crate::lanes::*;

/// What a point of the surface belongs to.
pub mod part {
    /// Skin: head, ears, nose, neck; the mouth is painted into it.
    pub const SKIN: f32 = 0.0;
    /// Hair.
    pub const HAIR: f32 = 1.0;
    /// Eye balls; iris and pupil are painted on them.
    pub const EYE: f32 = 2.0;
    /// Eye lids.
    pub const LID: f32 = 3.0;
    /// Brows.
    pub const BROW: f32 = 4.0;
    /// Hat.
    pub const HAT: f32 = 5.0;
    /// Cuff, band or pompom of a hat.
    pub const TRIM: f32 = 6.0;
    /// Frame of the glasses.
    pub const FRAME: f32 = 7.0;
    /// Ear rings.
    pub const GOLD: f32 = 8.0;
    /// Shirt.
    pub const SHIRT: f32 = 9.0;
    /// Collar, and ribbons of pigtails.
    pub const COLLAR: f32 = 10.0;
    /// Beard.
    pub const BEARD: f32 = 11.0;
}

/// The nearest part so far and its distance.
#[derive(Clone, Copy)]
pub struct Near {
    /// Signed distance.
    pub distance: F,
    /// One of [`part`].
    pub part: F,
}

impl Near {
    #[inline(always)]
    fn add(&mut self, distance: F, part: f32) {
        self.part = pick(less(distance, self.distance), f(part), self.part);
        self.distance = min(self.distance, distance);
    }
}

/// A head with all its measures worked out.
pub struct Scene {
    /// The factors it was made of.
    pub is: Factors,
    /// World to head space.
    pub head: Matrix,
    body: Matrix,
    skull: [f32; 3],
    jaw: [f32; 3],
    /// Middle of the right eye of the picture, head space.
    pub eye: [f32; 3],
    /// Half axes of an eye ball.
    pub eye_axes: [f32; 3],
    upper_lid: [f32; 2],
    lower_lid: [f32; 2],
    brow: [[f32; 3]; 3],
    brow_thick: f32,
    nose: [f32; 3],
    ear: [f32; 3],
    hair: Hair,
    /// Half width of the mouth.
    pub mouth_width: f32,
    /// How far the mouth is open, 0 to 1.
    pub mouth_open: f32,
    ring: [f32; 3],
    ring_radius: f32,
}

struct Hair {
    thick: f32,
    bottom: f32,
    slope: f32,
    stretch: f32,
    fringe: f32,
    open: f32,
    bumps: f32,
    locks: f32,
}

/// Where the mouth is: height of its middle.
pub const MOUTH_Y: f32 = -0.46;
const EYE_Y: f32 = -0.06;
const SKULL_Y: f32 = 0.1;
/// How far the line of a hat leans back: sine and cosine.
const HAT_LEAN: [f32; 2] = [0.26, 0.966];
const HAT_Y: f32 = 0.27;

fn rotation(yaw: f32, pitch: f32, roll: f32) -> Matrix {
    let ((sy, cy), (sp, cp), (sr, cr)) = (yaw.sin_cos(), pitch.sin_cos(), roll.sin_cos());
    let product = |a: Matrix, b: Matrix| -> Matrix {
        std::array::from_fn(|i| std::array::from_fn(|j| (0..3).map(|k| a[i][k] * b[k][j]).sum()))
    };
    let about_y = [[cy, 0.0, -sy], [0.0, 1.0, 0.0], [sy, 0.0, cy]];
    let about_x = [[1.0, 0.0, 0.0], [0.0, cp, sp], [0.0, -sp, cp]];
    let about_z = [[cr, sr, 0.0], [-sr, cr, 0.0], [0.0, 0.0, 1.0]];
    product(about_y, product(about_x, about_z))
}

impl Scene {
    /// Works out the measures of a head.
    pub fn new(is: Factors) -> Self {
        let w = is.head_width;
        let curl = ((is.curl - 0.45) / 0.55).max(0.0);
        let lid = |degrees: f32| -> [f32; 2] { degrees.to_radians().sin_cos().into() };
        let mut scene = Self {
            is,
            head: rotation(is.yaw, -is.pitch, is.roll),
            body: rotation(0.3 * is.yaw, 0.0, 0.0),
            skull: [0.74 * w, 0.74 * is.head_height, 0.73],
            jaw: [0.53 * w * is.jaw_width, 0.45 * is.head_height, 0.52],
            eye: [0.275 * w * is.eye_spacing, EYE_Y, 0.0],
            eye_axes: [0.182, 0.215, 0.155].map(|a| a * is.eye_size),
            upper_lid: lid(18.0 + 55.0 * (is.eye_open - 0.4) / 0.6),
            lower_lid: lid(72.0 - 14.0 * is.smile.max(0.0)),
            brow: [[0.0; 3]; 3],
            brow_thick: 0.026 + 0.024 * is.brow_thickness,
            nose: [0.0, -0.22, 0.0],
            ear: [0.0, -0.1, -0.03],
            hair: Hair {
                thick: 0.07 + if is.hat() { 0.05 } else { 0.15 } * is.hair_volume + 0.03 * curl,
                bottom: 0.12 - 1.2 * is.hair_length,
                slope: (0.6 - 1.2 * is.hair_length).max(0.0),
                stretch: 0.75 * is.hair_length,
                fringe: 0.62 - 0.36 * is.fringe,
                open: 0.6 * w,
                bumps: 0.034 * curl.min(0.8) / 0.8,
                locks: 0.03 * (1.0 - curl),
            },
            mouth_width: 0.25 * is.mouth_width * w,
            mouth_open: ((is.mouth_open - 0.35) / 0.65).max(0.0),
            ring: [0.0; 3],
            ring_radius: 0.245 + 0.05 * (is.eye_size - 1.0),
        };
        scene.eye[2] = scene.front(scene.eye[0], EYE_Y) - 0.45 * scene.eye_axes[2];
        scene.nose[2] = scene.front(0.0, scene.nose[1]) + 0.02;
        scene.ear[0] = scene.side(scene.ear[1], scene.ear[2]) + 0.03;
        let (x, y) = (scene.eye[0], EYE_Y + scene.eye_axes[1] + 0.05 + 0.13 * is.brow_height);
        let tilt = 0.055 * (is.brow_angle - 0.35);
        scene.brow = [(x - 0.14, y - tilt - 0.01), (x + 0.005, y + 0.026), (x + 0.15, y + tilt - 0.02)]
            .map(|(x, y)| [x, y, scene.front(x, y) + 0.01]);
        scene.ring = [x, EYE_Y - 0.01, scene.front(x, EYE_Y) + 0.075];
        scene
    }

    /// Where, on a line from inside, the bare head ends.
    fn edge(&self, at: impl Fn(f32) -> [f32; 3]) -> f32 {
        let (mut inside, mut outside) = (0.0, 1.5);
        for _ in 0..16 {
            let middle = 0.5 * (inside + outside);
            if self.bare(v(at(middle))).to_array()[0] < 0.0 { inside = middle } else { outside = middle }
        }
        inside
    }

    fn front(&self, x: f32, y: f32) -> f32 {
        self.edge(|z| [x, y, z])
    }

    fn side(&self, y: f32, z: f32) -> f32 {
        self.edge(|x| [x, y, z])
    }

    /// The head without nose, ears and mouth.
    #[inline(always)]
    fn bare(&self, p: V3) -> F {
        let skull = ellipsoid(p - v([0.0, SKULL_Y, 0.0]), self.skull);
        let jaw = ellipsoid(p - v([0.0, -0.33, 0.12]), self.jaw);
        smooth_min(skull, jaw, 0.3)
    }

    /// The outline of the mouth seen from the front: a signed distance in x and y, and the height above its middle line
    /// as a share of its half opening.
    #[inline(always)]
    pub fn mouth(&self, p: V3) -> (F, F) {
        let u = p.x * f(1.0 / self.mouth_width);
        let uu = min(u * u, f(1.6));
        let bend = f(0.13 * (self.is.smile + 0.25));
        let middle = f(MOUTH_Y - 0.035 * self.mouth_open) + bend * (uu - f(0.5));
        let half = f(0.012) + f(0.016 + 0.105 * self.mouth_open) * max(f(1.0) - uu, f(0.0));
        let dy = p.y - middle;
        let d = smooth_max((dy.abs() - half) * f(0.85), p.x.abs() - f(self.mouth_width), 0.03);
        (d, dy / half)
    }

    #[inline(always)]
    fn eyes(&self, near: &mut Near, q: V3) {
        let e = q - v(self.eye);
        let [a, b, c] = self.eye_axes;
        near.add(ellipsoid(e, [a, b, c]), part::EYE);
        let shell = ellipsoid(e, [a + 0.026, b + 0.026, c + 0.026]);
        near.add(max(shell, f(0.0) - self.lid_edge(e)), part::LID);
    }

    /// From a point relative to the middle of its eye: how deep in the region of the lids it is (negative: in the gap).
    #[inline(always)]
    pub fn lid_edge(&self, e: V3) -> F {
        let [s, c] = self.upper_lid;
        let upper = e.y * f(c) - e.z * f(s);
        let [s, c] = self.lower_lid;
        max(upper, f(0.0) - e.y * f(c) - e.z * f(s))
    }

    /// Height of the upper lid's edge above a point, for the lash line.
    #[inline(always)]
    pub fn lash(&self, e: V3) -> F {
        let [s, c] = self.upper_lid;
        e.y * f(c) - e.z * f(s)
    }

    /// What sits on the face: of no effect further than 0.3 from the bare head.
    #[inline(always)]
    fn face(&self, near: &mut Near, p: V3, q: V3, bare: F) {
        let (mouth, _) = self.mouth(p);
        let nose = [0.1, 0.088, 0.115].map(|a| a * self.is.nose_size);
        let mut skin = smooth_min(bare, ellipsoid(q - v(self.nose), nose), 0.07);
        let ear = ellipsoid(q - v(self.ear), [0.1, 0.17, 0.11]);
        let dent = ball(q, [self.ear[0] + 0.08, self.ear[1] + 0.01, self.ear[2] + 0.1], 0.07);
        skin = smooth_min(skin, smooth_max(ear, f(0.0) - dent, 0.05), 0.05);
        // the mouth is pressed into the clay, deeper where it is open
        let depth = 0.05 + 0.06 * self.mouth_open;
        let press = max(max(mouth, f(0.0) - bare - f(depth)), f(0.1) - p.z);
        near.add(smooth_max(skin, f(0.0) - press, 0.05), part::SKIN);
        self.eyes(near, q);
        let [a, b, c] = self.brow;
        near.add(
            smooth_min(capsule(q, a, b, self.brow_thick), capsule(q, b, c, self.brow_thick * 0.85), 0.02),
            part::BROW,
        );
        if self.is.beard > 0.5 {
            let top = f(-0.315) - f(0.12) * q.x + f(1.15) * max(q.x - f(0.38), f(0.0));
            let top = f(0.0) - smooth_max(f(0.0) - top, f(0.14), 0.1);
            let region = smooth_max((p.y - top) * f(0.7), f(0.045) - mouth, 0.05);
            let cut = smooth_max(region, f(-0.12) - p.z, 0.1);
            near.add(smooth_max(bare - f(0.075) + self.bumps(p, 0.012), cut, 0.08), part::BEARD);
        }
        if self.is.glasses > 0.5 {
            near.add(self.frame(q), part::FRAME);
        }
        if self.is.ear_rings > 0.5 {
            let e = q - v([self.ear[0] + 0.045, self.ear[1] - 0.26, self.ear[2] + 0.06]);
            let round = (e.x * e.x + e.y * e.y).sqrt() - f(0.085);
            near.add((round * round + e.z * e.z).sqrt() - f(0.034), part::GOLD);
        }
    }

    #[inline(always)]
    fn frame(&self, q: V3) -> F {
        // each ring is turned outwards a little, as the face is
        const TURN: [f32; 2] = [0.3, 0.954];
        let r = self.ring_radius;
        let e = q - v(self.ring);
        let x = e.x * f(TURN[1]) - e.z * f(TURN[0]);
        let z = e.x * f(TURN[0]) + e.z * f(TURN[1]);
        let round = (x * x + e.y * e.y).sqrt() - f(r);
        let ring = (round * round + z * z).sqrt() - f(0.036);
        let [ex, ey, ez] = self.ring;
        let inner = [ex - r * TURN[1], ey + 0.03, ez + r * TURN[0]];
        let outer = [ex + r * TURN[1], ey + 0.04, ez - r * TURN[0]];
        let bridge = capsule(q, [0.0, inner[1] + 0.02, inner[2] + 0.01], inner, 0.032);
        let temple = capsule(q, outer, [self.ear[0] + 0.02, ey + 0.06, 0.0], 0.03);
        min(ring, min(bridge, temple))
    }

    #[inline(always)]
    fn bumps(&self, p: V3, height: f32) -> F {
        let s = f(2.2);
        let (a, b, c) = (wave(p.x * s + p.z * f(0.7)), wave(p.y * s), wave(p.z * s - p.x * f(0.7)));
        let sum = a * b + b * c + c * a;
        // outward bumps, their tops pressed a little so that none comes off
        sum / (f(1.0) + max(sum, f(0.0)) * f(0.2)) * f(-height)
    }

    /// The egg of the skull, grown by `extra`.
    #[inline(always)]
    fn egg(&self, p: V3, extra: f32) -> F {
        let [a, b, c] = self.skull;
        ellipsoid(p - v([0.0, SKULL_Y + 0.02, -0.04]), [a + extra, b + extra, c + extra])
    }

    #[inline(always)]
    fn hair(&self, near: &mut Near, p: V3, q: V3) {
        let h = &self.hair;
        // the egg of the skull, grown, and drawn out downwards
        let y = p.y - f(SKULL_Y);
        let down = y - clamp(y, -h.stretch, 0.0) + f(SKULL_Y);
        let mut d = self.egg(V3 { y: down, ..p }, h.thick);
        if h.bumps > 0.0 {
            d += self.bumps(p, h.bumps);
        }
        // combed locks: soft furrows from the fringe over the crown
        let lock = wave(p.x * f(1.9) + p.y * f(0.25 * self.is.parting) + f(0.13)).abs() - f(0.6);
        d -= lock * f(h.locks);
        d = smooth_max(d, f(h.bottom) + p.z * f(h.slope) - p.y - lock * f(2.0 * h.locks), 0.32);
        // the opening for the face: an arch, in front only
        let top = h.fringe + 0.02;
        let slant = p.x * f(0.3 * self.is.parting) - lock * f(1.6 * h.locks);
        let arch = round_box(p.x, p.y - slant - f(top - 2.0), h.open, 2.0, 0.34);
        let behind_neck = max(f(-0.38) - p.y, f(0.0)) * f(0.9);
        let opening = smooth_max(arch, f(0.06) - p.z - behind_neck, 0.1);
        d = smooth_max(d, f(0.0) - opening, 0.09);
        if h.bottom < self.ear[1] - 0.17 {
            // hair that hangs over the ears hides all of them
            d = smooth_min(d, ellipsoid(q - v(self.ear), [0.13, 0.2, 0.14]), 0.12);
        }
        if self.is.bun > 0.5 {
            let knot = ball(p, [0.0, SKULL_Y + self.skull[1] + h.thick + 0.05, -0.16], 0.25);
            d = smooth_min(d, if h.bumps > 0.0 { knot + self.bumps(p, h.bumps) } else { knot }, 0.06);
        }
        if self.is.pigtails > 0.5 {
            let long = self.is.hair_length;
            let x = self.skull[0] + h.thick + 0.1;
            let mut tail = ellipsoid(q - v([x + 0.04, 0.22 - 0.4 * long, -0.14]), [0.2, 0.24 + 0.36 * long, 0.21]);
            if h.bumps > 0.0 {
                tail += self.bumps(p, h.bumps);
            }
            d = smooth_min(d, tail, 0.04);
            near.add(ball(q, [x - 0.12, 0.38, -0.14], 0.13), part::COLLAR);
        }
        if self.is.hat() {
            // under the hat the hair is pressed flat
            let over = self.hat_line(p);
            d = smooth_max(d, min(over, self.egg(p, 0.5 * h.thick)), 0.06);
        }
        near.add(d, part::HAIR);
    }

    /// Height over the line where a hat ends.
    #[inline(always)]
    pub fn hat_line(&self, p: V3) -> F {
        (p.y - f(HAT_Y)) * f(HAT_LEAN[1]) - p.z * f(HAT_LEAN[0])
    }

    #[inline(always)]
    fn hat(&self, near: &mut Near, p: V3) {
        let over = self.hat_line(p);
        let extra = if self.is.bald > 0.5 { 0.06 } else { self.hair.thick + 0.04 };
        let dome = self.egg(p, extra);
        let shell = smooth_max(dome, f(0.0) - over, 0.05);
        near.add(shell, part::HAT);
        let top = SKULL_Y + self.skull[1] + extra;
        if self.is.hat_beanie > 0.5 {
            near.add(round_box(dome, over - f(0.06), 0.06, 0.115, 0.055), part::TRIM);
            near.add(ball(p, [0.0, top + 0.06, -0.1], 0.19) + self.bumps(p * f(1.5), 0.012), part::TRIM);
        } else if self.is.hat_bowler > 0.5 {
            near.add(round_box(dome - f(0.1), over - f(0.01), 0.16, 0.04, 0.04), part::HAT);
            near.add(round_box(dome, over - f(0.11), 0.022, 0.07, 0.02), part::TRIM);
        } else {
            // a peak in front: an oval plate that droops a little forwards
            let (x, z) = (p.x * f(1.0 / 0.56), (p.z - f(0.62)) * f(1.0 / 0.66));
            let oval = ((x * x + z * z).sqrt() - f(1.0)) * f(0.56);
            let droop = over - f(0.02) + max(p.z - f(0.7), f(0.0)) * f(0.2) + p.x * p.x * f(0.35);
            near.add(smooth_max(oval, droop.abs() - f(0.028), 0.06), part::TRIM);
            near.add(ball(p, [0.0, top + 0.05, -0.04], 0.075), part::TRIM);
        }
    }

    #[inline(always)]
    fn torso(&self, near: &mut Near, world: V3) {
        let p = turn(&self.body, world);
        near.add(capsule(p, [0.0, -0.45, -0.08], [0.0, -1.1, -0.1], 0.27), part::SKIN);
        let shirt = ellipsoid(p - v([0.0, -1.52, -0.1]), [0.98, 0.62, 0.52]);
        near.add(shirt, part::SHIRT);
        if self.is.collar > 0.5 {
            let e = p - v([0.0, -0.93, -0.08]);
            let round = (e.x * e.x + e.z * e.z).sqrt() - f(0.3);
            let y = e.y - e.z * f(0.2);
            near.add((round * round + y * y).sqrt() - f(0.095), part::COLLAR);
        }
    }

    /// The part nearest to each point of the world, and its distance (never too large by much: rays may trust it).
    #[inline(never)]
    pub fn near(&self, world: V3) -> Near {
        let p = turn(&self.head, world);
        let q = p.mirrored();
        let bare = self.bare(p);
        let mut near = Near { distance: f(1e3), part: f(part::SKIN) };
        if less(bare, f(0.45)).any() {
            self.face(&mut near, p, q, bare);
        } else {
            near.add(bare - f(0.3), part::SKIN);
        }
        if self.is.bald < 0.5 {
            self.hair(&mut near, p, q);
        }
        if self.is.hat() {
            self.hat(&mut near, p);
        }
        self.torso(&mut near, world);
        near
    }
}
