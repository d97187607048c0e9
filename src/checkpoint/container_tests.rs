//! Sound files of every kind of name, length and device.

use std::fs;
use std::io::Write;

use proptest::prelude::{Strategy, prop};
use proptest::{prop_assert_eq, proptest};

use super::pickle_tests::{global, program, text};
use super::tree::Value;
use super::{Checkpoint, Container, Tensor};
use crate::progress::silent;

/// A zip file as PyTorch's C++ code writes it: data aligned to 64 bytes by an extra field, sizes after the data, and at the
/// end the records of zip64 whatever the size. `stem` is the name of the file, and of the folder inside.
pub(super) fn torch_file(stem: &str, entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in entries {
        let name = format!("{stem}/{name}");
        let (name_len, size) = ((name.len() as u16).to_le_bytes(), (content.len() as u32).to_le_bytes());
        let at = file.len();
        let padding = 64 - (at + 30 + name.len() + 4) % 64;
        let extra_len = (4 + padding as u16).to_le_bytes();
        file.extend(program![b"PK\x03\x04\0\0\x08\x08", [0; 18], name_len, extra_len, name, b"FB"]);
        file.extend(program![(padding as u16).to_le_bytes(), b"Z".repeat(padding), content]);
        file.extend(program![b"PK\x07\x08", [0; 4], size, size]);
        directory.extend(program![b"PK\x01\x02\0\0\0\0\x08\x08", [0; 10], size, size, name_len, [0; 12]]);
        directory.extend(program![(at as u32).to_le_bytes(), name]);
    }
    let (start, len, count) = (file.len() as u64, directory.len() as u64, entries.len() as u64);
    let zip64_at = start + len;
    file.extend(directory);
    file.extend(program![b"PK\x06\x06", 44u64.to_le_bytes(), b"\x1e\x03\x2d\0", [0; 8], count.to_le_bytes()]);
    file.extend(program![count.to_le_bytes(), len.to_le_bytes(), start.to_le_bytes()]);
    file.extend(program![b"PK\x06\x07", [0; 4], zip64_at.to_le_bytes(), 1u32.to_le_bytes()]);
    let count = (count as u16).to_le_bytes();
    file.extend(program![b"PK\x05\x06", [0; 4], count, count, (len as u32).to_le_bytes()]);
    file.extend(program![(start as u32).to_le_bytes(), [0; 2]]);
    file
}

/// A float storage "0" of that many elements.
fn storage(class: &[u8], numel: u8) -> Vec<u8> {
    program![b"(", text("storage"), class, text("0"), text("cpu"), [b'K', numel], b"tQ"]
}

/// A map of the tensor "a" that `function(*args)` makes.
fn state(function: &[u8], args: &[u8]) -> Vec<u8> {
    program![b"\x80\x02}", text("a"), function, b"(", args, b"tRs."]
}

const HOOKS: &[u8] = b"ccollections\nOrderedDict\n)R";

fn four_floats() -> Vec<u8> {
    let args = program![storage(&global("torch", "FloatStorage"), 4), b"K\0K\x04\x85K\x01\x85\x89", HOOKS];
    state(&global("torch._utils", "_rebuild_tensor_v2"), &args)
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn open(bytes: Vec<u8>) -> Checkpoint {
    Checkpoint::from_bytes(bytes, "test.pth").unwrap()
}

fn entry(checkpoint: &Checkpoint, name: &str) -> Value {
    checkpoint.tree.get(checkpoint.tree.root(), name).unwrap()
}

fn tensor<'a>(checkpoint: &'a Checkpoint, name: &str) -> &'a Tensor {
    checkpoint.tree.tensor(entry(checkpoint, name)).unwrap()
}

