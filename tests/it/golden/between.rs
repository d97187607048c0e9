//! Codes between others: the picture of one is that of the codes which were mixed by hand, in w after truncation where there is a w,
//! on the sphere of z where there is none.

use sefa_studio::edit::{Between, Code, Edit, Sample, Truncation, Waypoint};
use sefa_studio::generator::Label;
use sefa_studio::render::Engine;

use super::Case;
use super::styles::by_hand;

fn values(engine: &mut Engine, edit: &Edit) -> Vec<f32> {
    engine.render(edit).unwrap().to_f32().unwrap()
}

fn between(points: &[(Sample, Truncation)], times: &[f64], at: f64) -> Code {
    let waypoint =
        |(sample, truncation): &(Sample, Truncation)| Waypoint { sample: sample.clone(), truncation: *truncation };
    Code::Between(Box::new(Between { through: points.iter().map(waypoint).collect(), times: times.to_vec(), at }))
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    let worst = found.iter().zip(expected).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
    assert!(found.len() == expected.len() && worst < 2e-4, "{what}: {worst}");
}

/// Weights of a Catmull-Rom spline through four evenly spaced points, at a share `u` of the middle piece.
fn spline(u: f64) -> [f64; 4] {
    let (square, cube) = (u * u, u * u * u);
    [
        0.5 * (-u + 2.0 * square - cube),
        0.5 * (2.0 - 5.0 * square + 3.0 * cube),
        0.5 * (u + 4.0 * square - 3.0 * cube),
        0.5 * (cube - square),
    ]
}

#[test]
fn networks_with_w_go_straight_in_w_after_truncation() {
    for (folder, file) in [
        ("stylegan2_ada_skip", "model.pth"),
        ("stylegan2_genforce_cond", "model.pth"),
        ("stylegan1_genforce", "model.pth"),
    ] {
        for case in Case::all(folder, &[file]) {
            let (generator, mut engine) = (case.load(), case.open());
            let layers = engine.info().unwrap().num_layers;
            let truncations =
                [Truncation { psi: 0.6, cutoff: Some(layers - 2) }, Truncation { psi: 0.9, cutoff: None }];
            let z = [0, 1].map(|n| case.expected.row("z", n));
            let classes = [0, 1].map(|n| case.edit(n, Code::default(), 1.0).sample.class);
            let point = |n: usize, z: Vec<f32>| {
                (Sample { code: Code::Z(z), class: classes[n], ..Sample::default() }, truncations[n])
            };
            let turned = |z: &[f32]| z.iter().map(|x| -x).collect::<Vec<f32>>();
            let points =
                [point(0, z[0].clone()), point(1, z[1].clone()), point(0, turned(&z[0])), point(1, turned(&z[1]))];
            let codes: Vec<Vec<Vec<f32>>> = points
                .iter()
                .map(|(sample, truncation)| {
                    let Code::Z(z) = &sample.code else { unreachable!() };
                    by_hand(&generator, z, &Label::of(sample), *truncation)
                })
                .collect();
            let mixed = |weights: &[f64], codes: &[Vec<Vec<f32>>]| {
                let number = |layer: usize, at: usize| {
                    weights.iter().zip(codes).map(|(weight, code)| weight * f64::from(code[layer][at])).sum::<f64>()
                        as f32
                };
                (0..layers).map(|layer| (0..codes[0][layer].len()).map(|at| number(layer, at)).collect()).collect()
            };
            let base = case.edit(0, Code::default(), 0.2);
            let with = |code| Edit { sample: Sample { code, ..base.sample.clone() }, ..base.clone() };
            for (code, expected) in [
                (between(&points[..2], &[0.0, 2.0], 0.5), mixed(&[0.75, 0.25], &codes[..2])),
                (between(&points, &[0.0, 1.0, 2.0, 3.0], 1.25), mixed(&spline(0.25), &codes)),
            ] {
                let found = values(&mut engine, &with(code));
                let expected = values(&mut engine, &with(Code::WPlus(expected)));
                assert_close(&found, &expected, &case.what("between", 0));
            }
            // At its ends it is the sample there, bit for bit.
            let end = Edit { sample: points[1].0.clone(), truncation: truncations[1], ..base.clone() };
            let found = values(&mut engine, &with(between(&points[..2], &[0.0, 2.0], 2.0)));
            assert!(found == values(&mut engine, &end), "{}", case.what("end", 1));
        }
    }
}

#[test]
fn networks_of_z_go_by_angle_and_length_and_classes_mix() {
    for (folder, file) in [("dcgan", "netG.pth"), ("biggan_ajbrock", "G_ema.pth")] {
        for case in Case::all(folder, &[file]) {
            let mut engine = case.open();
            let z = [0, 1].map(|n| case.expected.row("z", n));
            let edits = [0, 1].map(|n| case.edit(n, Code::Z(z[n].clone()), 0.5));
            let length = |z: &[f32]| z.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            let lengths = z.each_ref().map(|z| length(z));
            let product: f64 = z[0].iter().zip(&z[1]).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            let angle = (product / lengths[0] / lengths[1]).acos();
            let t = 0.25;
            let [of_a, of_b] = [((1.0 - t) * angle).sin() / angle.sin(), (t * angle).sin() / angle.sin()];
            let scale = lengths[0] + t * (lengths[1] - lengths[0]);
            let number = |(&a, &b): (&f32, &f32)| {
                (scale * (of_a * f64::from(a) / lengths[0] + of_b * f64::from(b) / lengths[1])) as f32
            };
            let expected = Code::Z(z[0].iter().zip(&z[1]).map(number).collect());
            let points = edits.each_ref().map(|edit| (edit.sample.clone(), edit.truncation));
            let mix = edits[1].sample.class.map(|class| sefa_studio::edit::ClassMix { class, amount: t as f32 });
            let with = |code, mix| Edit { sample: Sample { code, mix, ..edits[0].sample.clone() }, ..edits[0].clone() };
            let found = values(&mut engine, &with(between(&points, &[1.0, 5.0], 2.0), None));
            let expected = values(&mut engine, &with(expected, mix));
            assert_close(&found, &expected, &case.what("between", 0));
        }
    }
}

#[test]
fn codes_between_nothing_or_between_too_many_are_refused() {
    for case in Case::all("stylegan2_ada_skip", &["model.pth"]) {
        let mut engine = case.open();
        let z = case.expected.row("z", 0);
        let sample = |code| Sample { code, ..Sample::default() };
        let point = (sample(Code::Z(z)), Truncation::default());
        let problem = |engine: &mut Engine, code| {
            let edit = Edit { sample: sample(code), ..Edit::default() };
            engine.check(&edit).unwrap_err().to_string()
        };
        let one = between(std::slice::from_ref(&point), &[0.0], 0.0);
        assert!(problem(&mut engine, one).contains("1 samples with 1 times, expected two or four"));
        let short = (sample(Code::Z(vec![0.0; 3])), Truncation::default());
        let of_short = between(&[point.clone(), short], &[0.0, 1.0], 0.5);
        assert!(problem(&mut engine, of_short).contains("z has 3 numbers"));
        let mut code = between(&[point.clone(), point.clone()], &[0.0, 1.0], 0.5);
        for _ in 0..7 {
            let inner = (sample(code), Truncation::default());
            code = between(&[inner.clone(), inner], &[0.0, 1.0], 0.5);
        }
        assert!(problem(&mut engine, code).contains("510 others, expected at most 400"));
    }
}
