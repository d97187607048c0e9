//! The families of networks: what layouts find in files, and generators run.

use std::fmt;

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    Pggan,
    StyleGan,
    StyleGan2,
    StyleGan3,
    /// BigGAN as first published, without bottlenecks.
    BigGan,
    #[serde(rename = "biggan-deep")]
    BigGanDeep,
    Dcgan,
    /// Any network that a recipe describes.
    Chain,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::Pggan => "PGGAN",
            Family::StyleGan => "StyleGAN",
            Family::StyleGan2 => "StyleGAN2",
            Family::StyleGan3 => "StyleGAN3",
            Family::BigGan => "BigGAN",
            Family::BigGanDeep => "BigGAN-deep",
            Family::Dcgan => "DCGAN",
            Family::Chain => "chain of layers",
        })
    }
}
