//! The stack machine: opcodes, sharing, and the meaning of names.

use super::budget::Budget;
use super::error::Broken;
use super::pickle::{self, NoStorages, Pickled};
use super::tree::Value;
use crate::progress::silent;

pub(super) fn run(program: &[u8]) -> Result<Pickled, Broken> {
    pickle::read(&program.to_vec().into(), 0, "test", &mut NoStorages, &mut Budget::new(program.len(), &mut silent))
}

/// Parts of a pickle, put together.
macro_rules! program {
    ($($part:expr),* $(,)?) => {{
        let mut bytes: Vec<u8> = Vec::new();
        $(bytes.extend_from_slice(AsRef::<[u8]>::as_ref(&$part));)*
        bytes
    }};
}
pub(super) use program;

/// SHORT_BINUNICODE.
pub(super) fn text(text: &str) -> Vec<u8> {
    program![[0x8c, text.len() as u8], text]
}

/// GLOBAL.
pub(super) fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

#[test]
fn literals_of_all_protocols() {
    let long = |bytes: &[u8]| program![[0x8a, bytes.len() as u8], bytes, b"."];
    let cases: Vec<(Vec<u8>, Value)> = vec![
        (b"N.".to_vec(), Value::None),
        (b"\x88.".to_vec(), Value::Bool(true)),
        (b"\x89.".to_vec(), Value::Bool(false)),
        (b"\x80\x02K\x07.".to_vec(), Value::Int(7)),
        (b"M\x01\x02.".to_vec(), Value::Int(0x201)),
        (b"J\xff\xff\xff\xff.".to_vec(), Value::Int(-1)),
        (long(b""), Value::Int(0)),
        (long(b"\x00\x80"), Value::Int(-0x8000)),
        (long(b"\xff\x00"), Value::Int(255)),
        (b"\x8b\x01\x00\x00\x00\x05.".to_vec(), Value::Int(5)),
        (b"G\x3f\xf8\0\0\0\0\0\0.".to_vec(), Value::Float(1.5)),
        (b"I01\n.".to_vec(), Value::Bool(true)),
        (b"I-12\n.".to_vec(), Value::Int(-12)),
        (b"L99L\n.".to_vec(), Value::Int(99)),
        (b"F1e3\n.".to_vec(), Value::Float(1000.0)),
        (b"K\x01K\x020.".to_vec(), Value::Int(1)),
        (b"K\x01(K\x021.".to_vec(), Value::Int(1)),
        (b"K\x01(0.".to_vec(), Value::Int(1)),
        (b"K\x05p3\n0g3\n.".to_vec(), Value::Int(5)),
        (b"K\x05q\x030h\x03.".to_vec(), Value::Int(5)),
        (b"K\x05r\x03\0\0\x010j\x03\0\0\x01.".to_vec(), Value::Int(5)),
        (b"\x80\x04\x95\x03\0\0\0\0\0\0\0K\x05\x94.".to_vec(), Value::Int(5)),
    ];
    for (program, expected) in cases {
        assert_eq!(run(&program).unwrap().tree.root(), expected, "{program:x?}");
    }
}

#[test]
fn texts_of_all_protocols() {
    for program in [
        program![b"X\x03\0\0\0", "a\u{e9}", b"."],
        program![b"\x8c\x03", "a\u{e9}", b"."],
        program![b"\x8d\x03\0\0\0\0\0\0\0", "a\u{e9}", b"."],
        b"Va\\u00e9\n.".to_vec(),
        b"S'a\\xc3\\xa9'\n.".to_vec(),
        program![b"U\x03", "a\u{e9}", b"."],
        program![b"T\x03\0\0\0", "a\u{e9}", b"."],
    ] {
        let pickled = run(&program).unwrap();
        assert_eq!(pickled.tree.text(pickled.tree.root()), Some("a\u{e9}"), "{program:x?}");
    }
    for program in [
        b"B\x02\0\0\0ab.".to_vec(),
        b"C\x02ab.".to_vec(),
        b"\x8e\x02\0\0\0\0\0\0\0ab.".to_vec(),
        b"\x96\x02\0\0\0\0\0\0\0ab.".to_vec(),
    ] {
        let pickled = run(&program).unwrap();
        assert_eq!(pickled.tree.describe(pickled.tree.root()), "2 raw bytes");
    }
}

