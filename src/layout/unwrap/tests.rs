//! The generator is found wherever it lies, and its average before it.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::select;

use super::super::fixture_tests::{NamedTensor, open, safetensors, tensors};
use super::super::pickling::Py;
use super::super::{LayoutError, Weights, detect};
use super::words::Role;
use crate::checkpoint::Checkpoint;

/// A network, and another one of the same shapes.
struct Pair {
    used: Vec<NamedTensor>,
    decoy: Vec<NamedTensor>,
    identity: String,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} tensors", self.used.len())
    }
}

fn pair(file: &str) -> Pair {
    let mut used = tensors(&open(file).unwrap());
    // Layers in the order of their numbers, as training scripts write them.
    used.sort_by_key(|(name, ..)| name.split('.').nth(1).and_then(|number| number.parse::<usize>().ok()));
    let mut decoy = used.clone();
    decoy.iter_mut().for_each(|(_, _, values)| values.iter_mut().for_each(|value| *value += 0.25));
    Pair { identity: detect_py(&Py::tensors(&used, "")).unwrap().identity().unwrap(), used, decoy }
}

/// Known by names.
static STYLEGAN: LazyLock<Pair> = LazyLock::new(|| pair("stylegan2_ada_skip/model.pth"));
/// Known by shapes and order only.
static DCGAN: LazyLock<Pair> = LazyLock::new(|| pair("dcgan/netG.pth"));

fn detect_py(value: &Py) -> Result<Weights, LayoutError> {
    detect_wanted(value, None)
}

fn detect_wanted(value: &Py, network: Option<&str>) -> Result<Weights, LayoutError> {
    let mut checkpoint = Checkpoint::from_bytes(value.file(), "test.pt").unwrap();
    checkpoint.network = network.map(String::from);
    detect(checkpoint)
}

fn discriminator() -> Vec<NamedTensor> {
    let conv = |number: usize, out: usize, input: usize| {
        (format!("main.{number}.weight"), vec![out, input, 4, 4], vec![0.5; out * input * 16])
    };
    vec![conv(0, 4, 3), conv(2, 8, 4), conv(5, 1, 8)]
}

fn optimiser() -> Py {
    let moments = Py::dict([("exp_avg", Py::Tensor(vec![2, 2], vec![0.0; 4])), ("step", Py::Int(3))]);
    Py::dict([
        ("state", Py::Dict(vec![(Py::Int(0), moments)])),
        ("param_groups", Py::List(vec![Py::dict([("lr", Py::Int(1))])])),
    ])
}

/// A word that means nothing here.
fn neutral() -> impl Strategy<Value = String> {
    "[a-z]{4,9}".prop_filter("a word that says something", |word| {
        [Role::of(word, true), Role::of(word, false)] == [Role::default(); 2]
    })
}

fn wrapper() -> impl Strategy<Value = String> {
    select(vec!["module", "_orig_mod", "model", "net", "network", "wrapped_model", "state_dict"]).prop_map(String::from)
}

fn generator() -> impl Strategy<Value = String> {
    let names =
        ["generator", "netG", "G", "g", "gen", "_generator", "net_g", "Generator", "G_net", "generator_A", "gen_model"];
    select(names.to_vec()).prop_map(String::from)
}

/// The average of a network of that name, in the spellings of the field.
fn averaged(generator: String) -> impl Strategy<Value = String> {
    let words = ["ema", "EMA", "running", "smooth", "avg", "average", "averaged", "shadow"];
    (select(words.to_vec()), 0..4usize).prop_map(move |(word, form)| match form {
        0 => format!("{generator}_{word}"),
        1 => format!("{word}_{generator}"),
        2 => format!("{generator}_{word}_state_dict"),
        _ => format!("{word}.{generator}"),
    })
}