#[test]
fn torch_files_of_every_stem_length_open() {
    let folder = tempfile::tempdir().unwrap();
    let (program, numbers) = (four_floats(), f32s(&[1., 2., 3., 4.]));
    for length in 1..=200 {
        let stem = "s".repeat(length);
        let file = torch_file(
            &stem,
            &[
                ("data.pkl", &program),
                (".format_version", b"1"),
                (".storage_alignment", b"64"),
                ("byteorder", b"little"),
                ("data/0", &numbers),
                ("version", b"3\n"),
                (".data/serialization_id", &[b'0'; 40]),
            ],
        );
        let checkpoint = open(file.clone());
        assert_eq!(tensor(&checkpoint, "a").to_f32().unwrap(), [1., 2., 3., 4.], "{length} bytes");
        // From a disk as well, where nothing is in memory.
        let path = folder.path().join(format!("{stem}.pth"));
        fs::write(&path, &file).unwrap();
        let checkpoint = Checkpoint::open(&path, &mut silent).unwrap();
        assert_eq!(tensor(&checkpoint, "a").to_f32().unwrap(), [1., 2., 3., 4.], "{length} bytes");
    }
}

/// A file of one tensor whose header is filled up with spaces to `header` bytes.
fn safetensors(header: usize) -> Vec<u8> {
    let text = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let padding = " ".repeat(header - text.len());
    program![(header as u64).to_le_bytes(), text, padding, f32s(&[5., 6.])]
}

#[test]
fn safetensors_are_recognised_whatever_the_length_of_the_header_spells() {
    // 0x8002 and the like start a pickle, 0x8b1f is gzip's magic number, 0x685a42 bzip2's, 0x2e opens the smallest headers.
    let unlucky = [0x8b1f, 0x68_5a42, 0xff_d8ff & 0xff_ffff];
    for header in (54..54 + 126).chain((0x280..0x2000).step_by(128)).chain(unlucky) {
        // A header of more than a line of spaces is nobody's: the spaces are inside the braces then.
        let file = if header < 54 + 126 { safetensors(header) } else { with_metadata(header) };
        let checkpoint = open(file);
        assert_eq!(checkpoint.container, Container::Safetensors, "{header}");
        assert_eq!(tensor(&checkpoint, "a").to_f32().unwrap(), [5., 6.], "{header}");
    }
}

