//! `bench --operators`: how fast each convolution is on this device, in all its forms.

use std::ops::RangeInclusive;

use anyhow::Result;
use serde::Serialize;

use super::arguments::DeviceArguments;
use super::progress::Bar;
use super::{device_line, print};
use crate::ops::measure::{self, Ceilings, Layer, Way};
use crate::progress::Progress;

#[derive(Serialize)]
struct Report {
    device: String,
    ceilings: Ceilings,
    layers: Vec<Layer>,
}

/// Layers whose sides are in `pixels`.
pub fn run(device: DeviceArguments, pixels: RangeInclusive<usize>, json: bool) -> Result<()> {
    let device = device.open()?;
    let bar = Bar::new();
    let show = |what: &str, done: usize, total: usize| {
        bar.show(Progress { stage: format!("measuring {what}"), done: done as u64, total: total as u64 });
    };
    let max_bytes = device.max_tensor_bytes().unwrap_or(u64::MAX);
    let layers = measure::layers(device.place(), pixels, max_bytes, show)?;
    let ceilings = measure::ceilings(device.place())?;
    drop(bar);
    let report = Report { device: device_line(&device), ceilings, layers };
    match json {
        true => print(&format!("{}\n", serde_json::to_string_pretty(&report)?)),
        false => print(&report.to_text()),
    }
}

impl Report {
    fn to_text(&self) -> String {
        let Ceilings { arithmetic, matrix_product } = self.ceilings;
        let mut text = format!("{}\n  large matrix product  {matrix_product:>8.0} GFLOP/s\n", self.device);
        if let Some(arithmetic) = arithmetic {
            text.push_str(&format!("  arithmetic alone      {arithmetic:>8.0} GFLOP/s\n"));
        }
        let ceiling = arithmetic.unwrap_or(0.0).max(matrix_product);
        for layer in &self.layers {
            text.push_str(&format!("{}\n", layer.name));
            for Way { name, ms, gflops } in &layer.ways {
                let share = 100.0 * gflops / ceiling;
                text.push_str(&format!("  {name:<48} {ms:>9.3} ms {gflops:>8.0} GFLOP/s {share:>4.0} %\n"));
            }
        }
        text
    }
}