/// What else lies in files: nothing of it is the generator.
fn bystander() -> impl Strategy<Value = (String, Py)> {
    let disc = || Py::tensors(&discriminator(), "");
    let choices = vec![
        ("discriminator", disc()),
        ("D", disc()),
        ("netD_ema", disc()),
        ("critic", disc()),
        ("encoder", disc()),
        ("perceptual_loss", disc()),
        ("g_optim", optimiser()),
        ("optimizer_G", optimiser()),
        ("epoch", Py::Int(7)),
        ("args", Py::dict([("lr", Py::Text("0.002".into()))])),
        ("hyper_parameters", Py::dict([("seed", Py::Int(1)), ("none", Py::None)])),
        ("losses", Py::List((0..9).map(Py::Int).collect())),
        ("fixed_noise", Py::Tensor(vec![4, 8], vec![0.1; 32])),
        ("loss_history", Py::List(vec![Py::Tensor(vec![], vec![0.5]), Py::Tensor(vec![], vec![0.25])])),
        ("running_stats", Py::dict([("mean", Py::Tensor(vec![4], vec![0.0; 4]))])),
    ];
    select(choices).prop_map(|(key, value)| (key.to_string(), value))
}

/// Puts a value into maps, lists and tuples.
fn nest(value: Py, steps: &[(u8, String)]) -> Py {
    steps.iter().fold(value, |inner, (form, key)| match form {
        0 | 1 => Py::dict([(key.as_str(), inner), ("epoch", Py::Int(3))]),
        2 => Py::Tuple(vec![Py::Int(5), inner]),
        _ => Py::List(vec![inner, optimiser()]),
    })
}

fn nesting() -> impl Strategy<Value = Vec<(u8, String)>> {
    prop::collection::vec((0..4u8, prop_oneof![wrapper(), neutral()]), 0..4)
}

/// A prefix of up to four steps, each one a wrapper's or one that says nothing.
fn prefix() -> impl Strategy<Value = String> {
    prop::collection::vec(prop_oneof![3 => wrapper(), 1 => neutral()], 0..4)
        .prop_map(|steps| steps.into_iter().map(|step| step + ".").collect())
}

fn with_bystanders(mut entries: Vec<(String, Py)>, bystanders: Vec<(String, Py)>, turn: usize) -> Py {
    for (key, value) in bystanders {
        if !entries.iter().any(|(known, _)| *known == key) {
            entries.push((key, value));
        }
    }
    let turn = turn % entries.len().max(1);
    entries.rotate_left(turn);
    Py::dict(entries)
}

fn networks() -> impl Strategy<Value = &'static Pair> {
    any::<bool>().prop_map(|named| if named { &*STYLEGAN } else { &*DCGAN })
}

