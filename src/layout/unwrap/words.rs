//! What the words in keys and prefixes say of a network: whose it is, and whether its weights are a moving average.

/// Words for the generator itself.
const GENERATOR: [&str; 12] =
    ["generator", "generators", "gen", "g", "netg", "gnet", "gs", "gema", "emag", "decoder", "dec", "gens"];
/// Words for the average of a network over its training.
const AVERAGED: [&str; 17] = [
    "ema", "emas", "running", "smooth", "smoothed", "avg", "average", "averaged", "averages", "shadow", "swa",
    "polyak", "moving", "mavg", "gs", "gema", "emag",
];
/// Words that mean an average beside a word for the generator only (`generator_test`, `G_target`).
const AVERAGED_COPY: [&str; 4] = ["test", "target", "slow", "eval"];
/// Words that say nothing: a name made of these and of the words above is explained.
const FILLERS: [&str; 56] = [
    "net",
    "nets",
    "network",
    "networks",
    "model",
    "models",
    "module",
    "modules",
    "state",
    "states",
    "dict",
    "dicts",
    "params",
    "parameters",
    "param",
    "weights",
    "weight",
    "variables",
    "checkpoint",
    "checkpoints",
    "ckpt",
    "snapshot",
    "orig",
    "mod",
    "fabric",
    "the",
    "my",
    "best",
    "last",
    "latest",
    "final",
    "current",
    "online",
    "train",
    "training",
    "trained",
    "raw",
    "copy",
    "self",
    "wrapped",
    "inner",
    "base",
    "image",
    "img",
    "gan",
    "stylegan",
    "dcgan",
    "wgan",
    "biggan",
    "pggan",
    "gp",
    "a",
    "b",
    "x",
    "y",
    "data",
];
/// Words for parts of one network: a name that has one is no network of its own, whatever else it says.
const PARTS: [&str; 24] = [
    "mapping",
    "synthesis",
    "style",
    "styles",
    "rgb",
    "block",
    "blocks",
    "layer",
    "layers",
    "fc",
    "linear",
    "conv",
    "convs",
    "embed",
    "embedding",
    "emb",
    "head",
    "trunk",
    "body",
    "pool",
    "mean",
    "var",
    "norm",
    "bn",
];

/// What a network is that this program does not draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Other {
    Discriminator,
    Encoder,
    Classifier,
    Optimiser,
    /// A network that measures, and what it is told by.
    Loss,
    /// What else trainings keep: schedules, scalers, augmentation.
    Training,
}

impl Other {
    /// True for networks, which are named beside the one that is taken.
    pub(super) fn is_network(self) -> bool {
        matches!(self, Other::Discriminator | Other::Encoder | Other::Classifier)
    }

    /// For messages, in the singular.
    pub(super) fn name(self) -> &'static str {
        match self {
            Other::Discriminator => "a discriminator",
            Other::Encoder => "an encoder",
            Other::Classifier => "a classifier",
            Other::Optimiser => "the state of an optimiser",
            Other::Loss => "a network that measures losses",
            Other::Training => "the state of a training",
        }
    }
}

/// Words that exclude wherever they stand.
const OTHERS: [(&[&str], Other); 4] = [
    (
        &["discriminator", "discriminators", "discrim", "disc", "discs", "dis", "critic", "critics", "netd", "dnet"],
        Other::Discriminator,
    ),
    (
        &[
            "optimizer",
            "optimizers",
            "optimiser",
            "optimisers",
            "optim",
            "optims",
            "opt",
            "adam",
            "sgd",
            "rmsprop",
            "optimizerg",
            "optimizerd",
        ],
        Other::Optimiser,
    ),
    (
        &[
            "loss",
            "losses",
            "criterion",
            "lpips",
            "vgg",
            "inception",
            "fid",
            "metric",
            "metrics",
            "perceptual",
            "arcface",
            "facenet",
        ],
        Other::Loss,
    ),
    (&["scheduler", "schedulers", "scaler", "augment", "augmentation", "augmentations"], Other::Training),
];
/// Words that exclude a name that is explained by them: inside a generator they are parts (`label_encoder`).
const OTHERS_ALONE: [(&[&str], Other); 3] = [
    (&["d", "ds"], Other::Discriminator),
    (&["encoder", "encoders", "enc", "e"], Other::Encoder),
    (&["classifier", "classifiers", "cls"], Other::Classifier),
];

/// What a key or a prefix says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) generator: bool,
    pub(super) averaged: bool,
    pub(super) other: Option<Other>,
    /// A wrapper's name, which says nothing.
    pub(super) wrapper: bool,
}

/// Letters of the longest name that can say something.
const MAX_NAME: usize = 80;

