//! Colour and light. All colours are linear light until [`to_screen`].

use crate::factors::Factors;
use crate::lanes::*;
use crate::scene::{Scene, part};

type Rgb = [f32; 3];

/// A colour of OKLCH (lightness, chroma, hue as a share of the circle) in linear light.
fn oklch(light: f32, chroma: f32, hue: f32) -> Rgb {
    let (s, c) = (hue * std::f32::consts::TAU).sin_cos();
    let (a, b) = (chroma * c, chroma * s);
    let l = (light + 0.396_337_78 * a + 0.215_803_76 * b).powi(3);
    let m = (light - 0.105_561_346 * a - 0.063_854_17 * b).powi(3);
    let s = (light - 0.089_484_18 * a - 1.291_485_5 * b).powi(3);
    [
        4.076_741_7 * l - 3.307_711_6 * m + 0.230_969_94 * s,
        -1.268_438 * l + 2.609_757_4 * m - 0.341_319_4 * s,
        -0.004_196_086 * l - 0.703_418_6 * m + 1.707_614_7 * s,
    ]
    .map(|x| x.clamp(0.004, 1.0))
}

/// A colour as written for screens (0 to 255) in linear light; the square is near enough to the true curve here.
fn screen([r, g, b]: [f32; 3]) -> Rgb {
    [r, g, b].map(|x| (x / 255.0).powf(2.2))
}

/// A place on a row of colours, 0 to 1.
fn ramp(colours: &[[f32; 3]], at: f32) -> Rgb {
    let x = at.clamp(0.0, 1.0) * (colours.len() - 1) as f32;
    let i = (x as usize).min(colours.len() - 2);
    screen(blend(colours[i], colours[i + 1], x - i as f32))
}

fn blend(a: Rgb, b: Rgb, t: f32) -> Rgb {
    std::array::from_fn(|i| a[i] + (b[i] - a[i]) * t)
}

const SKINS: &[[f32; 3]] = &[
    [255.0, 220.0, 198.0],
    [248.0, 202.0, 168.0],
    [232.0, 176.0, 134.0],
    [200.0, 138.0, 96.0],
    [154.0, 98.0, 66.0],
    [108.0, 68.0, 48.0],
];
const HAIRS: &[[f32; 3]] = &[
    [44.0, 38.0, 44.0],
    [70.0, 46.0, 40.0],
    [98.0, 62.0, 44.0],
    [134.0, 82.0, 54.0],
    [190.0, 94.0, 48.0],
    [226.0, 156.0, 76.0],
    [242.0, 208.0, 134.0],
    [214.0, 212.0, 216.0],
];
const IRISES: &[[f32; 3]] =
    &[[100.0, 54.0, 28.0], [156.0, 98.0, 36.0], [70.0, 150.0, 78.0], [52.0, 140.0, 205.0], [112.0, 92.0, 205.0]];

/// Where a ray has met the surface.
pub struct Spot {
    /// Place in the world.
    pub world: V3,
    /// Outward normal.
    pub normal: V3,
    /// Direction of the ray.
    pub view: V3,
    /// One of [`part`].
    pub part: F,
    /// How open to the sky the place is, 0 to 1.
    pub open: F,
    /// How much of the key light comes through, 0 to 1.
    pub shade: F,
}

/// The colours and lights of one picture.
pub struct Look {
    parts: [Rgb; 12],
    skin: Rgb,
    lip: Rgb,
    flush: Rgb,
    iris: Rgb,
    key: [f32; 3],
    key_colour: Rgb,
    sky: Rgb,
    bounce: Rgb,
    ground: [Rgb; 2],
    gaze: [f32; 3],
    glint: [f32; 3],
}

fn unit([x, y, z]: [f32; 3]) -> [f32; 3] {
    let s = 1.0 / (x * x + y * y + z * z).sqrt();
    [x * s, y * s, z * s]
}

fn apply(m: &Matrix, p: [f32; 3]) -> [f32; 3] {
    std::array::from_fn(|i| m[i][0] * p[0] + m[i][1] * p[1] + m[i][2] * p[2])
}