fn taken(file: &Py, pair: &Pair) -> Result<Weights, TestCaseError> {
    let weights = detect_py(file).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(weights.identity().unwrap(), pair.identity.clone(), "{}", weights.network_taken);
    Ok(weights)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Wrappers around the only network of a file, in any order and repetition.
    #[test]
    fn a_network_is_found_under_any_wrapping(pair in networks(), prefix in prefix(), nesting in nesting(), strays in 0..3usize) {
        let Py::Dict(mut entries) = Py::tensors(&pair.used, &prefix) else { unreachable!() };
        // Counters beside the network's prefix.
        if !prefix.is_empty() {
            let stray = [("n_averaged", Py::Tensor(vec![], vec![7.0])), ("step", Py::Tensor(vec![1], vec![9.0]))];
            entries.extend(stray.into_iter().take(strays).map(|(key, value)| (Py::Text(key.into()), value)));
        }
        taken(&nest(Py::Dict(entries), &nesting), pair)?;
    }

    /// The average beside the network in training, as keys of one map.
    #[test]
    fn the_average_wins_as_a_key(
        pair in networks(),
        (name, average) in generator().prop_flat_map(|name| (Just(name.clone()), averaged(name))),
        inner in prefix(), nesting in nesting(),
        bystanders in prop::collection::vec(bystander(), 0..5), turn in 0..9usize,
    ) {
        let entries = vec![
            (name, Py::tensors(&pair.decoy, &inner)),
            (average.clone(), Py::tensors(&pair.used, &inner)),
        ];
        let weights = taken(&nest(with_bystanders(entries, bystanders, turn), &nesting), pair)?;
        prop_assert!(weights.network_taken.contains(&average) && weights.network_taken.contains("(averaged"));
    }

    /// The same as prefixes in one state dict, as Lightning keeps them.
    #[test]
    fn the_average_wins_as_a_prefix(
        pair in networks(), outer in prefix(),
        (name, average) in generator().prop_flat_map(|name| (Just(name.clone()), averaged(name))),
        inner in prefix(), nesting in nesting(), swap in any::<bool>(), with_disc in any::<bool>(),
    ) {
        let part = |tensors: &[NamedTensor], name: &str, inner: &str| {
            let Py::Dict(entries) = Py::tensors(tensors, &format!("{outer}{name}.{inner}")) else { unreachable!() };
            entries
        };
        let mut parts = vec![part(&pair.decoy, &name, &inner), part(&pair.used, &average, &inner)];
        if swap {
            parts.swap(0, 1);
        }
        if with_disc {
            parts.insert(1, part(&discriminator(), "discriminator", ""));
        }
        let weights = taken(&nest(Py::Dict(parts.concat()), &nesting), pair)?;
        prop_assert!(weights.network_taken.contains("(averaged"), "{}", weights.network_taken);
    }

    /// Names that say only that something is averaged: `ema` beside `model`, `params_ema` beside `params`.
    #[test]
    fn the_average_wins_over_plain_wrappers(
        pair in networks(), swap in any::<bool>(), nesting in nesting(), bystanders in prop::collection::vec(bystander(), 0..4),
        (plain, average) in select(vec![
            ("model", "ema"), ("params", "params_ema"), ("state_dict", "state_dict_ema"), ("model", "model_ema"),
            ("online_model", "ema_model"), ("generator", "ema"), ("model_state_dict", "ema_state_dict"), ("net", "shadow"),
            ("model", "averaged_model"), ("weights", "smoothed_weights"), ("netG", "avgG"), ("G", "Gs"), ("gen", "gen_test"),
        ]),
    ) {
        let mut entries = vec![
            (plain.to_string(), Py::tensors(&pair.decoy, "")),
            (average.to_string(), Py::tensors(&pair.used, "")),
        ];
        if swap {
            entries.swap(0, 1);
        }
        taken(&nest(with_bystanders(entries, bystanders, 0), &nesting), pair)?;
    }

    /// A generator without an average among all kinds of other things.
    #[test]
    fn the_generator_is_told_from_its_companions(
        pair in networks(), name in generator(), inner in prefix(), nesting in nesting(),
        bystanders in prop::collection::vec(bystander(), 1..8), turn in 0..9usize,
    ) {
        let entries = vec![(name, Py::tensors(&pair.used, &inner))];
        taken(&nest(with_bystanders(entries, bystanders, turn), &nesting), pair)?;
    }

    /// Any tree of maps, lists and names is walked in a moment, whatever comes of it.
    #[test]
    fn random_trees_never_panic(tree in random_tree()) {
        let _ = detect_py(&tree);
    }
}

fn random_tree() -> impl Strategy<Value = Py> {
    let name = || {
        let words =
            select(vec!["g", "ema", "D", "module", "encoder", "decoder", "0", "", ".", "..", "state", "param_groups"]);
        prop::collection::vec(prop_oneof![words.prop_map(String::from), "[a-zA-Z_.]{0,6}"], 1..4)
            .prop_map(|it| it.join("."))
    };
    let leaf = prop_oneof![
        Just(Py::None),
        any::<i32>().prop_map(Py::Int),
        prop::collection::vec(0..5usize, 0..5).prop_map(|shape| {
            let len = shape.iter().product();
            Py::Tensor(shape, vec![1.0; len])
        }),
    ];
    leaf.prop_recursive(6, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Py::List),
            prop::collection::vec(inner.clone(), 0..6).prop_map(Py::Tuple),
            prop::collection::vec((name(), inner.clone()), 0..8).prop_map(Py::dict),
            prop::collection::vec((name(), inner), 0..4).prop_map(|parts| Py::module(
                "m.Net",
                &[],
                parts.iter().map(|(n, p)| (n.as_str(), p.clone())).collect()
            )),
        ]
    })
}

