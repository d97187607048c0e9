//! Strides, paddings and up-sampling, which no tensor holds: those that are customary and end in a size that pictures have.

use std::collections::BTreeMap;

use super::units::{Role, Unit};

/// What a layer does to the size of a map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) enum Place {
    /// Takes and makes vectors.
    Vector,
    Conv {
        padding: usize,
        /// Up-sampled by two before.
        up: bool,
    },
    Transposed {
        stride: usize,
        padding: usize,
        output_padding: usize,
    },
}

/// A place for each unit.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Plan {
    /// Side of the first map, before its layer.
    pub(in super::super) start: usize,
    pub(in super::super) places: Vec<Place>,
    /// Side of the picture.
    pub(in super::super) side: usize,
    cost: f32,
}

/// Plans that are looked at; the first is the most customary.
const PLANS: usize = 12;
/// Plans that are kept for each size on the way.
const KEPT: usize = 4;
const LARGEST: usize = 2048;
/// The smallest picture.
const SMALLEST: usize = 8;

/// The most customary plans, the best first. `start` is the side of the map before the first kernel.
pub(super) fn plans(units: &[Unit], start: usize) -> Vec<Plan> {
    let mut partial: BTreeMap<usize, Vec<Plan>> = BTreeMap::new();
    partial.insert(start, vec![Plan { start, places: Vec::new(), side: start, cost: 0.0 }]);
    for (at, unit) in units.iter().enumerate() {
        let mut next: BTreeMap<usize, Vec<Plan>> = BTreeMap::new();
        for (side, plans) in partial {
            for (place, cost) in places(unit, side, at + 1 == units.len()) {
                let Some(to) = place.side(side, unit).filter(|to| (1..=LARGEST).contains(to)) else { continue };
                let same = next.entry(to).or_default();
                same.extend(plans.iter().map(|plan| {
                    let places = plan.places.iter().copied().chain([place]).collect();
                    Plan { start, places, side: to, cost: plan.cost + cost }
                }));
            }
        }
        for plans in next.values_mut() {
            plans.sort_by(|a, b| a.cost.total_cmp(&b.cost));
            plans.truncate(KEPT);
        }
        partial = next;
    }
    let mut plans: Vec<Plan> = partial.into_values().flatten().collect();
    let is_grey = units.last().is_some_and(|unit| unit.outputs == 1);
    plans.retain(|plan| plan.side >= SMALLEST);
    for plan in &mut plans {
        plan.cost += oddness(plan.side, is_grey);
        let unpadded = |place: &Place| matches!(place, Place::Transposed { padding: 0, output_padding: 0, .. });
        if plan.places.len() > 2 && plan.places.iter().all(unpadded) {
            // Who pads nowhere does so on purpose.
            plan.cost -= 2.4;
        }
    }
    plans.sort_by(|a, b| a.cost.total_cmp(&b.cost));
    plans.truncate(PLANS);
    plans
}

/// How unusual a side of a picture is.
fn oddness(side: usize, is_grey: bool) -> f32 {
    match side {
        // Digits and clothes.
        28 if is_grey => -1.6,
        28 => 1.0,
        32 | 64 | 128 => 0.0,
        256 | 512 => 0.2,
        16 | 48 | 96 | 1024 => 0.6,
        80 | 100 | 112 | 160 | 192 | 200 | 224 | 320 | 384 | 768 => 1.2,
        56 | 120 => 1.6,
        24 => 4.5,
        8 => 2.5,
        _ if side.is_multiple_of(4) => 3.0,
        _ => 4.0,
    }
}

impl Plan {
    /// The plan of these places; `None` if a map would have no size.
    pub(super) fn of(places: Vec<Place>, units: &[Unit], start: usize) -> Option<Plan> {
        let side = places.iter().zip(units).try_fold(start, |side, (place, unit)| {
            place.side(side, unit).filter(|side| (1..=LARGEST).contains(side))
        })?;
        Some(Plan { start, places, side, cost: 0.0 })
    }
}

impl Place {
    fn side(self, side: usize, unit: &Unit) -> Option<usize> {
        let k = unit.kernel[0];
        let made = match self {
            Place::Vector => 1,
            Place::Conv { padding, up } => {
                let side = if up { 2 * side } else { side };
                (side + 2 * padding + 1).checked_sub(k)?
            }
            Place::Transposed { stride, padding, output_padding } => {
                ((side - 1) * stride + k + output_padding).checked_sub(2 * padding)?
            }
        };
        Some(made * unit.shuffle)
    }
}