#[test]
fn collections_of_all_protocols() {
    let three = [Value::Int(1), Value::Int(2), Value::Int(3)];
    for program in [
        b"K\x01K\x02K\x03\x87.".to_vec(),
        b"(K\x01K\x02K\x03t.".to_vec(),
        b"(K\x01K\x02K\x03l.".to_vec(),
        b"(K\x01K\x02K\x03\x91.".to_vec(),
        b"](K\x01K\x02K\x03e.".to_vec(),
        b"\x8f(K\x01K\x02K\x03\x90.".to_vec(),
        b"]K\x01aK\x02aK\x03a.".to_vec(),
        program![global("builtins", "set"), b"](K\x01K\x02K\x03e\x85R."],
        program![global("torch", "Size"), b"(K\x01K\x02K\x03t\x85R."],
    ] {
        let pickled = run(&program).unwrap();
        assert_eq!(pickled.tree.items(pickled.tree.root()), Some(&three[..]), "{program:x?}");
        assert!(!pickled.carries_code);
    }
    for program in [
        program![b"}", text("a"), b"K\x01s", text("b"), b"K\x02s."],
        program![b"}(", text("a"), b"K\x01", text("b"), b"K\x02u."],
        program![b"(", text("a"), b"K\x01", text("b"), b"K\x02d."],
        program![global("collections", "OrderedDict"), b")R(", text("a"), b"K\x01", text("b"), b"K\x02u}b."],
        program![global("collections", "OrderedDict"), b"]", text("a"), b"K\x01\x86a", text("b"), b"K\x02\x86a\x85R."],
        program![
            global("dnnlib.util", "EasyDict"),
            b")\x81(",
            text("a"),
            b"K\x09",
            text("a"),
            b"K\x01",
            text("b"),
            b"K\x02u."
        ],
    ] {
        let Pickled { tree, carries_code, .. } = run(&program).unwrap();
        assert_eq!(tree.get(tree.root(), "a"), Some(Value::Int(1)), "{program:x?}");
        assert_eq!(tree.get(tree.root(), "b"), Some(Value::Int(2)));
        assert_eq!(tree.get(tree.root(), "c"), None);
        assert!(!carries_code);
    }
}

#[test]
fn a_map_memoised_before_it_is_filled_is_whole_under_both_keys() {
    let program = program![b"}(", text("a"), b"}q\x05", text("b"), b"h\x05uh\x05", text("x"), b"K\x07s0."];
    let Pickled { tree, .. } = run(&program).unwrap();
    let (a, b) = (tree.get(tree.root(), "a").unwrap(), tree.get(tree.root(), "b").unwrap());
    assert_eq!(a, b);
    assert_eq!(tree.get(a, "x"), Some(Value::Int(7)));
}

#[test]
fn what_contains_itself_is_read_printed_and_dropped() {
    let map = run(&program![b"}q\0", text("self"), b"h\0s."]).unwrap();
    assert_eq!(map.tree.get(map.tree.root(), "self"), Some(map.tree.root()));
    let list = run(b"]q\0h\0ah\0a.").unwrap();
    assert_eq!(list.tree.items(list.tree.root()), Some(&[list.tree.root(); 2][..]));
    assert!(!format!("{map:?} {list:?}").is_empty());
}

#[test]
fn nothing_is_ever_run() {
    let folder = tempfile::tempdir().unwrap();
    let victim = folder.path().join("made-by-the-pickle");
    let command = format!("touch {}", victim.display());
    for (module, name) in [("posix", "system"), ("os", "system"), ("nt", "system"), ("builtins", "eval")] {
        for call in [b"R".as_slice(), b"\x81"] {
            let Pickled { tree, carries_code, .. } =
                run(&program![global(module, name), text(&command), b"\x85", call, b"."]).unwrap();
            let object = tree.object(tree.root()).unwrap();
            assert_eq!(*object.class, format!("{module}.{name}"));
            assert!(carries_code);
        }
        let old = program![b"(S'", command, format!("'\ni{module}\n{name}\n.")];
        assert!(run(&old).unwrap().carries_code);
        let stacked = program![b"\x80\x04", text(module), text(name), b"\x93", text(&command), b"\x85R."];
        assert!(run(&stacked).unwrap().carries_code);
    }
    assert!(!victim.exists());
}