fn flat(parts: &[(&str, &[NamedTensor])]) -> Py {
    let part = |(prefix, tensors): &(&str, &[NamedTensor])| match Py::tensors(tensors, prefix) {
        Py::Dict(entries) => entries,
        _ => Vec::new(),
    };
    Py::Dict(parts.iter().flat_map(part).collect())
}

#[test]
fn what_was_taken_is_told() {
    let Pair { used, decoy, .. } = &*STYLEGAN;
    let disc = discriminator();
    let told = |file: &Py| detect_py(file).unwrap().network_taken;
    let state = |tensors: &[NamedTensor]| Py::tensors(tensors, "");
    assert_eq!(told(&state(used)), "the whole file");
    let file = Py::dict([("g", state(decoy)), ("d", state(&disc)), ("g_ema", state(used)), ("g_optim", optimiser())]);
    assert_eq!(told(&file), "g_ema (averaged; beside it: g, d)");
    let file =
        Py::dict([("state_dict", flat(&[("generator.", decoy), ("generator_ema.", used), ("discriminator.", &disc)]))]);
    assert_eq!(told(&file), "state_dict.generator_ema (averaged; beside it: generator, discriminator)");
    assert_eq!(told(&flat(&[("module.module.", used)])), "module.module");
    assert_eq!(told(&Py::Tuple(vec![Py::Int(5), state(used)])), "1");
    assert_eq!(detect_py(&file).unwrap().ignored, ["state_dict.generator", "state_dict.discriminator"]);
}

#[test]
fn another_network_can_be_asked_for() {
    let Pair { used, decoy, identity } = &*STYLEGAN;
    let file = Py::dict([("g", Py::tensors(used, "")), ("g_ema", Py::tensors(decoy, ""))]);
    assert_eq!(detect_wanted(&file, Some("g")).unwrap().identity().unwrap(), *identity);
    let message = detect_wanted(&file, Some("h")).unwrap_err().to_string();
    assert_eq!(message, "test.pt: no network h in the file: there are g_ema, g");
}

#[test]
fn networks_that_are_alike_are_told() {
    let Pair { used, decoy, .. } = &*DCGAN;
    for (a, b) in [("netG_A2B", "netG_B2A"), ("first", "second"), ("model_1", "model_2")] {
        let file = Py::dict([(a, Py::tensors(used, "")), (b, Py::tensors(decoy, ""))]);
        let weights = detect_py(&file).unwrap();
        let warning = format!("several networks that are alike: {a} is used, not {b}");
        assert!(weights.warnings.iter().any(|text| text.contains(&warning)), "{a}: {:?}", weights.warnings);
    }
    let list = Py::List(vec![Py::tensors(&discriminator(), ""), Py::tensors(used, "")]);
    assert_eq!(detect_py(&list).unwrap().network_taken, "1 (beside it: 0)");
}

/// What a damaged average is told of, and that its network in training does not silently take its place.
#[test]
fn a_damaged_average_is_an_error() {
    let Pair { used, decoy, .. } = &*STYLEGAN;
    let mut damaged = used.clone();
    let short = damaged.iter_mut().find(|(name, ..)| name == "synthesis.b8.conv0.bias").unwrap();
    (short.1, short.2) = (vec![23], vec![0.0; 23]);
    let file = Py::dict([("g", Py::tensors(decoy, "")), ("g_ema", Py::tensors(&damaged, ""))]);
    let message = detect_py(&file).unwrap_err().to_string();
    assert!(message.contains("synthesis.b8.conv0.bias: expected shape [24], found [23]"), "{message}");
}