/// As [`safetensors`], filled up with a text.
fn with_metadata(header: usize) -> Vec<u8> {
    let (start, end) = (r#"{"__metadata__":{"t":""#, r#""},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#);
    let filling = "x".repeat(header - start.len() - end.len());
    program![(header as u64).to_le_bytes(), start, filling, end, f32s(&[5., 6.])]
}

proptest! {
    #[test]
    fn safetensors_of_any_header_length_open(header in prop::sample::select(vec![100usize, 1000, 10_000, 70_000])
        .prop_flat_map(|most| 90..most + 90)) {
        let checkpoint = open(with_metadata(header));
        prop_assert_eq!(checkpoint.container, Container::Safetensors);
    }
}

#[test]
fn tensors_of_other_devices_are_tensors() {
    let numbers = f32s(&[1., 2., 3., 4.]);
    let array = program![
        global("numpy.core.multiarray", "_reconstruct"),
        global("numpy", "ndarray"),
        b"K\0\x85C\x01b\x87R(K\x01K\x04\x85",
        global("numpy", "dtype"),
        text("f4"),
        b"\x89\x88\x87R(K\x03",
        text("<"),
        b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89C\x10",
        numbers,
        b"tb"
    ];
    let inner = program![storage(&global("torch", "FloatStorage"), 4), b"K\0K\x04\x85K\x01\x85\x89", HOOKS];
    let cpu = program![global("torch._utils", "_rebuild_tensor_v2"), b"(", inner, b"tR"];
    let float = global("torch", "float32");
    let class = global("my.code", "Wrapped");
    let from_type = |state: &[u8]| {
        let outer = program![b"(", class, float, b"K\x04\x85K\x01\x85K\0", text("strided"), text("cpu"), b"\x89t"];
        program![global("torch._utils", "_rebuild_wrapper_subclass"), class, outer, state]
    };
    let one_inside = from_type(&program![b"}", text("inner"), cpu, b"s", text("note"), b"K\x01s"]);
    for (module, name, args) in [
        ("torch._utils", "_rebuild_device_tensor_from_numpy", program![array, float, text("xla:0"), b"\x89"]),
        ("torch._utils", "_rebuild_xla_tensor", program![array, float, text("xla:1"), b"\x89"]),
        ("torch._utils", "_rebuild_device_tensor_from_numpy", program![array, float, text("mps:0"), b"\x88"]),
        ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor", program![cpu, float, text("hpu"), b"\x89"]),
        ("torch._utils", "_rebuild_parameter", program![cpu, b"\x88", HOOKS]),
        ("torch._utils", "_rebuild_parameter_with_state", program![cpu, b"\x88", HOOKS, b"}"]),
        ("torch._tensor", "_rebuild_from_type_v2", one_inside),
    ] {
        let file = torch_file("x", &[("data.pkl", &state(&global(module, name), &args)), ("data/0", &numbers)]);
        let checkpoint = open(file);
        assert_eq!(tensor(&checkpoint, "a").to_f32().unwrap(), [1., 2., 3., 4.], "{name}");
        assert!(!checkpoint.carries_code, "{name}");
    }
    // Two tensors inside are numbers and scales, or worse.
    let two_inside = from_type(&program![b"}", text("numbers"), cpu, b"s", text("scales"), cpu, b"s"]);
    let complex = program![storage(&global("torch", "ComplexFloatStorage"), 2), b"K\0K\x02\x85K\x01\x85\x89", HOOKS];
    let untyped = storage(&global("torch.storage", "UntypedStorage"), 16);
    let unsigned = program![untyped, b"K\0K\x08\x85K\x01\x85\x89", HOOKS, global("torch", "uint16")];
    for (module, name, args, kind) in [
        ("torch._tensor", "_rebuild_from_type_v2", two_inside, "my.code.Wrapped"),
        ("torch._utils", "_rebuild_qtensor", b"N".to_vec(), "a quantised tensor"),
        ("torch._utils", "_rebuild_sparse_tensor", b"N".to_vec(), "a sparse tensor"),
        ("torch._utils", "_rebuild_tensor_v2", complex, "torch.ComplexFloatStorage"),
        ("torch._utils", "_rebuild_tensor_v3", unsigned, "torch.uint16"),
    ] {
        let file = torch_file("x", &[("data.pkl", &state(&global(module, name), &args)), ("data/0", &numbers)]);
        let checkpoint = open(file);
        let found = checkpoint.tree.unread(entry(&checkpoint, "a")).unwrap_or_default();
        assert!(found.contains(kind), "{name}: {found}");
    }
}

#[test]
fn floats_of_8_bits_are_exact() {
    // Code -> number: zero, smallest, largest below one, one, largest, and what is no number, of each sign.
    type Codes<'a> = &'a [(u8, f32)];
    let cases: [(&str, &str, Codes<'_>); 4] = [
        (
            "float8_e4m3fn",
            "F8_E4M3",
            &[(0, 0.), (1, 0.001953125), (0x37, 0.9375), (0x38, 1.), (0xfe, -448.), (0xff, f32::NAN)],
        ),
        (
            "float8_e5m2",
            "F8_E5M2",
            &[(1, 2f32.powi(-16)), (0x3c, 1.), (0xfb, -57344.), (0x7c, f32::INFINITY), (0x7e, f32::NAN)],
        ),
        ("float8_e4m3fnuz", "F8_E4M3FNUZ", &[(1, 0.0009765625), (0x40, 1.), (0xff, -240.), (0x80, f32::NAN)]),
        ("float8_e5m2fnuz", "F8_E5M2FNUZ", &[(1, 2f32.powi(-17)), (0x40, 1.), (0xff, -57344.), (0x80, f32::NAN)]),
    ];
    for (torch, header, codes) in cases {
        let bytes: Vec<u8> = codes.iter().map(|(code, _)| *code).collect();
        let count = bytes.len() as u8;
        let untyped = storage(&global("torch.storage", "UntypedStorage"), count);
        let sizes = [b'K', 0, b'K', count, 0x85, b'K', 1, 0x85, 0x89];
        let args = program![untyped, sizes, HOOKS, global("torch", torch)];
        let program = state(&global("torch._utils", "_rebuild_tensor_v3"), &args);
        let zip = torch_file("x", &[("data.pkl", &program), ("data/0", &bytes)]);
        let text = format!(r#"{{"a":{{"dtype":"{header}","shape":[{count}],"data_offsets":[0,{count}]}}}}"#);
        let safetensors = program![(text.len() as u64).to_le_bytes(), text, bytes];
        for file in [zip, safetensors] {
            let found = tensor(&open(file), "a").to_f32().unwrap();
            for (found, (code, expected)) in found.into_iter().zip(codes) {
                let same = found == *expected || (found.is_nan() && expected.is_nan());
                assert!(same, "{torch} {code:#x}: {found}, expected {expected}");
            }
        }
    }
}

#[test]
fn archives_of_arrays_are_maps_of_tensors() {
    let npy = |descr: &str, fortran: &str, shape: &str, data: &[u8]| {
        let header = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
        program![b"\x93NUMPY\x01\0", (header.len() as u16).to_le_bytes(), header, data]
    };
    let numbers = f32s(&[1., 2., 3., 4., 5., 6.]);
    for method in [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated] {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, array) in [
            ("b", npy("<f4", "True", "(2, 3)", &numbers)),
            ("a", npy("<f4", "False", "(2, 3)", &numbers)),
            ("n", npy("|O", "False", "()", b"\x80\x04N.")),
            ("s", npy("<f8", "False", "()", &7f64.to_le_bytes())),
        ] {
            let options = zip::write::SimpleFileOptions::default().compression_method(method);
            zip.start_file(format!("{name}.npy"), options).unwrap();
            zip.write_all(&array).unwrap();
        }
        let checkpoint = open(zip.finish().unwrap().into_inner());
        assert_eq!(checkpoint.container, Container::NumpyArrays);
        assert_eq!(tensor(&checkpoint, "a").to_f32().unwrap(), [1., 2., 3., 4., 5., 6.]);
        assert_eq!(tensor(&checkpoint, "b").to_f32().unwrap(), [1., 3., 5., 2., 4., 6.]);
        assert_eq!(checkpoint.tree.number(entry(&checkpoint, "s")), Some(7.0));
        assert_eq!(checkpoint.tree.unread(entry(&checkpoint, "n")), Some("a numpy array of type |O"));
    }
}

#[test]
fn a_file_that_changes_while_it_is_open_is_an_error_or_other_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latest.pt");
    let numbers = f32s(&vec![1.0; 1 << 20]);
    let text = format!(r#"{{"a":{{"dtype":"F32","shape":[1048576],"data_offsets":[0,{}]}}}}"#, numbers.len());
    fs::write(&path, program![(text.len() as u64).to_le_bytes(), text, numbers]).unwrap();
    let checkpoint = Checkpoint::open(&path, &mut silent).unwrap();
    assert_eq!(tensor(&checkpoint, "a").to_f32().unwrap()[1 << 19], 1.0);
    // A training saves over it: first nothing, then the whole again.
    fs::write(&path, b"").unwrap();
    let error = tensor(&checkpoint, "a").to_f32().unwrap_err().to_string();
    assert!(error.contains("shorter"), "{error}");
    fs::write(&path, vec![0; 8 << 20]).unwrap();
    assert_eq!(tensor(&checkpoint, "a").to_f32().unwrap()[1 << 19], 0.0);
}