impl Role {
    /// Of one step of a path. Keys of maps that hold networks (`is_key`) may have other words too; prefixes of tensors may
    /// not, because a layer may be called `g_fc`.
    pub(super) fn of(name: &str, is_key: bool) -> Role {
        if name.len() > MAX_NAME {
            return Role::default();
        }
        let words = words(name);
        let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
        let explained = |list: &[&str]| {
            let known = |word: &str| {
                word.bytes().all(|byte| byte.is_ascii_digit())
                    || [list, &GENERATOR, &AVERAGED, &AVERAGED_COPY, &FILLERS].iter().any(|list| list.contains(&word))
            };
            words.iter().all(|word| known(word))
        };
        let other = OTHERS.iter().find(|(list, _)| has(list)).or_else(|| {
            OTHERS_ALONE.iter().find(|(list, _)| has(list) && (explained(list) || is_key && has(&["encoder"])))
        });
        if let Some((_, other)) = other {
            return Role { other: Some(*other), ..Role::default() };
        }
        let all = explained(&[]);
        let loosely = all || is_key && !has(&PARTS);
        let long = |list: &[&str]| words.iter().any(|word| word.len() > 2 && list.contains(&word.as_str()));
        let generator = if all { has(&GENERATOR) } else { loosely && long(&GENERATOR) };
        let averaged = loosely && (has(&AVERAGED) || generator && has(&AVERAGED_COPY));
        // `b4` is a layer.
        let is_number = |word: &String| word.bytes().all(|byte| byte.is_ascii_digit());
        let is_word = !words.is_empty()
            && (words.iter().all(is_number) || words.iter().any(|word| word.len() > 1 && !is_number(word)));
        Role { generator, averaged, other: None, wrapper: all && !generator && !averaged && is_word }
    }
}

/// The words of a name, in lower case: split at signs, at numbers, and where capitals begin (`netG`, `EMAModel`).
fn words(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().collect();
    let mut words = vec![String::new()];
    for (i, &letter) in letters.iter().enumerate() {
        let before = i.checked_sub(1).map(|i| letters[i]);
        let begins = before.is_some_and(|before| {
            let after_is_lower = letters.get(i + 1).is_some_and(|after| after.is_lowercase());
            before.is_numeric() != letter.is_numeric()
                || letter.is_uppercase() && (before.is_lowercase() || before.is_uppercase() && after_is_lower)
        });
        if begins || !letter.is_alphanumeric() {
            words.push(String::new());
        }
        if letter.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_into_words() {
        assert_eq!(words("netG_ema"), ["net", "g", "ema"]);
        assert_eq!(words("EMAModel2.gen-A2B"), ["ema", "model", "2", "gen", "a", "2", "b"]);
        assert_eq!(words("_orig_mod"), ["orig", "mod"]);
        assert_eq!(words("..").len(), 0);
    }

    #[test]
    fn averages_are_known_by_any_spelling() {
        for name in [
            "g_ema",
            "G_ema",
            "g_running",
            "generator_smooth",
            "avgG",
            "netG_avg",
            "Gs",
            "ema_generator",
            "emaG",
            "G_EMA",
            "gen_ema",
            "averaged_generator",
            "generator_average",
            "shadow_G",
            "net_g_ema",
            "generatorEMA",
            "Gema",
            "generator_test",
            "G_swa",
            "decoder_ema",
            "G_A2B_ema",
        ] {
            let role = Role::of(name, false);
            assert!(role.generator && role.averaged, "{name}: {role:?}");
        }
        for name in ["params_ema", "state_dict_ema", "ema_model", "ema", "shadow", "model_ema", "EMA", "avg_params"] {
            let role = Role::of(name, false);
            assert!(role.averaged && role.other.is_none(), "{name}: {role:?}");
        }
    }

    #[test]
    fn generators_others_and_wrappers_are_told_apart() {
        for name in ["g", "G", "netG", "generator", "_generator", "gen", "G_state_dict", "generator_A", "netG_B2A"] {
            assert_eq!(Role::of(name, false), Role { generator: true, ..Role::default() }, "{name}");
        }
        for name in [
            "D",
            "netD",
            "discriminator_ema",
            "d_ema",
            "critic",
            "perceptual_loss",
            "lpips",
            "g_optim",
            "optimizer_G",
            "encoder",
            "E",
            "net_d",
            "vgg16",
            "disc_state_dict",
            "encoder_ema",
            "G_loss",
            "classifier",
        ] {
            assert!(Role::of(name, false).other.is_some(), "{name}");
        }
        for name in ["module", "_orig_mod", "model", "state_dict", "net", "online_model", "params", "0"] {
            assert!(Role::of(name, false).wrapper, "{name}");
        }
        for name in
            ["synthesis", "mapping", "g_mapping", "g_synthesis", "GBlock", "label_encoder", "avg_pool", "b4", "gen_z"]
        {
            assert_eq!(Role::of(name, false), Role::default(), "{name}");
        }
        assert!(Role::of("best_generator_of_run_7", true).generator && !Role::of("generator_mapping", true).generator);
        assert!(Role::of("EMACallback", true).averaged && !Role::of("running_mean", true).averaged);
    }
}