/// Averages of the trained parameters only, without their buffers; without dots in their names; without names.
#[test]
fn averages_are_completed_from_their_network() {
    let Pair { used, decoy, .. } = &*DCGAN;
    let is_buffer = |name: &str| name.contains("running_");
    let parameters: Vec<NamedTensor> = used.iter().filter(|(name, ..)| !is_buffer(name)).cloned().collect();
    // What is right: averaged parameters with the buffers of the network in training.
    let mut expected = decoy.clone();
    for (name, _, values) in &mut expected {
        if let Some((_, _, averaged)) = parameters.iter().find(|(known, ..)| known == name) {
            *values = averaged.clone();
        }
    }
    let expected = detect_py(&Py::tensors(&expected, "")).unwrap().identity().unwrap();
    let state = Py::tensors(decoy, "");
    let shadow = Py::tensors(&parameters, "");
    let list =
        Py::List(parameters.iter().map(|(_, shape, values)| Py::Tensor(shape.clone(), values.clone())).collect());
    let squeezed: Vec<NamedTensor> =
        used.iter().map(|(name, shape, values)| (name.replace('.', ""), shape.clone(), values.clone())).collect();
    for (file, base) in [
        (Py::dict([("model", state.clone()), ("shadow", shadow.clone())]), "model"),
        (Py::dict([("ema", Py::dict([("decay", Py::Int(1)), ("shadow", shadow)])), ("net", state.clone())]), "net"),
        (Py::dict([("g", state.clone()), ("g_ema", list.clone())]), "g"),
        (Py::dict([("g", state), ("ema", Py::dict([("num_updates", Py::Int(3)), ("shadow_params", list)]))]), "g"),
    ] {
        let weights = detect_py(&file).unwrap();
        assert_eq!(weights.identity().unwrap(), expected, "{}", weights.network_taken);
        let words = format!("averaged; what is not averaged is from {base}");
        assert!(weights.network_taken.contains(&words), "{}", weights.network_taken);
    }
    let lightning = flat(&[("model.", decoy), ("model_ema.", &squeezed)]);
    let weights = detect_py(&Py::dict([("state_dict", lightning)])).unwrap();
    assert_eq!(weights.identity().unwrap(), DCGAN.identity, "{}", weights.network_taken);
}

#[test]
fn whole_modules_are_searched_too() {
    let Pair { used, decoy, identity } = &*DCGAN;
    let module = |class: &'static str, tensors: &[NamedTensor]| {
        let mut parts: Vec<(&str, Py)> = Vec::new();
        let numbers: Vec<&str> = tensors.iter().filter_map(|(name, ..)| name.split('.').nth(1)).collect();
        for number in numbers {
            if parts.iter().any(|(known, _)| *known == number) {
                continue;
            }
            let own: Vec<(&str, Py)> = tensors
                .iter()
                .filter(|(name, ..)| name.split('.').nth(1) == Some(number))
                .map(|(name, shape, values)| {
                    (name.rsplit('.').next().unwrap(), Py::Tensor(shape.clone(), values.clone()))
                })
                .collect();
            parts.push((number, Py::module("torch.nn.Layer", &own, Vec::new())));
        }
        Py::module(class, &[], vec![("main", Py::module("torch.nn.Sequential", &[], parts))])
    };
    let parallel = |inner| Py::module("torch.nn.DataParallel", &[], vec![("module", inner)]);
    let averaged = Py::module(
        "swa.AveragedModel",
        &[("n_averaged", Py::Tensor(vec![], vec![3.0]))],
        vec![("module", module("m.G", used))],
    );
    let gan = Py::module(
        "m.GAN",
        &[],
        vec![
            ("generator", module("m.G", decoy)),
            ("discriminator", module("m.D", decoy)),
            ("generator_ema", module("m.G", used)),
        ],
    );
    for file in [
        module("m.Generator", used),
        parallel(module("m.Generator", used)),
        averaged,
        gan,
        Py::List(vec![module("m.Generator", used)]),
        Py::dict([("netG", parallel(module("m.G", decoy))), ("netG_ema", parallel(module("m.G", used)))]),
    ] {
        assert_eq!(detect_py(&file).unwrap().identity().unwrap(), *identity);
    }
}

