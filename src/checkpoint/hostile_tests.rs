//! Files made to break the reader, and files broken by accident: each fails cleanly, quickly and in little memory.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::pickle_tests::{global, program, run, text};
use super::{Checkpoint, CheckpointError, Container};
use crate::progress::{Cancelled, silent};

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn open(bytes: Vec<u8>) -> Result<Checkpoint, CheckpointError> {
    Checkpoint::from_bytes(bytes, "test.pth")
}

/// The error's whole chain as one text.
fn message(error: CheckpointError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn refusal(bytes: impl Into<Vec<u8>>) -> String {
    message(open(bytes.into()).expect_err("was accepted"))
}

fn zip_file(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in entries {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A small non-negative integer.
fn int(value: u32) -> Vec<u8> {
    program![b"J", value.to_le_bytes()]
}

/// A pickle of one tensor over storage "0", of `numel` elements of f32; the rest as Python values.
fn tensor_program(numel: &[u8], offset: &[u8], size: &[u8], stride: &[u8]) -> Vec<u8> {
    let id = program![b"(", text("storage"), global("torch", "FloatStorage"), text("0"), text("cpu"), numel, b"tQ"];
    let hooks = program![global("collections", "OrderedDict"), b")R"];
    let args = program![b"(", id, offset, size, stride, b"\x89", hooks, b"t"];
    let tensor = program![global("torch._utils", "_rebuild_tensor_v2"), args, b"R"];
    program![b"\x80\x02}", text("a"), tensor, b"s."]
}

fn torch_zip(program: &[u8], storage: &[u8]) -> Vec<u8> {
    zip_file(&[("x/data.pkl", program), ("x/data/0", storage)], CompressionMethod::Stored)
}

#[test]
fn a_whole_file_is_read_from_both_kinds_of_zip() {
    let program = tensor_program(&int(4), &int(1), b"K\x01K\x02\x86", b"K\x02K\x01\x86");
    let storage: Vec<u8> = [1f32, 2., 3., 4.].iter().flat_map(|v| v.to_le_bytes()).collect();
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let file = zip_file(&[("x/data.pkl", &program), ("x/data/0", &storage), ("x/byteorder", b"little")], method);
        let checkpoint = open(file).unwrap();
        let tensor = checkpoint.tree.get(checkpoint.tree.root(), "a").and_then(|a| checkpoint.tree.tensor(a)).unwrap();
        assert_eq!((tensor.shape(), tensor.to_f32().unwrap()), (&[1, 2][..], vec![2., 3.]));
        assert!(!checkpoint.carries_code);
    }
    let file = zip_file(&[("x/data.pkl", &program), ("x/byteorder", b"big")], CompressionMethod::Stored);
    assert!(refusal(file).contains("big-endian"));
}

#[test]
fn tensors_outside_their_storage_are_refused() {
    let storage = [0u8; 16];
    let long = |value: i64| program![b"\x8a\x08", value.to_le_bytes()];
    let one = |value: &[u8]| program![value, b"\x85"];
    for (numel, offset, size, stride) in [
        (int(4), int(1), one(&int(4)), one(&int(1))),
        (int(4), int(0), one(&int(2)), one(&int(4))),
        (int(4), long(-1), one(&int(2)), one(&int(1))),
        (int(4), int(0), one(&long(-4)), one(&int(1))),
        (int(4), int(3), one(&int(2)), one(&long(-1))),
        (int(4), long(i64::MAX), one(&int(2)), one(&long(i64::MAX))),
        (int(4), int(0), one(&long(i64::MAX)), one(&int(0))),
        (int(4), int(0), one(&long(1 << 40)), one(&int(0))),
        (int(4), int(0), program![long(1 << 40), long(1 << 40), b"\x86"], program![int(0), int(0), b"\x86"]),
        (int(4), int(0), one(&int(2)), b")".to_vec()),
        (int(5), int(0), one(&int(2)), one(&int(1))),
        (long(i64::MAX), int(0), one(&int(2)), one(&int(1))),
        (long(-1), int(0), one(&int(2)), one(&int(1))),
        (int(4), b"\x8a\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x01\x02\x03\x04".to_vec(), one(&int(2)), one(&int(1))),
        (int(4), int(0), program![b"(", b"K\x01".repeat(100), b"t"], program![b"(", b"K\x01".repeat(100), b"t"]),
    ] {
        let message = refusal(torch_zip(&tensor_program(&numel, &offset, &size, &stride), &storage));
        assert!(message.contains("data.pkl, byte"), "{message}");
    }
    let missing = zip_file(
        &[("x/data.pkl", &tensor_program(&int(4), &int(0), &one(&int(4)), &one(&int(1))))],
        CompressionMethod::Stored,
    );
    assert!(refusal(missing).contains("entry x/data/0"));
}

#[test]
fn lies_about_sizes_allocate_nothing() {
    for lie in [
        b"\x80\x04\x8b\xff\xff\xff\x7f.".as_slice(),
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"\x80\x05\x96\x00\x00\x00\x00\xff\x00\x00\x00.",
        b"\x80\x04X\xff\xff\xff\xff.",
        b"\x80\x04B\xff\xff\xff\xff.",
        b"\x80\x02T\xff\xff\xff\xff.",
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xffN.",
        b"\x80\x04\x8a\xffN.",
    ] {
        let message = refusal(lie);
        assert!(message.contains("incomplete"), "{message}");
    }
}

#[test]
fn bombs_end_early() {
    // Doubling: a list of the list before it, twice; the depth is 200 000, the meaning 2^200000 values.
    let mut laughs = b"]".to_vec();
    for _ in 0..200_000 {
        laughs.extend_from_slice(b"2\x86");
    }
    assert!(run(&program![laughs, b"."]).is_ok());
    let nested = program![b"(".repeat(300_000), b"N", b"t".repeat(300_000), b"."];
    drop(run(&nested).unwrap());
    let memos: Vec<u8> = (0..5_000_000u32).flat_map(|i| program![b"r", i.to_le_bytes()]).collect();
    assert!(run(&program![b"N", memos, b"."]).unwrap_err().what.contains("memos"));
    assert!(run(&program![b"N", b"2".repeat(5_000_000), b"."]).unwrap_err().what.contains("on the stack"));
    assert!(run(&b"(".repeat(5_000_000)).unwrap_err().what.contains("marks"));
    assert!(run(&program![b"]0".repeat(20_000_000), b"N."]).unwrap_err().what.contains("not a checkpoint"));
    // One list of pairs copied again and again.
    let pairs =
        program![b"](", b"NN\x86".repeat(100_000), b"e\x85q\x01", global("collections", "OrderedDict"), b"q\x02"];
    let copies = program![pairs, b"h\x02h\x01R0".repeat(10_000), b"."];
    assert!(run(&copies).unwrap_err().what.contains("far more memory"));
    let encoded = program![
        b"X\x40\x42\x0f\0",
        "a".repeat(1_000_000),
        text("latin1"),
        b"\x86q\x01",
        global("_codecs", "encode"),
        b"q\x02",
        b"h\x02h\x01R0".repeat(10_000),
        b"."
    ];
    assert!(run(&encoded).unwrap_err().what.contains("far more memory"));
}

#[test]
fn pickles_in_pickles_nest_once() {
    // A storage whose bytes are a file whose storage is a file..: the second level is left opaque.
    let load = |bytes: &[u8]| {
        let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
        program![global("torch.storage", "_load_from_bytes"), b"B", length, bytes, b"\x85R."]
    };
    let mut file = b"N.".to_vec();
    for _ in 0..50 {
        let legacy =
            program![super::torch_legacy::MAGIC, b"\x80\x02M\xe9\x03.", b"\x80\x02}.", b"\x80\x02", load(&file), b"]."];
        file = load(&legacy);
    }
    assert!(open(program![b"\x80\x02", file]).is_ok());
    let broken = program![b"\x80\x02", load(&super::torch_legacy::MAGIC)];
    assert!(refusal(broken).contains("in the storage kept here"));
}

/// A legacy file of one storage, after that many opcodes of nothing.
fn slow_storage(opcodes: usize) -> Vec<u8> {
    let id = program![b"(", text("storage"), global("torch", "FloatStorage"), text("0"), text("cpu"), b"K\x01NtQ."];
    let object = program![b"\x80\x02", b"N0".repeat(opcodes / 2), id];
    let keys = program![b"\x80\x02]", text("0"), b"a."];
    program![super::torch_legacy::MAGIC, b"\x80\x02M\xe9\x03.", b"\x80\x02}.", object, keys, 1u64.to_le_bytes(), [0; 4]]
}

#[test]
fn a_storage_kept_as_a_file_is_read_once() {
    let blob = slow_storage(40_000);
    let load = global("torch.storage", "_load_from_bytes");
    let bytes = program![b"B", (blob.len() as u32).to_le_bytes(), blob];
    // 20 000 times the same bytes would be 800 million opcodes.
    let again = program![b"](", load, b"q\x01", bytes, b"q\x02\x85R", b"h\x01h\x02\x85R".repeat(20_000), b"e."];
    let pickled = run(&again).unwrap();
    let items = pickled.tree.items(pickled.tree.root()).unwrap();
    assert!(items.len() == 20_001 && items.iter().all(|item| *item == items[0]));
    // The same bytes made anew each time are ended by the budget.
    let latin: Vec<u8> = blob.iter().flat_map(|&byte| char::from(byte).to_string().into_bytes()).collect();
    let coded = program![
        global("_codecs", "encode"),
        b"q\x01X",
        (latin.len() as u32).to_le_bytes(),
        latin,
        text("latin1"),
        b"\x86q\x02",
        load,
        b"q\x03",
        b"h\x03h\x01h\x02R\x85R0".repeat(5_000),
        b"N."
    ];
    assert!(run(&coded).unwrap_err().what.contains("opcodes"));
}

/// Maps, lists and modules of 60 kB that contain themselves or repeat long keys: walking them is bounded in time, and in the
/// memory of names (5 GB, if every way through them were walked or every key copied).
#[test]
fn trees_that_repeat_themselves_are_walked_in_time() {
    let long_key = program![b"X", 40_000u32.to_le_bytes(), "k".repeat(40_000), b"q\x010"];
    let named = |names: &[&str], value: &[u8], count: usize| {
        let entries: Vec<u8> = (0..count).flat_map(|i| program![text(names[i % names.len()]), value]).collect();
        program![b"}q\x02(", entries, b"u."]
    };
    // Layers of maps, each with forty names for the one below.
    let mut nested = program![b"}q\x01", text("weight"), b"K\x01s0"];
    for layer in 1..100u8 {
        let entries: Vec<u8> = (0..40).flat_map(|i| program![text(&format!("part{i:03}")), [b'h', layer]]).collect();
        nested.extend(program![b"}", [b'q', layer + 1], b"(", entries, b"u0"]);
    }
    nested.extend(b"hd.");
    let mut lists = program![b"]q\x01(", b"N".repeat(200), b"e0"];
    for layer in 1..100u8 {
        lists.extend(program![b"]", [b'q', layer + 1], b"(", [b'h', layer].repeat(200), b"e0"]);
    }
    lists.extend(b"hd.");
    let children: Vec<u8> = (0..5000).flat_map(|i| program![text(&format!("{i:04}")), b"h\x01"]).collect();
    let parts = program![text("_parameters"), b"}", text("_buffers"), b"}", text("_modules"), b"}(", children, b"u"];
    let module = program![global("my.code", "M"), b")\x81q\x01}(", parts, b"ub."];
    for (what, tree) in [
        ("one long key", program![long_key, b"}(", b"h\x01N".repeat(8000), b"u."]),
        ("one long key of maps", program![long_key, b"}(", b"h\x01}".repeat(6000), b"u."]),
        ("one long key of a map in itself", program![long_key, b"}q\x02(", b"h\x01h\x02".repeat(6000), b"u."]),
        ("a map in itself", named(&["a", "b", "c"], b"h\x02", 8000)),
        ("a map in itself by good names", named(&["g_ema", "state_dict", "model", "generator"], b"h\x02", 5000)),
        ("a list in itself", program![b"]q\x02(", b"h\x02".repeat(30_000), b"e."]),
        ("layers of maps", nested),
        ("layers of lists", lists),
        ("a module in itself", module),
    ] {
        let started = std::time::Instant::now();
        let checkpoint = open(program![b"\x80\x02", tree]).unwrap_or_else(|error| panic!("{what}: {}", message(error)));
        assert!(crate::layout::detect(checkpoint).is_err(), "{what}");
        assert!(started.elapsed().as_secs() < 5, "{what} took {:?}", started.elapsed());
    }
}

#[test]
fn reading_stops_when_asked() {
    let file = program![b"\x80\x02", b"N0".repeat(500_000), b"N."];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.pkl");
    fs::write(&path, file).unwrap();
    let mut asked = 0;
    let mut stop_at_3 = |_| {
        asked += 1;
        if asked < 3 { Ok(()) } else { Err(Cancelled) }
    };
    let stopped = Checkpoint::open(&path, &mut stop_at_3).unwrap_err();
    assert!(matches!(stopped, CheckpointError::Cancelled(_)), "{stopped}");
    assert_eq!(asked, 3);
    assert!(Checkpoint::open(&path, &mut silent).is_ok());
}

#[test]
fn zip_files_that_lie_are_refused() {
    let program = tensor_program(&int(4), &int(0), b"K\x04\x85", b"K\x01\x85");
    let good = torch_zip(&program, &[0; 16]);
    assert!(open(good.clone()).is_ok());
    // Central directory: sizes at 20 and 24 of each header, offset of the local header at 42.
    let headers: Vec<usize> = (0..good.len() - 4).filter(|&at| good[at..].starts_with(b"PK\x01\x02")).collect();
    for header in headers {
        for (field, value) in [(20, u32::MAX - 1), (24, u32::MAX - 1), (42, u32::MAX - 1), (42, 7), (24, 1 << 20)] {
            let mut bad = good.clone();
            bad[header + field..header + field + 4].copy_from_slice(&value.to_le_bytes());
            let message = refusal(bad);
            assert!(message.starts_with("test.pth: broken torch zip file: "), "{message}");
        }
    }
    let huge = vec![0u8; 8 << 20];
    let mut bomb = zip_file(&[("x/data.pkl", &huge)], CompressionMethod::Deflated);
    let header = (0..bomb.len() - 4).find(|&at| bomb[at..].starts_with(b"PK\x01\x02")).unwrap();
    bomb[header + 24..header + 28].copy_from_slice(&1000u32.to_le_bytes());
    assert!(refusal(bomb).contains("data.pkl"));
    let two = zip_file(&[("x/data.pkl", b"N."), ("y/data.pkl", b"N.")], CompressionMethod::Stored);
    assert!(refusal(two).contains("one data.pkl"));
}

#[test]
fn other_kinds_of_files_are_named() {
    let tar = program![[b'a'; 257], b"ustar\0", [0u8; 250]];
    let other = zip_file(&[("photo.jpg", b"")], CompressionMethod::Stored);
    for (bytes, expected) in [
        (b"".to_vec(), "empty"),
        (b"<!DOCTYPE html><html>".to_vec(), "web page"),
        (b"\n <HTML lang=en>".to_vec(), "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0".to_vec(), "Git LFS"),
        (b"\x89HDF\r\n\x1a\n\0\0".to_vec(), "HDF5"),
        (b"\x89PNG\r\n\x1a\n".to_vec(), "PNG"),
        (b"\xff\xd8\xff\xe0".to_vec(), "JPEG"),
        (b"\x1f\x8b\x08".to_vec(), "gzip"),
        (tar, "tar archive"),
        (other, "photo.jpg"),
        (b"hello".to_vec(), "a text that begins with \"hello\""),
        (b"{\"version\": 1}".to_vec(), "a JSON text"),
        (b"\x01\xff\x02".to_vec(), "unknown kind of file, its first bytes are 01 ff 02"),
    ] {
        let message = refusal(bytes);
        assert!(message.starts_with("test.pth: ") && message.contains(expected), "{message}");
    }
}

#[test]
fn paths_that_are_no_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let message_of = |path: &std::path::Path| message(Checkpoint::open(path, &mut silent).unwrap_err());
    assert!(message_of(folder.path()).contains("folder"));
    let missing = message_of(&folder.path().join("no.pth"));
    assert!(missing.contains("no.pth: cannot be read: "), "{missing}");
    let empty = folder.path().join("empty.pth");
    fs::write(&empty, b"").unwrap();
    assert_eq!(message_of(&empty), "empty.pth: the file is empty. Fetch it again");
    let stop = Checkpoint::open(&empty, &mut |_| Err(Cancelled)).unwrap_err();
    assert!(matches!(stop, CheckpointError::Cancelled(_)));
}

/// Every container, and every family in it.
const FILES: [(&str, Container); 25] = [
    ("dcgan/netG.pth", Container::TorchZip),
    ("dcgan/netG_dataparallel.pth", Container::TorchLegacy),
    ("dcgan/netG_f16.safetensors", Container::Safetensors),
    ("pggan_genforce/model.pth", Container::TorchLegacy),
    ("pggan_genforce/model_tf.pkl", Container::PythonPickle),
    ("pggan_genforce_fused/model.pth", Container::TorchZip),
    ("pggan_genforce_fused/model_tf.pkl", Container::PythonPickle),
    ("stylegan1_genforce/model.pth", Container::TorchZip),
    ("stylegan1_genforce/model_tf.pkl", Container::PythonPickle),
    ("stylegan2_ada_skip/model.pth", Container::TorchZip),
    ("stylegan2_ada_skip/model.safetensors", Container::Safetensors),
    ("stylegan2_ada_skip/model.pkl", Container::PythonPickle),
    ("stylegan2_ada_skip/model_tf.pkl", Container::PythonPickle),
    ("stylegan2_ada_cond_pkl/model.pkl", Container::PythonPickle),
    ("stylegan2_genforce_cond/model.pth", Container::TorchZip),
    ("stylegan2_rosinality/model_train.pt", Container::TorchZip),
    ("stylegan3_r/model.pkl", Container::PythonPickle),
    ("biggan_ajbrock/G_ema.pth", Container::TorchZip),
    ("biggan_deep_ajbrock/G_ema.pth", Container::TorchZip),
    ("biggan_deep_hf/pytorch_model.bin", Container::TorchLegacy),
    ("archive_dcgan/scripted.pt", Container::TorchScript),
    ("stated/cond_frozen.pt", Container::TorchScript),
    ("stated/cond_old.onnx", Container::Onnx),
    ("stated/sequential.h5", Container::Keras),
    ("stated/functional.keras", Container::Keras),
];

#[test]
fn truncated_files_fail_cleanly() {
    for (name, container) in FILES {
        let whole = fixture(name);
        assert_eq!(open(whole.clone()).unwrap().container, container, "{name}");
        for length in (0..whole.len()).step_by((whole.len() / 500).max(97)) {
            let message = refusal(&whole[..length]);
            assert!(message.starts_with("test.pth: "), "{name} at {length}: {message}");
        }
    }
}

#[test]
fn damaged_files_never_panic() {
    let mut random = 0x2545_f491_4f6c_dd1du64;
    let mut opened = 0;
    for (name, _) in FILES {
        let whole = fixture(name);
        for round in 0..150 {
            let mut bytes = whole.clone();
            for _ in 0..1 + round % 8 {
                // Marsaglia's xorshift; half of the changes in the first 4 kB, where the structure is.
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let range = if random & 1 == 0 { bytes.len() } else { bytes.len().min(4096) };
                let at = (random >> 8) as usize % range;
                match random >> 61 {
                    0 => drop(bytes.splice(at..at, whole[..whole.len().min(16)].iter().copied())),
                    1 => drop(bytes.drain(at..(at + 3).min(range))),
                    _ => bytes[at] = (random >> 56) as u8,
                }
            }
            if let Ok(checkpoint) = open(bytes) {
                opened += 1;
                let _ = crate::layout::detect(checkpoint).map(|weights| weights.identity());
            }
        }
    }
    assert!(opened > 500, "only {opened} of the damaged files reached the layouts");
}
