//! The known factors of a head: their names, their ranges, and how a head's values are drawn.

/// A small random generator (SplitMix64): a picture's numbers depend on the seed and the picture's number alone.
pub struct Random(u64);

impl Random {
    /// The stream of picture `index` of data set `seed`.
    pub fn new(seed: u64, index: u64) -> Self {
        let mut first = Self(seed);
        let start = first.bits();
        Self(start ^ index.wrapping_mul(0xD134_2543_DE82_EF95))
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in `[0, 1)`.
    pub fn uniform(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / 16_777_216.0
    }

    /// Nearly normal (the sum of six uniforms) with mean 0 and deviation 1: never further out than 4.2, so no tails to clip.
    fn normal(&mut self) -> f32 {
        let sum: f32 = (0..6).map(|_| self.uniform()).sum();
        (sum - 3.0) * std::f32::consts::SQRT_2
    }
}

/// How the values of a factor are spread.
#[derive(Clone, Copy, PartialEq)]
pub enum Spread {
    /// All values of the range alike.
    Uniform,
    /// Bell-shaped about the middle of the range, which is two deviations wide on each side.
    Bell,
    /// 1 with this chance, else 0.
    Switch(f32),
}

/// One factor.
pub struct Factor {
    /// Its name: a field of [`Factors`].
    pub name: &'static str,
    /// What it does, low to high.
    pub about: &'static str,
    /// The smallest value.
    pub low: f32,
    /// The largest value.
    pub high: f32,
    /// How it is drawn.
    pub spread: Spread,
}

macro_rules! factors {
    ($($name:ident $low:literal $high:literal $spread:expr, $about:literal;)*) => {
        /// The factors of one head, in the order of the columns of `factors.npy`.
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct Factors { $(#[doc = $about] pub $name: f32,)* }

        /// What each factor is, in the same order.
        pub const LIST: &[Factor] = &[$(Factor {
            name: stringify!($name), about: $about, low: $low, high: $high, spread: $spread,
        },)*];

        impl Factors {
            /// The values in order.
            pub fn values(&self) -> Vec<f32> { vec![$(self.$name,)*] }

            /// A head with these values, in order; each is held in its range, and what is no number becomes the lowest.
            pub fn from_values(values: &[f32; LIST.len()]) -> Self {
                let [$($name,)*] = *values;
                let mut all = Self { $($name: hold($name, $low, $high),)* };
                all.settle();
                all
            }

            /// Sets the factor of this name; false where there is none.
            pub fn set(&mut self, name: &str, value: f32) -> bool {
                match name { $(stringify!($name) => self.$name = value,)* _ => return false }
                true
            }

            fn draw(random: &mut Random) -> Self {
                Self { $($name: draw(random, $low, $high, $spread),)* }
            }
        }
    };
}

use Spread::{Bell, Switch, Uniform};

factors! {
    yaw -0.75 0.75 Bell, "turn of the head, radians: to the left to the right of the picture";
    pitch -0.32 0.32 Bell, "nod, radians: looking down to up";
    roll -0.15 0.15 Bell, "tilt towards a shoulder, radians: to the left to the right of the picture";
    head_width 0.88 1.12 Bell, "narrow to wide head";
    head_height 0.92 1.1 Bell, "round to tall head";
    jaw_width 0.78 1.2 Bell, "pointed to broad chin";
    skin_tone 0.0 1.0 Uniform, "light to deep skin";
    skin_warmth -1.0 1.0 Bell, "rosy to golden skin";
    bald 0.0 1.0 Switch(0.08), "no hair";
    hair_length 0.0 1.0 Uniform, "short cap, bob, down to the shoulders";
    hair_volume 0.0 1.0 Bell, "flat to big hair";
    fringe 0.0 1.0 Uniform, "high forehead to a fringe down to the brows";
    parting -1.0 1.0 Bell, "slant of the fringe: to one side or the other";
    hair_tone 0.0 1.0 Uniform, "natural hair colour: black, brown, ginger, blond, silver";
    hair_fancy 0.0 1.0 Switch(0.3), "a dyed colour (hair_hue) in place of a natural one";
    hair_hue 0.0 1.0 Uniform, "hue of dyed hair, once round the colour circle";
    hair_light -1.0 1.0 Bell, "darker to lighter hair";
    curl 0.0 1.0 Uniform, "smooth to curly hair";
    bun 0.0 1.0 Switch(0.12), "a top knot (never with a hat)";
    pigtails 0.0 1.0 Switch(0.08), "a tail at each side";
    hat_beanie 0.0 1.0 Switch(0.09), "a knitted hat with a pompom";
    hat_bowler 0.0 1.0 Switch(0.05), "a bowler";
    hat_cap 0.0 1.0 Switch(0.05), "a cap with a peak";
    hat_hue 0.0 1.0 Uniform, "hue of the hat, once round the colour circle";
    beard 0.0 1.0 Switch(0.18), "a short full beard with a moustache";
    glasses 0.0 1.0 Switch(0.25), "round glasses";
    glasses_hue 0.0 1.0 Uniform, "hue of the frame, once round the colour circle";
    ear_rings 0.0 1.0 Switch(0.25), "an ear ring at each side (never under long hair)";
    brow_height 0.0 1.0 Bell, "low to raised brows";
    brow_angle -1.0 1.0 Bell, "worried to stern brows";
    brow_thickness 0.0 1.0 Uniform, "thin to thick brows";
    eye_size 0.82 1.18 Bell, "small to big eyes";
    eye_spacing 0.9 1.12 Bell, "close-set to wide-set eyes";
    eye_open 0.4 1.0 Bell, "drowsy to wide awake";
    gaze_x -1.0 1.0 Bell, "looking to the left to the right of the picture";
    gaze_y -1.0 1.0 Bell, "looking down to up";
    iris 0.0 1.0 Uniform, "colour of the iris: brown, hazel, green, blue, violet";
    nose_size 0.7 1.4 Bell, "button to big nose";
    smile -0.5 1.0 Bell, "frown to wide smile";
    mouth_open 0.0 1.0 Uniform, "closed (below 0.35) to open mouth";
    mouth_width 0.8 1.2 Bell, "narrow to wide mouth";
    blush 0.0 1.0 Uniform, "pale to rosy cheeks";
    shirt_hue 0.0 1.0 Uniform, "hue of the shirt, once round the colour circle";
    shirt_light 0.0 1.0 Uniform, "dark to light shirt";
    collar 0.0 1.0 Switch(0.35), "a light roll collar";
    ground_hue 0.0 1.0 Uniform, "hue of the background, once round the colour circle";
    ground_light 0.0 1.0 Uniform, "deeper to paler background";
    light_side -1.0 1.0 Uniform, "key light from the left to the right of the picture";
    light_height 0.0 1.0 Uniform, "key light from low to high";
    light_warmth -1.0 1.0 Bell, "cool to warm key light";
}

fn hold(value: f32, low: f32, high: f32) -> f32 {
    value.max(low).min(high)
}

fn draw(random: &mut Random, low: f32, high: f32, spread: Spread) -> f32 {
    match spread {
        Uniform => low + (high - low) * random.uniform(),
        Bell => (0.5 * (low + high) + 0.25 * (high - low) * random.normal()).clamp(low, high),
        Switch(chance) => f32::from(random.uniform() < chance),
    }
}

impl Factors {
    /// The factors of picture `index` of data set `seed`.
    pub fn sample(seed: u64, index: u64) -> Self {
        let mut all = Self::draw(&mut Random::new(seed, index));
        all.settle();
        all
    }

    /// Turns off what cannot be worn together, so that the numbers say what the picture shows.
    pub fn settle(&mut self) {
        if self.hat_beanie > 0.5 {
            self.hat_bowler = 0.0;
        }
        if self.hat_beanie + self.hat_bowler > 0.5 {
            self.hat_cap = 0.0;
        }
        if self.bald > 0.5 {
            self.pigtails = 0.0;
        }
        if self.bald < 0.5 && self.hair_length > 0.5 {
            self.ear_rings = 0.0;
        }
        if self.bald > 0.5 || self.pigtails > 0.5 || self.hat() {
            self.bun = 0.0;
        }
    }

    /// Whether any hat is worn.
    pub fn hat(&self) -> bool {
        self.hat_beanie + self.hat_bowler + self.hat_cap > 0.5
    }
}
