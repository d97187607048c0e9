//! How wide z is, and whether a class stands beside it.

use super::items::{CLASS_WORDS, Item, Kind};
use super::reading::Class;
use super::units::Unit;
use crate::recipe::{Fact, Source};

/// What enters the first layer.
#[derive(Clone, Debug)]
pub(super) struct Entrance {
    pub(super) z_dim: usize,
    pub(super) class: Option<Class>,
    /// The module of the class's table.
    pub(super) table: Option<String>,
    pub(super) fact: Option<Fact>,
}

/// Widths of z that people use.
const USUAL: [usize; 29] = [
    1, 2, 3, 4, 5, 8, 10, 12, 16, 20, 24, 32, 40, 48, 50, 60, 62, 64, 80, 96, 100, 120, 128, 150, 200, 256, 300, 400,
    512,
];
/// Numbers of classes that are looked for beside z: those of MNIST and CIFAR, of faces, of CIFAR-100.
const CLASSES: [usize; 3] = [10, 40, 26];

impl Entrance {
    fn plain(z_dim: usize) -> Entrance {
        Entrance { z_dim, class: None, table: None, fact: None }
    }

    /// z and a class that have a layer each.
    pub(super) fn of_branches(of_z: &Unit, of_class: &Unit) -> Entrance {
        let class = Class { count: of_class.inputs, embedding: None, layer_bias: None, multiplies: false };
        let value = format!("{} beside z of {}, each with a layer of its own", of_class.inputs, of_z.inputs);
        let fact = Fact { what: "classes".into(), value, source: Source::Shapes };
        Entrance { z_dim: of_z.inputs, class: Some(class), table: None, fact: Some(fact) }
    }

    /// From a first layer of `width` inputs; `latent` is the width of z where an encoder tells.
    pub(super) fn find(own: &[Item<'_>], width: usize, latent: Option<usize>) -> Entrance {
        if let Some(entrance) = own.iter().find_map(|item| Entrance::of_table(item, width)) {
            return entrance;
        }
        let beside = |z_dim: usize, source: Source| {
            let count = width - z_dim;
            let class = Class { count, embedding: None, layer_bias: None, multiplies: false };
            let fact = Fact { what: "classes".into(), value: format!("{count} beside z of {z_dim}"), source };
            Entrance { z_dim, class: Some(class), table: None, fact: Some(fact) }
        };
        match latent {
            Some(latent) if latent < width => return beside(latent, Source::Shapes),
            Some(latent) if latent == width => return Entrance::plain(width),
            _ => {}
        }
        if USUAL.contains(&width) || width.is_power_of_two() {
            return Entrance::plain(width);
        }
        // 110 inputs are 100 of z and 10 of a class, by custom.
        let count =
            CLASSES.iter().find(|&&count| width > count && width - count >= 8 && USUAL.contains(&(width - count)));
        match count {
            Some(count) => beside(width - count, Source::Guess),
            None => Entrance::plain(width),
        }
    }

    fn of_table(item: &Item<'_>, width: usize) -> Option<Entrance> {
        let (count, dim, layer_bias) = match item.kind {
            Kind::Embedding([count, dim]) => (count, dim, None),
            Kind::Linear([dim, count]) if item.is_called(&CLASS_WORDS[..4]) => {
                (count, dim, Some(item.optional("bias")))
            }
            _ => return None,
        };
        if dim > width || count < 2 {
            return None;
        }
        let multiplies = dim == width;
        let z_dim = if multiplies { width } else { width - dim };
        let class = Class { count, embedding: Some(item.path("weight")), layer_bias, multiplies };
        let value = format!("{count}, by {}", item.path("weight"));
        let fact = Fact { what: "classes".into(), value, source: Source::Shapes };
        Some(Entrance { z_dim, class: Some(class), table: Some(item.name.clone()), fact: Some(fact) })
    }
}