#[test]
fn files_without_a_generator_say_what_they_hold() {
    let disc = || Py::tensors(&discriminator(), "");
    for (file, expected) in [
        (
            Py::dict([("D", disc()), ("d_optim", optimiser())]),
            "it holds D (a discriminator), d_optim (the state of an optimiser)",
        ),
        (optimiser(), "the state of an optimiser, without a network"),
        (
            Py::List(vec![Py::Tensor(vec![2], vec![0.0; 2]), Py::Tensor(vec![2], vec![0.0; 2])]),
            "a list of 2 tensors without names",
        ),
        (Py::Tensor(vec![1, 8, 16], vec![0.0; 128]), "one tensor of shape [1, 8, 16], not a network"),
        (Py::dict([("latent", Py::Tensor(vec![1, 8, 16], vec![0.0; 128]))]), "one tensor, latent of shape [1, 8, 16]"),
        (
            Py::dict([
                ("a.lora_up.weight", Py::Tensor(vec![2, 2], vec![0.0; 4])),
                ("a.lora_down.weight", Py::Tensor(vec![2, 2], vec![0.0; 4])),
            ]),
            "a LoRA",
        ),
        (Py::dict::<&str>([]), "a map of 0 entries, no tensors"),
        (Py::dict([("epoch", Py::Int(3)), ("itr", Py::Int(3))]), "the progress of a training"),
        (Py::dict([("log", Py::Text("x".into()))]), "a map of 1 entries (log), no tensors"),
    ] {
        let message = detect_py(&file).unwrap_err().to_string();
        assert!(message.starts_with("test.pt: ") && message.contains(expected), "{message}");
    }
}

/// Maps that contain themselves, many siblings, long and many-stepped names: each is walked in a moment.
#[test]
fn hostile_trees_are_bounded() {
    let key = |key: &str| [b"X".as_slice(), &(key.len() as u32).to_le_bytes(), key.as_bytes()].concat();
    // A map that contains itself under 1000 keys.
    let mut cyclic = b"\x80\x02}q\x00(".to_vec();
    (0..1000).for_each(|number| cyclic.extend([key(&format!("k{number}")), b"h\x00".to_vec()].concat()));
    cyclic.extend(b"u.");
    // A list that contains itself 1000 times.
    let mut list = b"\x80\x02]q\x00(".to_vec();
    list.extend(b"h\x00".repeat(1000));
    list.extend(b"e.");
    for program in [cyclic, list] {
        let message = detect(Checkpoint::from_bytes(program, "test.pkl").unwrap()).unwrap_err().to_string();
        assert!(message.contains("contain themselves"), "{message}");
    }
    let one = || Py::Tensor(vec![1], vec![1.0]);
    let steps = |step: &str, count: usize| vec![step; count].join(".");
    for names in [
        (0..2000).map(|number| format!("g{number}.weight")).collect::<Vec<_>>(),
        (0..500).map(|number| format!("{}.{number}", steps("a", 250))).collect(),
        (0..500).map(|number| format!("{}.{number}", steps("g_ema", 80))).collect(),
        (0..500).map(|number| format!("{}{number}.b", ".".repeat(400))).collect(),
        (0..300).map(|number| format!("g_ema{number}.net.module.weight")).collect(),
        vec!["x".repeat(100_000)],
    ] {
        let tensors = names.into_iter().map(|name| (name, vec![1], vec![1.0]));
        let file = safetensors(tensors, []);
        assert!(detect(Checkpoint::from_bytes(file, "test.safetensors").unwrap()).is_err());
    }
    let siblings = (0..3000).map(|number| (format!("k{number}"), Py::dict([("g_ema", Py::dict([("weight", one())]))])));
    assert!(detect_py(&Py::dict(siblings)).is_err());
}
