//! A seed, and whose random numbers it stands for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A number that a latent code is drawn from, by the generator of one tool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Form", into = "Form")]
pub struct Seed {
    /// At most [`SeedKind::last`] of its kind.
    pub number: u64,
    pub kind: SeedKind,
}

/// Whose random numbers a seed stands for. All give the same bits on every machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeedKind {
    /// This program's: ChaCha, `latent::z_from_seed`; for BigGAN truncated.
    #[default]
    Studio,
    /// NumPy's `RandomState(seed).randn(1, z_dim)`, as the tools of NVIDIA and genforce draw.
    Numpy,
    /// `torch.manual_seed(seed); torch.randn(1, z_dim)` on a CPU.
    Torch,
    /// SciPy's `truncnorm.rvs(-2, 2, size=(1, z_dim), random_state=RandomState(seed))`, as Hugging Face's BigGAN draws.
    Scipy,
}

impl SeedKind {
    pub const ALL: [SeedKind; 4] = [SeedKind::Studio, SeedKind::Numpy, SeedKind::Torch, SeedKind::Scipy];

    /// The word for it in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            SeedKind::Studio => "studio",
            SeedKind::Numpy => "numpy",
            SeedKind::Torch => "torch",
            SeedKind::Scipy => "scipy",
        }
    }

    /// Name of the tool, for people.
    pub fn tool(self) -> &'static str {
        match self {
            SeedKind::Studio => "SeFa Studio",
            SeedKind::Numpy => "NumPy",
            SeedKind::Torch => "PyTorch",
            SeedKind::Scipy => "SciPy",
        }
    }

    /// The largest seed that the tool takes.
    pub fn last(self) -> u64 {
        match self {
            SeedKind::Studio | SeedKind::Torch => u64::MAX,
            SeedKind::Numpy | SeedKind::Scipy => u64::from(u32::MAX),
        }
    }

    /// Whose seeds people mean when they speak of those of a network whose tensors are named as in `layout`: those of
    /// the tool that the layout comes from.
    pub fn of_layout(layout: &str) -> SeedKind {
        // NVIDIA's generate.py, genforce's and InterFaceGAN's samplers, and TensorFlow's and Keras's scripts use numpy.
        const NUMPY: [&str; 5] = ["nvidia", "genforce", "tensorflow", "interfacegan", "keras"];
        match layout {
            "huggingface" => SeedKind::Scipy,
            layout if NUMPY.iter().any(|tool| layout.starts_with(tool)) => SeedKind::Numpy,
            _ => SeedKind::Torch,
        }
    }
}

impl fmt::Display for SeedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SeedKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = SeedKind::ALL.into_iter().find(|kind| kind.name() == text);
        known.ok_or_else(|| format!("expected studio, numpy, torch or scipy, found {text:?}"))
    }
}

impl Seed {
    /// A seed of this program's own generator.
    pub fn studio(number: u64) -> Self {
        Seed { number, kind: SeedKind::Studio }
    }

    /// Why it is no seed of its kind, if it is none.
    pub fn check(self) -> Result<(), String> {
        let (Seed { number, kind }, last) = (self, self.kind.last());
        match number <= last {
            true => Ok(()),
            false => Err(format!("seed {number}, but {} takes seeds from 0 to {last}", kind.tool())),
        }
    }

    /// The next one up or down; at the ends it stays.
    pub fn step(self, up: bool) -> Self {
        let number = if up { self.number.saturating_add(1) } else { self.number.saturating_sub(1) };
        Seed { number: number.min(self.kind.last()), ..self }
    }

    /// The same number as another tool's seed, or the largest that it takes.
    pub fn of(self, kind: SeedKind) -> Self {
        Seed { number: self.number.min(kind.last()), kind }
    }
}

/// What files hold. A number alone is this program's own seed: so all were written when there was no other kind.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form {
    Studio(u64),
    Of(Named),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    number: u64,
    of: SeedKind,
}

impl From<Form> for Seed {
    fn from(form: Form) -> Self {
        match form {
            Form::Studio(number) => Seed::studio(number),
            Form::Of(Named { number, of }) => Seed { number, kind: of },
        }
    }
}

impl From<Seed> for Form {
    fn from(Seed { number, kind }: Seed) -> Self {
        match kind {
            SeedKind::Studio => Form::Studio(number),
            of => Form::Of(Named { number, of }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_alone_is_the_programs_own_seed_and_others_say_whose_they_are() {
        let read = |text: &str| serde_json::from_str::<Seed>(text);
        assert_eq!(read("18446744073709551615").unwrap(), Seed::studio(u64::MAX));
        let numpy = Seed { number: 7, kind: SeedKind::Numpy };
        assert_eq!(read(r#"{"number": 7, "of": "numpy"}"#).unwrap(), numpy);
        for kind in SeedKind::ALL {
            let seed = Seed { number: kind.last(), kind };
            assert_eq!(read(&serde_json::to_string(&seed).unwrap()).unwrap(), seed);
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert_eq!(serde_json::to_string(&Seed::studio(3)).unwrap(), "3");
        for bad in [r#"{"number": 7}"#, r#"{"number": 7, "of": "dice"}"#, "-1", "1.5", "\"7\""] {
            assert!(read(bad).is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn seeds_stay_within_what_their_tool_takes() {
        let numpy = Seed { number: u64::from(u32::MAX), kind: SeedKind::Numpy };
        assert!(numpy.check().is_ok() && numpy.step(true) == numpy);
        let error = Seed { number: 1 << 32, ..numpy }.check().unwrap_err();
        assert!(error.contains("4294967296") && error.contains("NumPy takes seeds from 0 to 4294967295"), "{error}");
        assert_eq!(Seed::studio(u64::MAX).of(SeedKind::Scipy).number, u64::from(u32::MAX));
        assert_eq!(Seed::studio(0).step(false), Seed::studio(0));
        assert_eq!(Seed::studio(u64::MAX).step(true), Seed::studio(u64::MAX));
    }
}