impl Look {
    /// Chooses colours and lights for a head.
    pub fn new(scene: &Scene) -> Self {
        let is: &Factors = &scene.is;
        let warm = is.skin_warmth;
        let tone = ramp(SKINS, is.skin_tone);
        let skin = [tone[0], tone[1] * (1.0 + 0.05 * warm), tone[2] * (1.0 - 0.16 * warm)];
        let natural = ramp(HAIRS, is.hair_tone).map(|x| x * 2f32.powf(0.7 * is.hair_light));
        let dyed = oklch(0.62 + 0.13 * is.hair_light, 0.135, is.hair_hue);
        let hair = if is.hair_fancy > 0.5 { dyed } else { natural };
        let brow = blend(hair.map(|x| x * 0.5), [0.02, 0.015, 0.015], 0.3);
        let hat = oklch(0.62, 0.13, is.hat_hue);
        let shirt = oklch(0.45 + 0.3 * is.shirt_light, 0.12, is.shirt_hue);
        let white = [0.86, 0.84, 0.8];
        let parts = [
            skin,
            hair,
            [0.86, 0.86, 0.86],
            blend(skin, [skin[0] * 0.75, skin[1] * 0.5, skin[2] * 0.5], 0.2),
            brow,
            hat,
            if is.hat_cap > 0.5 { hat.map(|x| x * 0.6) } else { blend(hat, white, 0.72) },
            oklch(0.38, 0.11, is.glasses_hue),
            [0.85, 0.55, 0.14],
            shirt,
            blend(shirt, white, 0.75),
            hair.map(|x| x * 0.7),
        ];
        let side = is.light_side * 1.05;
        let high = 0.3 + 0.55 * is.light_height;
        let key = unit([side.sin() * high.cos(), high.sin(), side.cos() * high.cos() * 0.8 + 0.1]);
        let pale = is.ground_light;
        let ground = [oklch(0.91 + 0.045 * pale, 0.045, is.ground_hue), oklch(0.73 + 0.13 * pale, 0.07, is.ground_hue)];
        // the eyes seek the camera by half, whatever the turn of the head
        let camera = apply(&scene.head, [0.0, 0.0, 1.0]);
        let gaze = unit([0.55 * camera[0] + 0.5 * is.gaze_x, 0.55 * camera[1] + 0.32 * is.gaze_y, 1.0]);
        let glint = apply(&scene.head, key);
        let warmth = 0.1 * is.light_warmth;
        Self {
            parts,
            skin,
            lip: blend(skin, [skin[0] * 0.8, skin[1] * 0.36, skin[2] * 0.4], 0.8),
            flush: [skin[0] * 1.02, skin[1] * 0.5, skin[2] * 0.52],
            iris: ramp(IRISES, is.iris),
            key,
            key_colour: [1.0 + warmth, 0.985, 0.95 - 1.3 * warmth],
            sky: blend([0.5, 0.52, 0.56], ground[0], 0.35),
            bounce: blend([0.3, 0.26, 0.24], ground[1], 0.4),
            ground,
            gaze,
            glint: unit([gaze[0] + 0.3 * glint[0].signum(), gaze[1] + 0.38, gaze[2]]),
        }
    }

    /// The direction the key light comes from.
    pub fn key(&self) -> [f32; 3] {
        self.key
    }

    /// The background behind the picture's point (x, y), each from -1 to 1.
    #[inline(always)]
    pub fn backdrop(&self, x: F, y: F) -> V3 {
        let up = y - f(0.15);
        let glow = f(1.0) - clamp((x * x + up * up) * f(0.62), 0.0, 1.0);
        v(self.ground[1]).mix(v(self.ground[0]), glow)
    }

    #[inline(always)]
    fn eye_colour(&self, scene: &Scene, q: V3, side: F) -> V3 {
        let [a, b, c] = scene.eye_axes;
        let e = q - v(scene.eye);
        // back from the mirrored half, so that both eyes look the same way
        let e = V3 { x: e.x * side, ..e };
        let u = (e * v([1.0 / a, 1.0 / b, 1.0 / c])).unit();
        let off = (u - v(self.gaze)).length();
        let below = clamp((f(self.gaze[1]) - u.y) * f(1.2), -0.5, 1.0);
        let iris = v(self.iris) * (f(1.0) + below * f(0.9));
        let rim = smoothstep(0.45, 0.68, off) * f(0.65);
        let iris = iris * (f(1.0) - rim);
        let mut colour = v(self.parts[part::EYE as usize]);
        colour = colour.mix(iris, f(1.0) - smoothstep(0.64, 0.72, off));
        colour = colour.mix(v([0.012, 0.01, 0.012]), f(1.0) - smoothstep(0.37, 0.42, off));
        let glint = (u - v(self.glint)).length();
        colour = colour.mix(v([1.0, 1.0, 1.0]), f(1.0) - smoothstep(0.17, 0.23, glint));
        // the upper lid shades the ball
        colour * (f(1.0) - f(0.35) * smoothstep(-0.09, 0.0, scene.lash(q - v(scene.eye))))
    }