#[test]
fn unknown_objects_keep_arguments_and_state() {
    let made = program![global("argparse", "Namespace"), b")\x81}", text("lr"), b"K\x03sb."];
    let Pickled { tree, carries_code, .. } = run(&made).unwrap();
    let object = tree.object(tree.root()).unwrap();
    assert_eq!(&*object.class, "argparse.Namespace");
    assert_eq!(tree.get(object.state, "lr"), Some(Value::Int(3)));
    assert!(!carries_code);
    // A name that is not called runs nothing, and neither does a class that only names a type.
    assert!(!run(&program![global("some.module", "Class"), b"."]).unwrap().carries_code);
    // Calling what a call gave, appending to it, setting items on it: opaque, never a failure.
    let odd = program![global("m", "f"), b")R)R(K\x01K\x02eK\x01K\x02sNb."];
    assert!(run(&odd).unwrap().carries_code);
}

fn numpy_dtype(code: &str, order: &str) -> Vec<u8> {
    program![
        global("numpy", "dtype"),
        text(code),
        b"\x89\x88\x87R(K\x03",
        text(order),
        b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    ]
}

#[test]
fn numpy_arrays_and_scalars() {
    let bytes: Vec<u8> = [1f32, 2., 3., 4., 5., 6.].iter().flat_map(|v| v.to_le_bytes()).collect();
    let data = program![[b'C', 24], bytes];
    let shape = b"K\x02K\x03\x86";
    for (fortran, expected) in [(b"\x89", [1., 2., 3., 4., 5., 6.]), (b"\x88", [1., 3., 5., 2., 4., 6.])] {
        let empty = program![
            global("numpy.core.multiarray", "_reconstruct"),
            global("numpy", "ndarray"),
            b"K\0\x85C\x01b\x87R"
        ];
        let built = program![empty, b"q\x01(K\x01", shape, numpy_dtype("f4", "<"), fortran, data, b"tbh\x01\x86."];
        let Pickled { tree, carries_code, .. } = run(&built).unwrap();
        let [array, again] = tree.items(tree.root()).unwrap()[..] else { panic!() };
        assert_eq!(array, again);
        assert_eq!(tree.tensor(array).unwrap().to_f32().unwrap(), expected);
        assert!(!carries_code);
    }
    let buffer = |order: &str| {
        program![
            global("numpy._core.numeric", "_frombuffer"),
            b"(",
            data,
            numpy_dtype("f4", "<"),
            shape,
            text(order),
            b"tR."
        ]
    };
    for (order, second) in [("C", 2.), ("F", 3.)] {
        let Pickled { tree, .. } = run(&buffer(order)).unwrap();
        assert_eq!(tree.tensor(tree.root()).unwrap().to_f32().unwrap()[1], second);
    }
    let scalar = |bytes: &[u8]| {
        program![
            global("numpy._core.multiarray", "scalar"),
            numpy_dtype("f8", "<"),
            [b'C', bytes.len() as u8],
            bytes,
            b"\x86R."
        ]
    };
    let Pickled { tree, .. } = run(&scalar(&0.8f64.to_le_bytes())).unwrap();
    assert!((tree.number(tree.root()).unwrap() - 0.8).abs() < 1e-7);
    assert!(run(&scalar(b"short")).is_err());
    let swapped =
        program![global("numpy.core.multiarray", "scalar"), numpy_dtype("f8", ">"), b"C\x08\0\0\0\0\0\0\0\0\x86R."];
    assert!(run(&swapped).unwrap_err().what.contains("big-endian"));
    // Protocol 2 carries bytes as text.
    let encoded = program![global("_codecs", "encode"), b"X\x02\0\0\0", "\u{e9}", text("latin1"), b"\x86R."];
    let Pickled { tree, .. } = run(&encoded).unwrap();
    assert_eq!(tree.describe(tree.root()), "1 raw bytes");
}

#[test]
fn faults_name_their_place() {
    let error = run(b"\x80\x02K\x01h\x07.").unwrap_err();
    assert_eq!(error.to_string(), "test, byte 4 (opcode 'h'): memo 7 was never set");
    for bad in [
        b"".as_slice(),
        b".",
        b"N",
        b"\x80\x09N.",
        b"t.",
        b"K\x01s.",
        b"NK\x01K\x01s.",
        b"Na.",
        b"(NR.",
        b"K\x01(.",
        b"N(K\x01\x86.",
        b"\x82\x01.",
        b"\x97.",
        b"\x98.",
        b"\xff.",
        b"I1x\n.",
        b"F--\n.",
        b"S'a\n.",
        b"S'\\xzz'\n.",
        b"K\x01K\x02\x93.",
        b"}(K\x01u.",
        b"(o.",
        b"p-1\n.",
        b"g99999999999999999999\n.",
    ] {
        assert!(run(bad).is_err(), "{bad:x?} was accepted");
    }
}
