//! Seeds of other tools, bit for bit, and whose seeds a model's seeds are.

use sefa_studio::edit::{Code, Edit, Seed, SeedKind};
use sefa_studio::gpu::RenderDevice;
use sefa_studio::latent::z_of_seed;
use sefa_studio::progress;
use sefa_studio::render::{Engine, Example, Source};

use crate::support::{Arrays, fixture};

const NUMBERS: [u64; 5] = [0, 1, 42, 12345, u32::MAX as u64];
/// PyTorch draws fewer than 16 numbers in another way, and the last 16 anew if their count is no multiple of 16.
const WIDTHS: [usize; 8] = [4, 15, 16, 17, 64, 128, 512, 513];

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn seeds_give_the_numbers_of_their_tool_bit_for_bit() {
    let expected = Arrays::read(&fixture("seeds/expected.safetensors"));
    for kind in [SeedKind::Numpy, SeedKind::Torch, SeedKind::Scipy] {
        for width in WIDTHS {
            for (row, number) in NUMBERS.into_iter().enumerate() {
                let z = z_of_seed(Seed { number, kind }, width, false);
                let reference = expected.row(&format!("{kind}/{width}"), row);
                assert_eq!(bits(&z), bits(&reference), "{kind}, seed {number}, {width} numbers");
            }
        }
    }
    for number in [(1 << 32) + 1, (1 << 63) + 5, u64::MAX] {
        let z = z_of_seed(Seed { number, kind: SeedKind::Torch }, 20, false);
        assert_eq!(bits(&z), bits(&expected.get(&format!("torch64/{number}"))), "seed {number} of PyTorch");
    }
}

#[test]
fn other_tools_numbers_do_not_depend_on_the_network() {
    for kind in [SeedKind::Numpy, SeedKind::Torch, SeedKind::Scipy] {
        let seed = Seed { number: 3, kind };
        assert_eq!(z_of_seed(seed, 100, true), z_of_seed(seed, 100, false));
    }
    assert_ne!(z_of_seed(Seed::studio(3), 100, true), z_of_seed(Seed::studio(3), 100, false));
}

#[test]
fn a_models_seeds_are_those_of_the_tool_it_comes_from() {
    let file = |name: &str| Source::File(fixture(name));
    let heads = |text: &str| text.parse::<Source>().unwrap();
    for (source, kind) in [
        (file("stylegan2_ada_skip/model.pth"), SeedKind::Numpy),
        (file("stylegan2_ada_skip/model_tf.pkl"), SeedKind::Numpy),
        (file("stylegan2_genforce/model.pth"), SeedKind::Numpy),
        (file("stylegan3_t/model.pkl"), SeedKind::Numpy),
        (file("pggan_genforce/model.pth"), SeedKind::Numpy),
        (file("stylegan2_rosinality/model.pt"), SeedKind::Torch),
        (file("dcgan/netG.pth"), SeedKind::Torch),
        (file("biggan_ajbrock/G_ema.pth"), SeedKind::Torch),
        (file("biggan_deep_hf_small/pytorch_model.bin"), SeedKind::Scipy),
        (heads("example:toy-heads"), SeedKind::Studio),
        (heads("example:faces"), SeedKind::Studio),
    ] {
        let mut engine = Engine::new(RenderDevice::cpu(None));
        let info = engine.open(&source, &mut progress::silent).unwrap();
        assert_eq!(info.seeds, kind, "{source}");
        // What the window and the command line start from is the picture of that tool's numbers.
        let start = info.start(7);
        assert_eq!(start.sample.code, Code::Seed(Seed { number: 7, kind }), "{source}");
        let by_seed = engine.render(&start).unwrap().to_f32().unwrap();
        let truncated = info.w_dim.is_none() && info.default_truncation.is_some();
        let z = z_of_seed(info.seed(7), info.z_dim, truncated);
        let factor = if truncated { start.truncation.psi } else { 1.0 };
        let mut given = start.clone();
        given.sample.code = Code::Z(z.iter().map(|x| factor * x).collect());
        assert_eq!(engine.render(&given).unwrap().to_f32().unwrap(), by_seed, "{source}");
    }
}

#[test]
fn an_edit_of_before_keeps_its_picture() {
    let json =
        r#"{"sample":{"code":{"seed":7}},"truncation":{"psi":0.7},"noise":{"mode":"const","seed":0},"moves":[]}"#;
    let old: Edit = serde_json::from_str(json).unwrap();
    assert_eq!(old.sample.code, Code::Seed(Seed::studio(7)));
    assert_eq!(serde_json::from_str::<Edit>(&serde_json::to_string(&old).unwrap()).unwrap(), old);
    let mut engine = Engine::new(RenderDevice::cpu(None));
    engine.open(&Source::File(fixture("stylegan2_ada_skip/model.pth")), &mut progress::silent).unwrap();
    let mut numpy = old.clone();
    numpy.sample.code = Code::Seed(Seed { number: 7, kind: SeedKind::Numpy });
    let [old, new] = [old, numpy].map(|edit| engine.render(&edit).unwrap().to_f32().unwrap());
    assert_ne!(old, new);
}

#[test]
fn a_seed_that_its_tool_refuses_is_refused() {
    let mut engine = Engine::new(RenderDevice::cpu(None));
    let info = engine.open(&Source::Example(Example::ToyHeads), &mut progress::silent).unwrap();
    let mut edit = info.start(0);
    edit.sample.code = Code::Seed(Seed { number: 1 << 32, kind: SeedKind::Numpy });
    let error = engine.render(&edit).map(drop).unwrap_err().to_string();
    assert!(error.contains("NumPy takes seeds from 0 to 4294967295"), "{error}");
}