    #[inline(always)]
    fn skin_colour(&self, scene: &Scene, p: V3, q: V3) -> V3 {
        let mut colour = v(self.skin);
        let front = smoothstep(0.1, 0.3, p.z);
        let spot = |x: f32, y: f32, size: f32| {
            let (dx, dy) = (q.x - f(x), p.y - f(y));
            let r = clamp((dx * dx + dy * dy) * f(1.0 / (size * size)), 0.0, 1.0);
            (f(1.0) - r) * (f(1.0) - r) * front
        };
        let cheek = spot(0.44 * scene.is.head_width, -0.3, 0.27) * f(0.15 + 0.75 * scene.is.blush);
        let nose = spot(0.0, -0.22, 0.17) * f(0.3);
        let ear = smoothstep(0.68, 0.84, q.x) * f(0.3);
        colour = colour.mix(v(self.flush), clamp(cheek + nose + ear, 0.0, 1.0));
        let (mouth, height) = scene.mouth(p);
        let lips = (f(1.0) - smoothstep(0.03, 0.055, mouth)) * front;
        colour = colour.mix(v(self.lip), lips * f(0.75));
        // inside: a dark red, teeth above, the tongue below
        let mut inside = v([0.13, 0.02, 0.028]);
        if scene.mouth_open > 0.12 {
            inside = inside.mix(v([0.62, 0.16, 0.18]), f(1.0) - smoothstep(-0.42, -0.3, height));
            inside = inside.mix(v([0.9, 0.88, 0.84]), smoothstep(0.3, 0.42, height));
        } else {
            inside = inside.mix(v(self.lip), f(0.25));
        }
        let within = (f(1.0) - smoothstep(-0.006, 0.006, mouth)) * front;
        colour.mix(inside, within)
    }

    /// The light that leaves a spot of the surface towards the camera.
    #[inline(always)]
    pub fn surface(&self, scene: &Scene, spot: Spot) -> V3 {
        let Spot { world, normal, view, part: what, open, shade } = spot;
        let p = turn(&scene.head, world);
        let q = p.mirrored();
        let is = |part: f32| less((what - f(part)).abs(), f(0.5));
        let mut colour = v(self.parts[0]);
        for (i, c) in self.parts.iter().enumerate().skip(1) {
            colour = V3::pick(is(i as f32), v(*c), colour);
        }
        let (skin, eye, lid) = (is(part::SKIN), is(part::EYE), is(part::LID));
        if skin.any() {
            colour = V3::pick(skin, self.skin_colour(scene, p, q), colour);
        }
        if eye.any() {
            let side = pick(less(p.x, f(0.0)), f(-1.0), f(1.0));
            colour = V3::pick(eye, self.eye_colour(scene, q, side), colour);
        }
        if lid.any() {
            let lash = scene.lash(q - v(scene.eye));
            let line = smoothstep(-0.01, 0.0, lash) * (f(1.0) - smoothstep(0.028, 0.036, lash));
            colour = V3::pick(lid, colour.mix(v([0.03, 0.02, 0.022]), line * f(0.9)), colour);
        }

        let soft = skin | lid;
        let facing = normal.dot(v(self.key));
        // light wraps round the clay; in skin the red of it reaches furthest
        let wrap = |amount: F| clamp((facing + amount) / (f(1.0) + amount), 0.0, 1.0);
        let (plain, far) = (wrap(f(0.22)), wrap(pick(soft, f(0.42), f(0.22))));
        let lit = shade * f(0.85) + f(0.15);
        let red_lit = pick(soft, shade * f(0.72) + f(0.28), lit);
        let key = V3 { x: far * red_lit, y: plain * lit, z: plain * lit } * v(self.key_colour) * f(0.86);
        let up = normal.y * f(0.5) + f(0.5);
        let fill = v(self.bounce).mix(v(self.sky), up) * open * f(0.92);
        let mut light = colour * (key + fill);

        let half = (v(self.key) - view).unit();
        let spread = clamp(normal.dot(half), 0.0, 1.0);
        let s2 = spread * spread;
        let s8 = s2 * s2 * s2 * s2;
        let s32 = s8 * s8 * s8 * s8;
        // eyes get a small sharp light, so that no veil lies on the pupils
        let gloss = is(part::FRAME) | is(part::GOLD);
        let shine = pick(gloss, f(0.5), f(0.1)) * s32 + f(0.05) * s8;
        let shine = pick(eye, s32 * s32 * s32 * f(0.4), shine);
        let graze = f(1.0) + clamp(normal.dot(view), -1.0, 0.0);
        let rim = graze * graze * graze * (f(0.35) + f(0.65) * up) * f(0.2) * open;
        light = light + v(self.key_colour) * (shine * shade) + v(self.sky) * rim;
        light
    }
}

/// Linear light to the numbers of a screen, 0 to 255: highlights roll off softly, then the sRGB curve by three square roots.
#[inline(always)]
pub fn to_screen(c: V3) -> V3 {
    let curve = |x: F| {
        let over = max(x - f(0.7), f(0.0)) * f(1.0 / 0.3);
        let x = max(min(x, f(0.7)) + f(0.3) * over / (f(1.0) + over), f(0.0));
        let a = x.sqrt();
        let b = a.sqrt();
        let c = b.sqrt();
        clamp((f(0.585_122_4) * a + f(0.783_140_36) * b - f(0.368_262_74) * c) * f(255.0), 0.0, 255.0)
    };
    V3 { x: curve(c.x), y: curve(c.y), z: curve(c.z) }
}