/// What a layer may do, with how unusual that is.
fn places(unit: &Unit, side: usize, is_last: bool) -> Vec<(Place, f32)> {
    let k = unit.kernel[0];
    if unit.role == Role::Linear || unit.kernel[1] != k {
        return if unit.role == Role::Linear { vec![(Place::Vector, 0.0)] } else { vec![] };
    }
    if unit.role == Role::Conv {
        let mut places = Vec::new();
        // An activation takes one place between two layers, so up-sampling needs another.
        let (with, without) = match unit.gap {
            Some(0) => (9.0, 0.0),
            // The last one rarely is: what is made by then is as large as the picture.
            Some(1) => (if is_last { 0.9 } else { 0.8 }, 0.0),
            Some(_) => (0.0, 0.6),
            None => (0.3, if is_last { 0.3 } else { 0.4 }),
        };
        // A convolution of one pixel has nothing to look at.
        let with = if unit.shuffle > 1 { with + 2.0 } else { with };
        for (up, cost) in [(true, with), (false, without)] {
            if k % 2 == 1 {
                places.push((Place::Conv { padding: k / 2, up }, cost));
                places.push((Place::Conv { padding: 0, up }, cost + if k == 1 { 0.0 } else { 1.8 }));
            } else {
                places.push((Place::Conv { padding: k / 2, up }, cost + 1.0));
                places.push((Place::Conv { padding: k / 2 - 1, up }, cost + 1.2));
                places.push((Place::Conv { padding: 0, up }, cost + 1.5));
            }
        }
        return places;
    }
    let place = |stride, padding, output_padding| Place::Transposed { stride, padding, output_padding };
    if side == 1 {
        // Of one pixel, whatever the stride.
        let mut places = vec![(place(1, 0, 0), 0.0)];
        if k == 4 {
            places.push((place(2, 1, 0), 2.5));
        }
        return places;
    }
    let mut places = vec![(place(1, 0, 0), 2.0), (place(2, 0, 0), if k == 2 { 0.0 } else { 1.2 })];
    if k.is_multiple_of(2) {
        places.push((place(2, k / 2 - 1, 0), if matches!(k, 2 | 4) { 0.0 } else { 0.3 }));
        places.push((place(1, k / 2 - 1, 0), 2.2));
        if k == 8 {
            places.push((place(4, 2, 0), 0.5));
        }
        if k == 4 {
            places.push((place(1, 2, 0), 2.8));
            places.push((place(3, 1, 0), 2.8));
        }
    } else {
        places.push((place(2, k / 2, 1), 0.0));
        places.push((place(1, k / 2, 0), if is_last { 0.3 } else { 0.5 }));
        places.push((place(2, k / 2, 0), 1.4));
        if k > 3 {
            places.push((place(2, k / 2 - 1, 0), 1.8));
            places.push((place(2, k / 2 - 1, 1), 2.2));
        } else if k == 3 {
            places.push((place(2, 0, 1), 3.5));
        }
    }
    // Twice the same under two names.
    let mut seen: Vec<Place> = Vec::new();
    places.retain(|(place, _)| {
        let is_new = !seen.contains(place);
        seen.push(*place);
        is_new
    });
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(role: Role, k: usize, gap: Option<usize>) -> Unit {
        Unit {
            name: String::new(),
            role,
            inputs: 8,
            outputs: 8,
            kernel: [k, k],
            has_bias: true,
            norm: None,
            norm_is_late: false,
            is_activated: true,
            slopes: None,
            gap,
            shuffle: 1,
        }
    }

    /// Kernels of public networks, and the size that these draw.
    #[test]
    fn customary_networks_end_in_their_sizes() {
        let transposed =
            |kernels: &[usize]| kernels.iter().map(|&k| unit(Role::Transposed, k, None)).collect::<Vec<_>>();
        for (kernels, start, side) in [
            (&[4, 4, 4, 4, 4][..], 1, 64),
            (&[4, 4, 4, 4], 1, 32),
            (&[3, 4, 3, 4], 1, 28),
            (&[7, 4, 4], 1, 28),
            (&[4, 4], 7, 28),
            (&[3, 3, 3, 3], 2, 32),
            (&[5, 5, 5], 7, 28),
            (&[4, 3, 4, 4], 1, 28),
        ] {
            let mut units = transposed(kernels);
            units.last_mut().unwrap().outputs = if side == 28 { 1 } else { 3 };
            assert_eq!(plans(&units, start)[0].side, side, "{kernels:?}");
        }
        let mut convs: Vec<Unit> = [Some(1), Some(2), Some(1)].map(|gap| unit(Role::Conv, 3, gap)).into();
        convs[2].outputs = 1;
        let plan = &plans(&convs, 7)[0];
        let ups: Vec<bool> = plan.places.iter().map(|place| matches!(place, Place::Conv { up: true, .. })).collect();
        assert_eq!((plan.side, ups), (28, vec![true, true, false]));
    }
}
