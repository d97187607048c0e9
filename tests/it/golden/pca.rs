//! Principal components of codes, against values that this project did not compute and against their definition.

use sefa_studio::directions::{DirectionSet, Method, Scores};
use sefa_studio::edit::{LayerSet, Origin};
use sefa_studio::gpu::RenderDevice;
use sefa_studio::latent;
use sefa_studio::pca::Components;
use sefa_studio::progress::{self, Cancelled};
use sefa_studio::recipe::Prior;
use sefa_studio::render::{CodeSource, Engine, Example, RenderError, Source};

use super::{CODE, Case, assert_close_relative, code_from_z, open};
use crate::support::{Arrays, devices, fixture};

fn components(engine: &mut Engine, source: CodeSource) -> Components {
    engine.components(source, &mut progress::silent).unwrap()
}

/// Variances, and components whose neighbours' variances differ by more than 1 %.
#[track_caller]
fn assert_components(found: &Components, mean: &[f32], variances: &[f64], vectors: &[f32]) {
    let dim = mean.len();
    assert_close_relative("mean", &found.mean, mean, CODE);
    for (index, (found, expected)) in found.variances.iter().zip(variances).enumerate() {
        assert!((found - expected).abs() <= 1e-4 * expected, "variance {index}: {found}, expected {expected}");
    }
    let mut compared = 0;
    for index in 0..dim {
        let is_apart = |a: usize, b: usize| (variances[a] - variances[b]).abs() > 0.01 * variances[a].max(variances[b]);
        if (index == 0 || is_apart(index, index - 1)) && (index + 1 == dim || is_apart(index, index + 1)) {
            let row = &vectors[index * dim..(index + 1) * dim];
            let cosine: f32 = found.vector(index).iter().zip(row).map(|(a, b)| a * b).sum();
            assert!(cosine.abs() >= 0.9999, "component {index}: |cos| {}", cosine.abs());
            compared += 1;
        }
        let peak = found.vector(index).iter().fold(0.0_f32, |peak, x| if x.abs() > peak.abs() { *x } else { peak });
        assert!(peak > 0.0, "component {index}: the largest number is {peak}");
    }
    assert!(compared > dim / 2, "only {compared} of {dim} components stand alone");
}

#[test]
fn components_of_given_codes_equal_the_golden_ones() {
    let golden = Arrays::read(&fixture("analysis/pca.safetensors"));
    let rows = |name: &str| golden.get(name).chunks_exact(16).map(<[f32]>::to_vec).collect::<Vec<_>>();
    let stdev = golden.get("stdev");
    let variances: Vec<f64> = stdev.iter().map(|&x| f64::from(x).powi(2)).collect();
    for case in Case::all("stylegan2_ada_skip", &["model.pth"]) {
        let generator = case.load();
        for (z, w) in rows("z").iter().zip(rows("w")).step_by(97) {
            assert_close_relative("w", &code_from_z(&generator, z, &case.label(0)), &w, CODE);
        }
        let found = components(&mut case.open(), CodeSource::Z(rows("z")));
        assert_components(&found, &golden.get("mean"), &variances, &golden.get("components"));
        let of_codes = components(&mut case.open(), CodeSource::Codes(rows("w")));
        assert_components(&of_codes, &golden.get("mean"), &variances, &golden.get("components"));
    }
}

/// A hundred thousand codes, by two passes over them and Jacobi's rotations.
#[test]
fn components_of_many_codes_equal_their_definition() {
    const DIM: usize = 16;
    const COUNT: usize = 100_000;
    // Numbers of several codes mixed, each of another spread, far from zero.
    let code = |number: usize| {
        let z = latent::draw_of_many(Prior::Normal, 11, number, DIM);
        let mixed = |at: usize| {
            let spread = 1.0 / (1.0 + at as f32);
            3.0 + at as f32 + spread * z[at] + 0.3 * z[(at * 7 + 3) % DIM] * z[(at + 1) % DIM].abs()
        };
        (0..DIM).map(mixed).collect::<Vec<f32>>()
    };
    let codes: Vec<Vec<f32>> = (0..COUNT).map(code).collect();
    let mean: Vec<f64> =
        (0..DIM).map(|at| codes.iter().map(|code| f64::from(code[at])).sum::<f64>() / COUNT as f64).collect();
    let mut covariance = vec![vec![0.0; DIM]; DIM];
    for code in &codes {
        let apart: Vec<f64> = code.iter().zip(&mean).map(|(x, mean)| f64::from(*x) - mean).collect();
        for (row, a) in covariance.iter_mut().zip(&apart) {
            row.iter_mut().zip(&apart).for_each(|(sum, b)| *sum += a * b / (COUNT - 1) as f64);
        }
    }
    let (variances, vectors) = jacobi(covariance);
    let mut engine = open(&fixture("stylegan2_ada_skip/model.pth"), &RenderDevice::cpu(None));
    let found = components(&mut engine, CodeSource::Codes(codes));
    let mean: Vec<f32> = mean.iter().map(|&x| x as f32).collect();
    assert_components(&found, &mean, &variances, &vectors);
}

