//! The command line, end to end: the program itself, its files, its exit codes and its messages.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use sefa_studio::{export, latent, project};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::fixture;

/// A folder to work in, and the program.
pub struct Shell(TempDir);

impl Shell {
    pub fn new() -> Self {
        Shell(TempDir::new().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The program with this line of arguments. What it keeps between runs lies in the folder `home`.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sefa-studio"));
        command.current_dir(self.0.path()).env("SEFA_STUDIO_HOME", self.path("home"));
        command.args(line.split_whitespace());
        command
    }

    /// Runs a line of arguments, on the CPU.
    fn run(&self, line: &str) -> Output {
        self.command(line).args(["--device", "cpu"]).output().unwrap()
    }

    /// Runs a line that must succeed; returns what it printed.
    pub fn ok(&self, line: &str) -> String {
        let output = self.run(line);
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{line}: {stderr}");
        stdout
    }

    /// Runs a line; returns its exit code and what it complained about.
    pub fn said(&self, line: &str) -> (Option<i32>, String) {
        let output = self.run(line);
        (output.status.code(), text(&output.stderr))
    }

    pub fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.ok(line)).unwrap()
    }

    /// Runs a line that must fail with `code`; returns the message.
    pub fn fails(&self, line: &str, code: i32) -> String {
        let output = self.run(line);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{line}: {stderr}");
        assert_eq!(stderr.lines().filter(|line| line.starts_with("error:")).count(), 1, "{line}: {stderr}");
        assert!(!stderr.contains("panicked"), "{line}: {stderr}");
        assert_eq!(text(&output.stdout), "", "{line}");
        stderr
    }

    pub fn pixels(&self, name: &str) -> Vec<u8> {
        let bytes = fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().unwrap();
        let mut data = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut data).unwrap();
        data
    }

    /// Values of an npy file of ours.
    fn npy(&self, name: &str) -> Vec<f32> {
        let bytes = fs::read(self.path(name)).unwrap();
        let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        assert_eq!(start % 64, 0, "numpy wants its data aligned");
        bytes[start..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[test]
fn seeds_become_numbered_frames() {
    let shell = Shell::new();
    let printed = shell.ok("render --out a/b --seeds 0,2-3");
    assert!(printed.contains("3 frames") && printed.contains("a/b") && printed.contains("CPU"), "{printed}");
    let frames = ["a/b/frame_0000.png", "a/b/frame_0001.png", "a/b/frame_0002.png"].map(|name| shell.pixels(name));
    assert_ne!(frames[0], frames[1]);
    assert_ne!(frames[1], frames[2]);
    assert!(!shell.path("a/b/frame_0003.png").exists());
    shell.ok("render --out again --seeds 2");
    assert_eq!(shell.pixels("again/frame_0000.png"), frames[1], "a seed means one picture");
    shell.ok("render example:faces --out faces");
    assert!(shell.path("faces/frame_0000.png").exists());
}

#[test]
fn a_sweep_passes_through_the_unmoved_picture() {
    let shell = Shell::new();
    shell.ok("render --out plain --seeds 4-5 --psi 0.8");
    shell.ok("render --out sweep --seeds 4-5 --psi 0.8 --layers bottom --direction 0 --from -4 --to 4 --steps 3 --sheet --raw");
    let frame = |number: usize| shell.pixels(&format!("sweep/frame_{number:04}.png"));
    assert_eq!(frame(1), shell.pixels("plain/frame_0000.png"));
    assert_eq!(frame(4), shell.pixels("plain/frame_0001.png"));
    assert_ne!(frame(0), frame(1));
    assert_ne!(frame(0), frame(2));
    assert!(shell.path("sweep/sheet.png").exists() && !shell.path("sweep/frame_0006.png").exists());

    let raw = shell.npy("sweep/frame_0002.npy");
    let plane = raw.len() / 3;
    let quantised = |i: usize| (raw[i % 3 * plane + i / 3] * 127.5 + 128.0).clamp(0.0, 255.0) as u8;
    assert_eq!(frame(2), (0..raw.len()).map(quantised).collect::<Vec<_>>(), "npy is the same picture, planar");
}

#[test]
fn a_sweep_of_an_edit_along_a_move_that_it_has_takes_the_place_of_that_move() {
    let shell = Shell::new();
    let along = "--layers bottom --direction 0 --steps 1";
    shell.ok(&format!("render --out far --seeds 9 {along} --from 5 --to 5"));
    shell.ok(&format!("render --out near --seeds 9 {along} --from 2 --to 2"));
    let line = format!("render --out again --edit far/frame_0000.png {along} --from 2 --to 2");
    let output = shell.run(&line);
    let note = text(&output.stderr);
    assert!(output.status.success() && note.contains("direction 1 of layers 0-1 already, by 5"), "{note}");
    assert_eq!(shell.pixels("again/frame_0000.png"), shell.pixels("near/frame_0000.png"), "2, and not 5 and 2");
    let other = shell.run(&line.replace("--direction 0", "--direction 1").replace("again", "both"));
    assert!(other.status.success() && !text(&other.stderr).contains("already"));
    assert_ne!(shell.pixels("both/frame_0000.png"), shell.pixels("near/frame_0000.png"));
}

#[test]
fn a_frame_can_be_rendered_again_from_itself_and_from_json() {
    let shell = Shell::new();
    shell.ok("render --out first --seeds 9 --psi 0.6 --cutoff 4 --noise random --noise-seed 3 \
         --layers 2-3 --direction 1 --from 5 --to 5 --steps 1");
    let picture = shell.pixels("first/frame_0000.png");
    shell.ok("render --out second --edit first/frame_0000.png");
    assert_eq!(shell.pixels("second/frame_0000.png"), picture);
    let project = project::embedded_project(&fs::read(shell.path("first/frame_0000.png")).unwrap()).unwrap().unwrap();
    fs::write(shell.path("edit.json"), project).unwrap();
    shell.ok("render --out third --edit edit.json");
    assert_eq!(shell.pixels("third/frame_0000.png"), picture);

    let message = shell.fails("render example:faces --out fourth --edit edit.json", 1);
    assert!(message.contains("does not fit"), "{message}");
    assert!(!shell.path("fourth").exists());
}

#[test]
fn seeds_of_another_tool_are_asked_for_by_name_and_kept_in_the_picture() {
    let shell = Shell::new();
    assert_eq!(shell.json("info --json")["seeds"], "studio");
    for tool in ["auto", "studio", "numpy", "torch", "scipy"] {
        shell.ok(&format!("render --out {tool} --seeds 5 --seeds-of {tool}"));
        shell.ok(&format!("render --out {tool}_again --edit {tool}/frame_0000.png"));
        let again = shell.pixels(&format!("{tool}_again/frame_0000.png"));
        assert_eq!(shell.pixels(&format!("{tool}/frame_0000.png")), again, "{tool}");
    }
    let picture = |tool: &str| shell.pixels(&format!("{tool}/frame_0000.png"));
    assert_eq!(picture("auto"), picture("studio"));
    assert!(
        picture("numpy") != picture("torch")
            && picture("torch") != picture("scipy")
            && picture("scipy") != picture("studio")
    );
    let message = shell.fails("render --out none --seeds 4294967296 --seeds-of numpy", 1);
    assert!(message.contains("NumPy takes seeds from 0 to 4294967295"), "{message}");
    shell.fails("render --out none --seeds-of dice", 2);

    let path = fixture("stylegan2_rosinality/model.pt");
    let path = path.display();
    shell.ok(&format!("convert {path} converted.safetensors"));
    assert_eq!(shell.json("info converted.safetensors --json")["seeds"], "torch", "a converted file keeps its seeds");
}

#[test]
fn codes_of_other_tools_are_rendered_as_they_are() {
    let shell = Shell::new();
    let info = shell.json("info --json");
    let (z_dim, w_dim) = (info["z_dim"].as_u64().unwrap() as usize, info["w_dim"].as_u64().unwrap() as usize);
    let layers = info["num_layers"].as_u64().unwrap() as usize;
    let z: Vec<f32> = [5, 6].into_iter().flat_map(|seed| latent::z_from_seed(seed, z_dim)).collect();
    export::write_npy(&shell.path("z.npy"), &[2, z_dim], &z).unwrap();
    shell.ok("render --out seeds --seeds 5-6");
    shell.ok("render --out codes --latents z.npy --sheet");
    assert_eq!(shell.pixels("codes/frame_0001.png"), shell.pixels("seeds/frame_0001.png"));

    let w: Vec<f32> = latent::z_from_seed(1, w_dim).iter().map(|x| x / 4.0).collect();
    export::write_npy(&shell.path("w.npy"), &[w_dim], &w).unwrap();
    export::write_npy(&shell.path("w_plus.npy"), &[1, layers, w_dim], &w.repeat(layers)).unwrap();
    shell.ok("render --out w --latents w.npy --space w");
    shell.ok("render --out w_plus --latents w_plus.npy");
    assert_eq!(shell.pixels("w/frame_0000.png"), shell.pixels("w_plus/frame_0000.png"));
    shell.ok("render --out truncated --latents w.npy --space w --psi 0.5");
    assert_ne!(shell.pixels("w/frame_0000.png"), shell.pixels("truncated/frame_0000.png"));

    export::write_npy(&shell.path("bad.npy"), &[1, z_dim + 1], &vec![0.0; z_dim + 1]).unwrap();
    let message = shell.fails("render --out none --latents bad.npy", 1);
    assert!(message.contains("bad.npy") && message.contains(&format!("[N, {z_dim}] in z")), "{message}");
}

#[test]
fn directions_are_the_same_in_every_format() {
    let shell = Shell::new();
    let json = shell.json("factorize --layers 0-1 --json --out all.npy");
    let eigenvalues = numbers(&json["eigenvalues"]);
    assert!(eigenvalues.is_sorted_by(|a, b| a >= b) && eigenvalues.len() > 8);
    let directions: Vec<Vec<f64>> = json["directions"].as_array().unwrap().iter().map(numbers).collect();
    for direction in &directions {
        assert!((direction.iter().map(|x| x * x).sum::<f64>() - 1.0).abs() < 1e-5);
    }
    let flat: Vec<f32> = directions.iter().flatten().map(|&x| x as f32).collect();
    assert_eq!(shell.npy("all.npy"), flat);

    let table = shell.ok("factorize --layers bottom --top 3 --out top.safetensors");
    assert!(table.contains("eigenvalue") && table.contains("layers 0-1") && table.lines().count() >= 5, "{table}");
    let bytes = fs::read(shell.path("top.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = file.tensor("directions").unwrap();
    assert_eq!(tensor.shape(), [3, directions[0].len()]);
    assert_eq!(tensor.data(), flat[..3 * directions[0].len()].iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>());
    assert_eq!(file.tensor("eigenvalues").unwrap().shape(), [3]);

    shell.ok("factorize --layers bottom --raw-weights --out raw.json");
    let raw: Value = serde_json::from_slice(&fs::read(shell.path("raw.json")).unwrap()).unwrap();
    assert_ne!(numbers(&raw["eigenvalues"]), eigenvalues);
}

#[test]
fn principal_components_are_printed_and_saved_like_directions_of_weights() {
    let shell = Shell::new();
    let model = fixture("stylegan2_ada_skip/model.pth").display().to_string();
    let golden = fixture("analysis/pca.safetensors").display().to_string();
    let given = format!("--method pca --latents {golden} --latents-key z");
    let json = shell.json(&format!("factorize {model} {given} --json --out all.npy"));
    assert_eq!((&json["method"], &json["samples"]), (&"pca".into(), &4096.into()));
    let variances = numbers(&json["variances"]);
    assert!((variances[0] - 2.254_437_7).abs() < 2e-4 && (variances[15] - 1.518_101e-4).abs() < 2e-8, "{variances:?}");
    let directions: Vec<Vec<f64>> = json["directions"].as_array().unwrap().iter().map(numbers).collect();
    let flat: Vec<f32> = directions.iter().flatten().map(|&x| x as f32).collect();
    assert_eq!((shell.npy("all.npy"), numbers(&json["mean"]).len()), (flat, 16));

    let drawn = format!("factorize {model} --method pca --samples 3000 --seed 9");
    let first = shell.ok(&format!("{drawn} --json"));
    assert_eq!(first, shell.ok(&format!("{drawn} --json")), "the same seed, the same bytes");
    assert_ne!(first, shell.ok(&format!("{drawn}0 --json")));
    let table = shell.ok(&format!("{drawn} --layers bottom --top 3 --out top.safetensors"));
    assert!(table.contains("variance") && table.contains("layers 0-1, PCA of 3000 codes"), "{table}");
    let bytes = fs::read(shell.path("top.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("directions").unwrap().shape(), [3, 16]);
    assert_eq!(file.tensor("variances").unwrap().shape(), [3]);
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header.metadata().as_ref().unwrap()["seed"], "9");

    for (line, expected) in [
        (format!("{drawn} --raw-weights"), "--raw-weights is an option of --method sefa"),
        (format!("factorize {model} --samples 9"), "--samples is an option of --method pca"),
        (format!("factorize {model} --method pca --samples 16"), "expected more than 16 samples, found 16"),
        (
            format!("factorize {model} --method pca --latents {golden} --latents-key mean"),
            "more than 16 samples, found 1",
        ),
        ("factorize --method pca --latents missing.npy".into(), "missing.npy"),
    ] {
        let message = shell.fails(&line, 1);
        assert!(message.contains(expected), "{line}: {message}");
    }
    shell.fails("factorize --method pca --latents z.npy --samples 5", 2);
    let of_z = shell.run("factorize example:faces --method pca --samples 300");
    assert!(of_z.status.success() && text(&of_z.stderr).contains("--method sefa --raw-weights"));
}

#[test]
fn info_has_the_promised_keys() {
    let shell = Shell::new();
    let keys = [
        "family",
        "layout",
        "container",
        "resolution",
        "width",
        "height",
        "channels",
        "z_dim",
        "w_dim",
        "num_layers",
        "layers",
        "classes",
        "carries_code",
        "network_taken",
        "warnings",
    ];
    let rosinality = fixture("stylegan2_rosinality/model.pt");
    for file in ["", "example:faces", rosinality.to_str().unwrap()] {
        let info = shell.json(&format!("info {file} --json"));
        for key in keys {
            assert!(info.get(key).is_some(), "{file}: no {key}");
        }
        assert_eq!(info["layers"].as_array().unwrap().len() as u64, info["num_layers"].as_u64().unwrap());
        for key in ["width", "height", "resolution", "channels"] {
            assert!(info["layers"][0][key].is_u64(), "{file}: no {key} of a layer");
        }
        let readable = shell.ok(&format!("info {file}"));
        assert!(readable.contains("layer") && readable.contains(info["container"].as_str().unwrap()), "{readable}");
    }
}

#[test]
fn a_converted_file_is_the_same_generator() {
    let shell = Shell::new();
    for (number, name) in
        ["stylegan2_ada_skip/model.pth", "stylegan2_rosinality/model.pt", "dcgan/netG.pth"].iter().enumerate()
    {
        let original = fixture(name);
        let original = original.to_str().unwrap();
        let printed = shell.ok(&format!("convert {original} {number}.safetensors"));
        assert!(printed.contains(&format!("{number}.safetensors")), "{printed}");
        shell.ok(&format!("render {original} --out original{number} --psi 0.7"));
        shell.ok(&format!("render {number}.safetensors --out converted{number} --psi 0.7"));
        let (original, converted) =
            (format!("original{number}/frame_0000.png"), format!("converted{number}/frame_0000.png"));
        assert_eq!(shell.pixels(&original), shell.pixels(&converted), "{name}");
    }
    let single = shell.path("0.safetensors").metadata().unwrap().len();
    shell.ok("convert 0.safetensors half.safetensors --half");
    assert!(shell.path("half.safetensors").metadata().unwrap().len() < single * 2 / 3);
    shell.ok("render half.safetensors --out half");
}

#[test]
fn names_of_directions_travel_with_the_model() {
    let shell = Shell::new();
    let model = fixture("stylegan2_ada_skip/model.pth");
    let model = model.to_str().unwrap();
    let info: serde_json::Value = serde_json::from_str(&shell.ok(&format!("info {model} --json"))).unwrap();
    let project = |identity: &serde_json::Value| {
        serde_json::json!({
            "version": 1,
            "model": { "identity": identity, "name": "heads", "family": "StyleGAN2", "source": model },
            "edit": sefa_studio::edit::Edit::default(),
            "names": { "0-1/row-normalised/0": "pose", "0-1/row-normalised/2": "age" },
        })
    };
    fs::write(shell.path("edit.json"), project(&info["identity"]).to_string()).unwrap();
    shell.ok(&format!("convert {model} named.safetensors --names edit.json --about title=Named"));
    let table = shell.ok("factorize named.safetensors --layers bottom");
    let line = |index: usize| table.lines().nth(2 + index).unwrap();
    assert!(table.starts_with("Named") && line(0).ends_with("  pose") && line(2).ends_with("  age"), "{table}");
    assert!(line(1).ends_with('%') && !shell.ok("factorize named.safetensors --layers all").contains("pose"));

    fs::write(shell.path("other.json"), project(&"another".into()).to_string()).unwrap();
    let message = shell.fails(&format!("convert {model} out.safetensors --names other.json"), 1);
    assert!(message.contains("other.json") && message.contains("another model"), "{message}");
    // Names that make no sense are not used, and the model opens.
    shell.ok(&format!("convert {model} odd.safetensors --about direction_names=pose"));
    assert!(shell.ok("info odd.safetensors").contains("names of directions"));
}

/// A model with ImageNet's number of classes: a fixture's embedding, its columns repeated.
pub fn with_a_thousand_classes(folder: &Path) -> PathBuf {
    let shell = Shell::new();
    let small = fixture("biggan_deep_hf_small/pytorch_model.bin");
    shell.ok(&format!("convert {} small.safetensors", small.display()));
    let bytes = fs::read(shell.path("small.safetensors")).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let embedding = file.tensor("embeddings.weight").unwrap();
    let &[rows, classes] = embedding.shape() else { panic!("an embedding of {:?}", embedding.shape()) };
    let at = |i: usize| &embedding.data()[4 * (i / 1000 * classes + i % 1000 % classes)..][..4];
    let wide: Vec<u8> = (0..rows * 1000).flat_map(at).copied().collect();
    let wide = TensorView::new(Dtype::F32, vec![rows, 1000], &wide).unwrap();
    let tensors = file.tensors().into_iter();
    let tensors =
        tensors.map(|(name, view)| if name == "embeddings.weight" { (name, wide.clone()) } else { (name, view) });
    let mut about = metadata.metadata().clone().unwrap_or_default();
    about.insert("license".into(), "CC BY 4.0\nno warranty\u{1b}[2J".into());
    let path = folder.join("thousand.safetensors");
    fs::write(&path, safetensors::serialize(tensors, Some(about)).unwrap()).unwrap();
    path
}

#[test]
fn layers_take_their_codes_from_another_seed() {
    let shell = Shell::new();
    shell.ok("render --out plain --seeds 3,42 --noise none");
    shell.ok("render --out mixed --seeds 3 --noise none --style top=42");
    shell.ok("render --out whole --seeds 3 --noise none --style all=7 --style 0-11=42");
    let (plain, mixed) = (shell.pixels("plain/frame_0000.png"), shell.pixels("mixed/frame_0000.png"));
    assert!(plain != mixed && mixed != shell.pixels("plain/frame_0001.png"));
    assert!(shell.pixels("whole/frame_0000.png") == shell.pixels("plain/frame_0001.png"), "the later style counts");
    shell.ok("render --out again --edit mixed/frame_0000.png");
    assert!(shell.pixels("again/frame_0000.png") == mixed, "the style is in the picture's edit");
    for (arguments, expected) in [
        ("--style 6-99=1", "--style: expected layers from 0 to 11 for Toy heads, found 6-99"),
        ("--style top=1:0", "--style: Toy heads has no classes"),
        ("--seeds-of numpy --style top=4294967296", "--style: seed 4294967296, but NumPy takes"),
    ] {
        let message = shell.fails(&format!("render --out none {arguments}"), 1);
        assert!(message.contains(expected), "{message}");
    }
    let message = shell.fails("render example:faces --out none --style 0=1", 1);
    assert!(message.contains("has one layer, whose code is the whole sample; there is nothing to mix"), "{message}");
    let biggan = fixture("biggan_ajbrock/G_ema.pth");
    shell.ok(&format!("render {} --out blocks --style 1-2=5:3", biggan.display()));
}

#[test]
fn classes_are_given_by_number_range_and_mixture() {
    let shell = Shell::new();
    for name in
        ["biggan_deep_hf_small/pytorch_model.bin", "biggan_ajbrock/G_ema.pth", "stylegan2_ada_cond_pkl/model.pkl"]
    {
        let file = fixture(name);
        let file = file.display();
        // A folder of this name's own.
        let out = name.split('/').next().unwrap();
        let frame = |folder: &str, number: usize| shell.pixels(&format!("{out}/{folder}/frame_{number:04}.png"));
        let render = |folder: &str, options: &str| shell.ok(&format!("render {file} --out {out}/{folder} {options}"));
        render("default", "--seeds 3");
        render("range", "--seeds 3 --classes 0-2");
        assert_eq!(frame("range", 0), frame("default", 0), "{name}: class 0 is what no class means");
        assert_ne!(frame("range", 1), frame("range", 2), "{name}");
        render("each", "--seeds 3-4 --classes 2,1");
        assert_eq!(frame("each", 0), frame("range", 2), "{name}: one class per code");
        render("none", "--seeds 3 --classes 1 --mix-class 2 --mix 0");
        render("whole", "--seeds 3 --classes 1 --mix-class 2 --mix 1");
        render("half", "--seeds 3 --classes 1 --mix-class 2");
        assert_eq!(frame("none", 0), frame("range", 1), "{name}");
        assert_eq!(frame("whole", 0), frame("range", 2), "{name}");
        assert!(frame("half", 0) != frame("none", 0) && frame("half", 0) != frame("whole", 0), "{name}");
        render("again", &format!("--edit {out}/half/frame_0000.png"));
        assert_eq!(frame("again", 0), frame("half", 0), "{name}: the mixture is in the picture's edit");

        for (options, expected) in [
            ("--classes 90", "classes from 0 to"),
            ("--mix-class 90", "--mix-class"),
            ("--classes tench", "expected numbers"),
            ("--seeds 0-2 --classes 1,2", "one for each of 3 codes"),
        ] {
            let message = shell.fails(&format!("render {file} --out none {options}"), 1);
            assert!(message.contains(expected), "{options}: {message}");
        }
    }
}

#[test]
fn classes_of_imagenet_have_names() {
    let shell = Shell::new();
    let file = with_a_thousand_classes(shell.0.path());
    let file = file.display();
    let readable = shell.ok(&format!("info {file}"));
    assert!(readable.contains("1000") && readable.contains("999 toilet tissue"), "{readable}");
    assert!(readable.contains("CC BY 4.0\n") && readable.contains(" no warranty[2J\n"), "{readable:?}");
    shell.ok(&format!("render {file} --out numbers --classes 207,340"));
    let mut command = shell.command(&format!("render {file} --out names --device cpu --classes"));
    command.arg("Golden Retriever,zebra");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    for frame in ["frame_0000.png", "frame_0001.png"] {
        assert_eq!(shell.pixels(&format!("names/{frame}")), shell.pixels(&format!("numbers/{frame}")));
    }
    let message = shell.fails(&format!("render {file} --out none --classes retriever"), 1);
    assert!(message.contains("207 golden retriever") && message.contains("208 Labrador retriever"), "{message}");
    let message = shell.fails(&format!("render {file} --out none --classes 3 --mix-class unicorn"), 1);
    assert!(message.contains("--mix-class") && message.contains("unicorn"), "{message}");
    assert!(!shell.path("none").exists());
}

#[test]
fn info_says_which_network_was_taken_and_another_can_be() {
    let shell = Shell::new();
    let file = fixture("pggan_genforce/model.pth");
    let file = file.display();
    let averaged = shell.json(&format!("info {file} --json"));
    let taken = "generator_smooth (averaged; beside it: generator, discriminator)";
    assert_eq!(averaged["network_taken"], taken);
    assert!(shell.ok(&format!("info {file}")).contains(&format!("network     {taken}")));
    let training = shell.json(&format!("info {file} --json --network generator"));
    assert_eq!(training["network_taken"], "generator (beside it: generator_smooth, discriminator)");
    assert_ne!(training["identity"], averaged["identity"]);
    // The choice travels with the picture, without the option.
    shell.ok(&format!("render {file} --network generator --out first --seeds 3"));
    shell.ok("render --out second --edit first/frame_0000.png");
    assert_eq!(shell.pixels("second/frame_0000.png"), shell.pixels("first/frame_0000.png"));
    shell.ok(&format!("convert {file} --network generator g.safetensors"));
    assert_eq!(shell.json("info g.safetensors --json")["identity"], training["identity"]);
    let message = shell.fails(&format!("info {file} --network g"), 1);
    assert!(message.contains("no network g in the file: there are generator_smooth, generator"), "{message}");
}

#[test]
fn edits_given_as_generators_are_told_where_they_belong() {
    let shell = Shell::new();
    shell.ok("render --out out --seeds 9");
    // By content: the name says nothing.
    fs::rename(shell.path("out/frame_0000.png"), shell.path("picture.pt")).unwrap();
    for line in ["info picture.pt", "render picture.pt --out again", "factorize picture.pt"] {
        let message = shell.fails(line, 1);
        assert!(message.contains("picture.pt: this is an edit of") && message.contains("--edit"), "{message}");
    }
    shell.ok("render --out again --edit picture.pt");
}

#[test]
fn info_says_what_a_pickle_carries_and_what_was_left_out() {
    let file = fixture("stylegan2_ada_skip/model.pkl");
    let readable = Shell::new().ok(&format!("info {}", file.display()));
    assert!(readable.contains("contains program code, which was not run"), "{readable}");
    assert!(readable.contains("ignored: augment_pipe"), "{readable}");
}

#[test]
fn the_cpu_answers_half_precision_with_single_and_a_note() {
    let shell = Shell::new();
    let text = shell.ok("render --out half --precision f16");
    assert!(text.contains("f16 is for GPUs, so f32 is used"), "{text}");
    assert!(!shell.ok("render --out single --precision f32").contains("f16"));
    assert_eq!(shell.pixels("half/frame_0000.png"), shell.pixels("single/frame_0000.png"));
    assert!(shell.fails("render --out none --precision f8", 2).contains("expected f32 or f16"));
}

#[test]
fn bench_measures_every_form_of_an_operator() {
    let report = Shell::new().json("bench --operators --largest 8 --json");
    let layers = report["layers"].as_array().unwrap();
    let names: Vec<_> = layers.iter().map(|layer| layer["name"].as_str().unwrap().split(',').next().unwrap()).collect();
    assert_eq!(names, ["3x3", "1x1", "3x3 and filter", "3x3", "1x1"]);
    for way in layers.iter().flat_map(|layer| layer["ways"].as_array().unwrap()) {
        assert!(way["gflops"].as_f64().unwrap() > 0.0, "{way}");
    }
    assert!(report["ceilings"]["matrix_product"].as_f64().unwrap() > 0.0);
}

#[test]
fn bench_reports_every_part() {
    let report = Shell::new().json("bench --frames 2 --json");
    for key in [
        "load_ms",
        "first_frame_ms",
        "frame_ms",
        "frame_min_ms",
        "frame_gflops",
        "drag_top_ms",
        "factorize_ms",
        "factorize_again_ms",
        "pca_ms",
        "ceiling_gflops",
    ] {
        assert!(report[key].as_f64().unwrap() > 0.0, "{key}");
    }
    assert!(report["device"].as_str().unwrap().starts_with("CPU"));
    let stages = report["stages"].as_array().unwrap();
    assert!(stages.len() > 2 && stages.iter().all(|stage| stage["name"].is_string() && stage["ms"].is_f64()));
    assert!(stages.last().unwrap()["gflops"].as_f64().unwrap() > 0.0);
    assert!(cfg!(not(unix)) || report["peak_rss_mb"].as_f64().unwrap() > 1.0);
    for key in ["tiles_per_s", "tiles_alone_per_s", "sheet_tiles_per_s", "sheet_alone_per_s"] {
        assert!(report["tiles"][key].as_f64().unwrap() > 0.0, "{key}");
    }
    assert!((1..=8).contains(&report["tiles"]["of_one_pass"].as_u64().unwrap()));
}

/// Seeds of every tool, classes, layers without weights in one of the variants, networks without noise or w.
#[test]
fn soaking_uses_networks_of_every_kind() {
    let files =
        ["stylegan2_rosinality/model.pt", "biggan_deep_hf_small/pytorch_model.bin", "stylegan2_ada_cond_pkl/model.pkl"];
    let files = files.map(|file| fixture(file).display().to_string());
    for file in files.iter().map(String::as_str).chain(["example:faces"]) {
        let report = Shell::new().json(&format!("bench {file} --soak 1 --json"));
        let steps = report["steps"].as_array().unwrap();
        assert!(steps.iter().any(|step| step[0] == "dragged a slider" && step[1].as_u64().unwrap() > 0), "{report}");
        let memory = report["memory"].as_array().unwrap();
        assert!(memory.len() >= 2 && memory[0]["steps"] == 0, "{report}");
        let is_told = |moment: &Value| moment["rss_mb"].as_f64().is_some_and(|mb| mb > 1.0);
        assert!(cfg!(not(target_os = "linux")) || memory.iter().all(is_told), "{report}");
    }
}

#[test]
fn what_cannot_be_done_is_explained() {
    let shell = Shell::new();
    fs::create_dir(shell.path("folder")).unwrap();
    fs::write(shell.path("page.pth"), "<!DOCTYPE html><html>404</html>").unwrap();
    fs::write(shell.path("file"), "in the way").unwrap();
    let checkpoint = fs::read(fixture("stylegan2_ada_skip/model.pth")).unwrap();
    fs::write(shell.path("truncated.pth"), &checkpoint[..checkpoint.len() / 2]).unwrap();
    for (line, expected) in [
        ("info missing.pth", "missing.pth"),
        ("info folder", "folder"),
        ("info page.pth", "page.pth"),
        ("info truncated.pth", "truncated.pth"),
        ("render missing.pth --out out", "missing.pth"),
        ("convert truncated.pth out.safetensors", "truncated.pth"),
        ("convert example:faces file/out.safetensors", "file/out.safetensors"),
        ("factorize --out file/directions.json", "file/directions.json"),
        ("factorize --layers 90", "90"),
        ("bench folder", "folder"),
        ("render --out file/out", "file/out"),
        ("render --out out --direction 100000 --layers 0", "--direction"),
        ("render --out out --direction 0 --layers 0-90", "0-90"),
        ("render --out out --classes 3", "no classes"),
        ("render --out out --latents missing.npy", "missing.npy"),
        ("render --out out --edit file", "file"),
        ("render --out out --edit missing.png", "missing.png"),
    ] {
        let message = shell.fails(line, 1);
        assert!(message.contains(expected), "{line}: {message}");
    }
    assert!(!shell.path("out").exists() && !shell.path("out.safetensors").exists());
    let message = shell.fails("render example:faces --out out --direction 0 --layers middle", 1);
    assert!(message.contains("middle"), "{message}");
}

#[test]
fn wrong_usage_exits_with_2() {
    let shell = Shell::new();
    for line in [
        "render",
        "render --out out --psi NaN",
        "render --out out --psi x",
        "render --out out --seeds 3-1",
        "render --out out --seeds x",
        "render --out out --seeds 0-99999999999",
        "render --out out --noise loud",
        "render --out out --layers upper --direction 0",
        "render --out out --layers 0-1",
        "render --out out --steps 3",
        "render --out out --direction 0 --from inf",
        "render --out out --direction 0 --steps 0",
        "render --out out --seeds 1 --latents z.npy",
        "render --out out --space w",
        "render --out out --edit a.json --psi 0.5",
        "render --out out --edit a.json --mix-class 1",
        "render --out out --classes 3-1",
        "render --out out --edit a.json --style top=1",
        "render --out out --style top",
        "render --out out --mix 0.5",
        "render --out out --mix-class 1,2",
        "render --out out --mix-class 1 --mix 1.5",
        "factorize --out directions.txt",
        "convert model.pth",
        "convert model.pth out.pth",
        "info example:unknown",
        "model.pth info",
        "info --device tpu",
        "bench --frames 0",
    ] {
        shell.fails(line, 2);
    }
    assert!(!shell.path("out").exists());
}

#[test]
fn help_shows_examples() {
    let shell = Shell::new();
    for command in ["", "render", "factorize", "align", "path", "entangle", "invert", "info", "convert", "bench"] {
        assert!(shell.ok(&format!("{command} --help")).contains("Examples:"), "{command}");
    }
}

#[test]
fn the_program_runs_where_its_folder_is_elsewhere() {
    // A frame written from a relative path must open from another folder.
    let shell = Shell::new();
    shell.ok("convert example:faces faces.safetensors");
    shell.ok("render faces.safetensors --out out");
    let elsewhere = Shell::new();
    let frame = shell.path("out/frame_0000.png");
    elsewhere.ok(&format!("render --out out --edit {}", Path::new(&frame).display()));
    assert_eq!(elsewhere.pixels("out/frame_0000.png"), shell.pixels("out/frame_0000.png"));
}

/// Two networks whose files do not tell all: one is drawn right once the option is given, and its converted file and its
/// pictures keep that.
#[test]
fn what_a_file_does_not_tell_can_be_told_and_is_kept() {
    let shell = Shell::new();
    let file = |name: &str| fixture(name).display().to_string();
    let (bilinear, mmgen) = (file("stylegan2_bilinear/model.pth"), file("stylegan2_mmgen/model_ema.pth"));
    shell.ok(&format!("render {bilinear} --out filter --raw"));
    shell.ok(&format!("render {bilinear} --out told --raw --upsampling bilinear"));
    shell.ok(&format!("convert {bilinear} converted.safetensors --upsampling bilinear"));
    shell.ok("render converted.safetensors --out again --raw");
    shell.ok("render --edit told/frame_0000.png --out edit --raw");
    let frame = |folder: &str| shell.npy(&format!("{folder}/frame_0000.npy"));
    assert_ne!(frame("filter"), frame("told"));
    assert_eq!(frame("again"), frame("told"));
    assert_eq!(frame("edit"), frame("told"));
    assert_eq!(shell.json(&format!("info {bilinear} --upsampling bilinear --json"))["upsampling"], "bilinear");

    let said = text(&shell.run(&format!("render {mmgen} --out blue --raw")).stderr);
    assert!(said.contains("blue, green, red"), "{said}");
    shell.ok(&format!("render {mmgen} --out red --raw --channels rgb"));
    assert_eq!(frame("blue"), frame("red"), "arrays are what the network makes");
    let swapped = |pixels: Vec<u8>| pixels.chunks_exact(3).flat_map(|p| [p[2], p[1], p[0]]).collect::<Vec<u8>>();
    assert_eq!(shell.pixels("blue/frame_0000.png"), swapped(shell.pixels("red/frame_0000.png")));
    let said = text(&shell.run("render example:faces --out faces --upsampling bilinear").stderr);
    assert!(said.contains("--upsampling has no effect"), "{said}");
}

#[test]
fn a_new_series_never_mixes_with_an_older_one() {
    let shell = Shell::new();
    shell.ok("render --out out --seeds 0-3 --raw --sheet");
    let before = shell.pixels("out/frame_0000.png");
    fs::write(shell.path("out/notes.txt"), "mine").unwrap();
    let message = shell.fails("render --out out --seeds 7-8", 1);
    assert!(message.contains("out holds 9 files of an older series") && message.contains("--overwrite"), "{message}");
    assert_eq!(shell.pixels("out/frame_0000.png"), before);
    // What cannot be rendered costs no frame.
    shell.fails("render missing.pth --out out --overwrite", 1);
    assert!(shell.path("out/frame_0003.npy").exists());
    shell.ok("render --out out --seeds 7-8 --overwrite");
    let mut names: Vec<_> = fs::read_dir(shell.path("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["frame_0000.png", "frame_0001.png", "notes.txt"]);
    assert_ne!(shell.pixels("out/frame_0000.png"), before);
}

/// A picture from a stranger must not make this computer call another one.
#[test]
fn a_path_inside_an_edit_that_leads_to_another_computer_is_not_opened() {
    let shell = Shell::new();
    shell.ok("render --out out --seeds 3");
    let json = project::embedded_project(&fs::read(shell.path("out/frame_0000.png")).unwrap()).unwrap().unwrap();
    for source in ["//server/share/x.pt", r"\\\\server\\share\\x.pt", "smb://server/x.pt", "/net/server/x.pt"] {
        fs::write(shell.path("edit.json"), json.replace("example:toy-heads", source)).unwrap();
        let message = shell.fails("render --out again --edit edit.json", 1);
        assert!(
            message.contains("another computer") && message.contains("server") && message.contains("FILE"),
            "{message}"
        );
        assert!(!shell.path("again").exists());
    }
    fs::write(shell.path("edit.json"), json.replace("example:toy-heads", ".")).unwrap();
    assert!(shell.fails("render --out again --edit edit.json", 1).contains("no regular file"));
    // Who names the model means it.
    shell.ok("render example:toy-heads --out again --edit edit.json");
    assert_eq!(shell.pixels("again/frame_0000.png"), shell.pixels("out/frame_0000.png"));
}

#[test]
#[cfg(unix)]
fn a_disk_that_cannot_be_written_is_named_and_the_old_file_stays() {
    let shell = Shell::new();
    shell.ok("convert example:faces faces.safetensors");
    let before = fs::read(shell.path("faces.safetensors")).unwrap();
    let line = "convert example:toy-heads faces.safetensors";
    // More than 64 blocks of 512 or 1024 bytes cannot be written: what a full disk says, under another name.
    let mut limited = std::process::Command::new("sh");
    let program = env!("CARGO_BIN_EXE_sefa-studio");
    limited.args(["-c", &format!("trap '' XFSZ; ulimit -f 64; exec {program} {line}")]);
    let output = limited.current_dir(shell.0.path()).env("SEFA_STUDIO_HOME", shell.path("home")).output().unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("cannot write faces.safetensors") && message.contains("large"), "{message}");
    assert_eq!(fs::read(shell.path("faces.safetensors")).unwrap(), before);
    let left = fs::read_dir(shell.0.path()).unwrap().count();
    assert_eq!(left, 2, "the file and the home, no half file");
}

#[test]
fn failures_are_in_the_log_with_what_was_done() {
    let shell = Shell::new();
    shell.fails("info missing.pth", 1);
    let log = fs::read_to_string(shell.path("home/data/log/sefa-studio.log")).unwrap();
    assert!(log.contains("missing.pth") && log.contains("ERROR") && log.contains("info"), "{log}");
}
