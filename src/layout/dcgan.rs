//! The plain DCGAN (Radford et al. 2016; PyTorch's tutorial): transposed 4x4 convolutions with batch norms between them, from
//! one pixel on. Chains of this kind get canonical names, and are drawn by `generator/dcgan`.

use super::chain::{Place, Reading, Role, Unit};
use super::entry::Canonical;

/// Eleven layers make a picture of 4096 pixels.
const MAX_LAYERS: usize = 11;
const NORM_PARTS: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];

/// The tensors under canonical names, if a chain is a plain DCGAN.
pub(super) fn plain(reading: &Reading, tensors: &Canonical) -> Option<Canonical> {
    let (units, plan) = (&reading.units, reading.plans.first()?);
    let epsilon = epsilon(reading);
    let is_plain = reading.is_relu_and_tanh()
        && reading.class.is_none()
        && reading.branches.is_none()
        && (2..=MAX_LAYERS).contains(&units.len())
        && plan.start == 1
        && units.iter().zip(&plan.places).enumerate().all(|(at, (unit, place))| {
            let expected = if at == 0 { (1, 0) } else { (2, 1) };
            is_layer(unit, epsilon, at + 1 == units.len())
                && *place == Place::Transposed { stride: expected.0, padding: expected.1, output_padding: 0 }
        });
    if !is_plain {
        return None;
    }
    let mut canonical = Canonical::new();
    let mut move_over = |from: &str, to: &str, parts: &[&str]| {
        for part in parts {
            let name = if from.is_empty() { (*part).into() } else { format!("{from}.{part}") };
            if let Some(entry) = tensors.get(&name) {
                canonical.insert(format!("{to}.{part}"), entry.clone());
            }
        }
    };
    for (at, unit) in units.iter().enumerate() {
        let name = format!("main.{}", 3 * at);
        move_over(&unit.name, &name, &["weight", "bias"]);
        if let Some(norm) = &unit.norm {
            let name = format!("main.{}", 3 * at + 1);
            move_over(&norm.name, &name, &NORM_PARTS);
        }
    }
    Some(canonical)
}

/// What is stated to be added to the variances of all batch norms, if it is.
pub(super) fn epsilon(reading: &Reading) -> Option<f64> {
    reading.units.first().and_then(|unit| unit.norm.as_ref()).and_then(|norm| norm.epsilon)
}

/// True for a layer as a plain DCGAN has it.
fn is_layer(unit: &Unit, epsilon: Option<f64>, is_last: bool) -> bool {
    let norm = match &unit.norm {
        Some(norm) => {
            let is_whole = norm.is_batch() && norm.has_weight && norm.has_bias && norm.epsilon == epsilon;
            is_whole && !unit.norm_is_late && !is_last
        }
        None => is_last,
    };
    let is_activated = unit.is_activated != is_last && unit.slopes.is_none();
    unit.role == Role::Transposed && unit.kernel == [4, 4] && norm && is_activated
}
