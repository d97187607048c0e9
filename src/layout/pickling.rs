//! Writes small torch files for tests: plain values, tensors and modules, in any nesting.

use std::io::Write;

use super::fixture_tests::NamedTensor;

/// A Python value.
#[derive(Clone, Debug)]
pub(super) enum Py {
    None,
    Int(i32),
    Text(String),
    Tensor(Vec<usize>, Vec<f32>),
    List(Vec<Py>),
    Tuple(Vec<Py>),
    Dict(Vec<(Py, Py)>),
    /// An object of a class, with its attributes.
    Object(&'static str, Vec<(Py, Py)>),
}

impl Py {
    pub(super) fn dict<K: Into<String>>(entries: impl IntoIterator<Item = (K, Py)>) -> Py {
        Py::Dict(entries.into_iter().map(|(key, value)| (Py::Text(key.into()), value)).collect())
    }

    /// A state dict.
    pub(super) fn tensors(tensors: &[NamedTensor], prefix: &str) -> Py {
        Py::dict(
            tensors
                .iter()
                .map(|(name, shape, values)| (format!("{prefix}{name}"), Py::Tensor(shape.clone(), values.clone()))),
        )
    }

    /// A pickled module: attributes as torch keeps them. `parts` are submodules.
    pub(super) fn module(class: &'static str, tensors: &[(&str, Py)], parts: Vec<(&str, Py)>) -> Py {
        let parameters = Py::dict(tensors.iter().map(|(name, tensor)| (*name, tensor.clone())));
        let attributes =
            [("_parameters", parameters), ("_buffers", Py::dict::<&str>([])), ("_modules", Py::dict(parts))];
        Py::Object(class, attributes.into_iter().map(|(key, value)| (Py::Text(key.into()), value)).collect())
    }

    /// The bytes of a torch zip file.
    pub(super) fn file(&self) -> Vec<u8> {
        let mut program = b"\x80\x02".to_vec();
        let mut storages = Vec::new();
        self.write(&mut program, &mut storages);
        program.push(b'.');
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        let storages = storages.into_iter().enumerate().map(|(number, bytes)| (format!("x/data/{number}"), bytes));
        for (name, content) in std::iter::once(("x/data.pkl".to_string(), program)).chain(storages) {
            zip.start_file(name, options).unwrap();
            zip.write_all(&content).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn write(&self, out: &mut Vec<u8>, storages: &mut Vec<Vec<u8>>) {
        let text = |text: &str| [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
        let int = |value: usize| [b"J".as_slice(), &(value as u32).to_le_bytes()].concat();
        match self {
            Py::None => out.push(b'N'),
            Py::Int(value) => out.extend([b"J".as_slice(), &value.to_le_bytes()].concat()),
            Py::Text(value) => out.extend(text(value)),
            Py::Tensor(shape, values) => {
                let tuple = |axes: &[usize]| {
                    [b"(".to_vec(), axes.iter().flat_map(|&axis| int(axis)).collect(), b"t".to_vec()].concat()
                };
                let strides: Vec<usize> = (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect();
                out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
                out.extend([text("storage"), b"ctorch\nFloatStorage\n".to_vec()].concat());
                out.extend(
                    [text(&storages.len().to_string()), text("cpu"), int(values.len()), b"tQ".to_vec()].concat(),
                );
                out.extend([int(0), tuple(shape), tuple(&strides), b"\x89NtR".to_vec()].concat());
                storages.push(values.iter().flat_map(|value| value.to_le_bytes()).collect());
            }
            Py::List(items) => {
                out.extend(b"](");
                items.iter().for_each(|item| item.write(out, storages));
                out.push(b'e');
            }
            Py::Tuple(items) => {
                out.push(b'(');
                items.iter().for_each(|item| item.write(out, storages));
                out.push(b't');
            }
            Py::Dict(entries) => write_entries(entries, out, storages),
            Py::Object(class, attributes) => {
                let (module, name) = class.rsplit_once('.').unwrap();
                out.extend(format!("c{module}\n{name}\n)\u{81}").chars().map(|c| c as u8));
                write_entries(attributes, out, storages);
                out.push(b'b');
            }
        }
    }
}

fn write_entries(entries: &[(Py, Py)], out: &mut Vec<u8>, storages: &mut Vec<Vec<u8>>) {
    out.extend(b"}(");
    for (key, value) in entries {
        key.write(out, storages);
        value.write(out, storages);
    }
    out.push(b'u');
}