/// Eigenvalues of a symmetric matrix in falling order, and their vectors row by row.
fn jacobi(mut a: Vec<Vec<f64>>) -> (Vec<f64>, Vec<f32>) {
    let n = a.len();
    let mut v: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    for _ in 0..30 {
        for p in 0..n {
            for q in p + 1..n {
                let angle = 0.5 * (2.0 * a[p][q]).atan2(a[q][q] - a[p][p]);
                let (s, c) = angle.sin_cos();
                for row in a.iter_mut().chain(&mut v) {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
                let (above, below) = a.split_at_mut(q);
                for (x, y) in above[p].iter_mut().zip(&mut below[0]) {
                    (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
                }
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| a[j][j].total_cmp(&a[i][i]));
    let vectors = order.iter().flat_map(|&k| v.iter().map(move |row| row[k] as f32)).collect();
    (order.iter().map(|&k| a[k][k]).collect(), vectors)
}

#[test]
fn drawn_codes_give_the_same_components_bit_for_bit_and_are_those_of_their_numbers() {
    let drawn = CodeSource::Drawn { samples: 10_000, seed: 5 };
    for device in devices() {
        let mut engine = open(&fixture("stylegan2_ada_skip/model.pth"), &device);
        let found = components(&mut engine, drawn.clone());
        let again = components(&mut open(&fixture("stylegan2_ada_skip/model.pth"), &device), drawn.clone());
        assert_eq!(found, again, "{}", device.label());
        let z = (0..10_000).map(|number| latent::draw_of_many(Prior::Normal, 5, number, 16)).collect();
        assert_eq!(found, components(&mut engine, CodeSource::Z(z)));
        let other = components(&mut engine, CodeSource::Drawn { samples: 10_000, seed: 6 });
        assert_ne!(found, other);
    }
}

#[test]
fn directions_of_components_are_as_long_as_a_standard_deviation() {
    let mut engine = open(&fixture("stylegan2_ada_skip/model.pth"), &RenderDevice::cpu(None));
    let components = components(&mut engine, CodeSource::Drawn { samples: 2000, seed: 1 });
    let layers: LayerSet = "2-3,6".parse().unwrap();
    let set = DirectionSet::of_components(&components, 2000, 1, layers.clone());
    assert_eq!((set.len(), &set.layers, &set.method), (16, &layers, &Method::Pca { samples: 2000, seed: 1 }));
    assert_eq!(set.scores, Scores::Variances(components.variances.clone()));
    for (index, direction) in set.directions.iter().enumerate() {
        assert_eq!(direction.origin, Origin::Pca { samples: 2000, seed: 1, index });
        assert_eq!(Method::of(&direction.origin), set.method);
        let vector = direction.vector_of(6).unwrap();
        let length = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        assert!((length - components.sigma(index)).abs() < 1e-5 * components.sigma(index).max(1e-3));
    }
    assert_eq!(set.directions[0].customary_range(20.0), 3.0);
}

#[test]
fn networks_without_w_have_components_of_z_and_conditional_ones_those_of_all_classes() {
    let mut engine = Engine::new(RenderDevice::cpu(None));
    let info = engine.open(&Source::Example(Example::Faces), &mut progress::silent).unwrap();
    let found = components(&mut engine, CodeSource::Drawn { samples: 50_000, seed: 0 });
    assert_eq!((found.len(), info.w_dim), (info.z_dim, None));
    // z is drawn alike in every direction: nothing stands out.
    assert!(found.variances.iter().all(|variance| (0.85..1.15).contains(variance)), "{:?}", found.variances);

    let mut engine = open(&fixture("stylegan2_ada_cond_pkl/model.pkl"), &RenderDevice::cpu(None));
    let info = engine.info().unwrap();
    let drawn = |samples| CodeSource::Drawn { samples, seed: 0 };
    let many = components(&mut engine, drawn(2000));
    assert_eq!(many.len(), info.w_dim.unwrap());
    let few = engine.components(drawn(info.code_dim()), &mut progress::silent).unwrap_err();
    assert!(few.to_string().contains(&format!("more than {} samples", info.code_dim())), "{few}");
}

#[test]
fn a_search_ends_when_it_is_told_to() {
    let mut engine = open(&fixture("stylegan2_ada_skip/model.pth"), &RenderDevice::cpu(None));
    let mut reports = 0;
    let mut report = |progress: progress::Progress| {
        reports += 1;
        assert_eq!(progress.total, 1_000_000_000);
        if reports < 4 { Ok(()) } else { Err(Cancelled) }
    };
    let ended = engine.components(CodeSource::Drawn { samples: 1_000_000_000, seed: 0 }, &mut report);
    assert!(matches!(ended, Err(RenderError::Cancelled(_))));
}
