//! An inert stack machine for Python pickles, protocols 0 to 5.
//!
//! Opcodes only build values in a [`Tree`]. What a global "called" with arguments gives is decided in `calls.rs`, from a
//! fixed table; nothing is ever imported or executed. Opcodes as in CPython's `pickletools`.

use super::budget::Budget;
use super::bytes::Bytes;
use super::error::Broken;
use super::globals::Meaning;
use super::machine::{Machine, index};
use super::tensor::DType;
use super::tree::{Node, Storage, Tree, Value};
use crate::limits;

/// A reference from a pickle to a storage outside it.
pub(super) struct StorageId<'a> {
    pub(super) dtype: DType,
    pub(super) key: &'a str,
}

/// Where the storages of a container are.
pub(super) trait Storages {
    /// All bytes of a storage; `None` if they are not known yet.
    fn storage(&mut self, id: &StorageId<'_>) -> Result<Option<Bytes>, String>;
}

/// A container without storages of its own.
pub(super) struct NoStorages;

impl Storages for NoStorages {
    fn storage(&mut self, _: &StorageId<'_>) -> Result<Option<Bytes>, String> {
        Ok(None)
    }
}

/// What a pickle holds.
#[derive(Debug)]
pub(super) struct Pickled {
    pub(super) tree: Tree,
    /// Offset of the byte after STOP.
    pub(super) end: usize,
    /// True if a Python reader would have called something that is not plain data.
    pub(super) carries_code: bool,
}

/// Reads the pickle that starts at byte `start` of `input`; `part` names the input in messages.
pub(super) fn read(
    input: &Bytes,
    start: usize,
    part: &str,
    storages: &mut dyn Storages,
    budget: &mut Budget<'_>,
) -> Result<Pickled, Broken> {
    let mut machine = Machine::new(input, start, storages, budget);
    loop {
        let opcode_at = machine.input.at();
        match machine.step() {
            Ok(false) => {}
            Ok(true) => break,
            Err(what) => {
                return Err(Broken::new(format!("{part}, byte {opcode_at}{}", opcode_text(input, opcode_at)), what));
            }
        }
    }
    Ok(Pickled { tree: machine.tree, end: machine.input.at(), carries_code: machine.carries_code })
}

fn opcode_text(input: &Bytes, at: usize) -> String {
    match input.array(at) {
        Ok(Some([op])) if op.is_ascii_graphic() => format!(" (opcode '{}')", char::from(op)),
        Ok(Some([op])) => format!(" (opcode {op:#04x})"),
        _ => String::new(),
    }
}

impl Machine<'_, '_> {
    /// One opcode; true after STOP.
    fn step(&mut self) -> Result<bool, String> {
        self.budget.opcode()?;
        let op = self.byte()?;
        match op {
            b'.' => {
                let root = self.pop()?;
                self.tree.set_root(root);
                return Ok(true);
            }
            0x80 => self.protocol()?,                  // PROTO
            0x95 => self.frame()?,                     // FRAME
            b'(' => self.mark()?,                      // MARK
            b'0' => self.pop_any()?,                   // POP
            b'1' => drop(self.pop_mark()?),            // POP_MARK
            b'2' => self.duplicate()?,                 // DUP
            b'q' => self.put_u8()?,                    // BINPUT
            b'r' => self.put_u32()?,                   // LONG_BINPUT
            b'p' => self.put_line()?,                  // PUT
            0x94 => self.put(self.memo.len() as u64)?, // MEMOIZE
            b'h' => self.get_u8()?,                    // BINGET
            b'j' => self.get_u32()?,                   // LONG_BINGET
            b'g' => self.get_line()?,                  // GET
            _ => return self.literal(op).map(|()| false),
        }
        Ok(false)
    }

    /// Numbers, texts and bytes.
    fn literal(&mut self, op: u8) -> Result<(), String> {
        let value = match op {
            b'N' => Value::None,                                          // NONE
            0x88 => Value::Bool(true),                                    // NEWTRUE
            0x89 => Value::Bool(false),                                   // NEWFALSE
            b'J' => Value::Int(i32::from_le_bytes(self.array()?).into()), // BININT
            b'K' => Value::Int(self.byte()?.into()),                      // BININT1
            b'M' => Value::Int(u16::from_le_bytes(self.array()?).into()), // BININT2
            b'G' => Value::Float(f64::from_be_bytes(self.array()?)),      // BINFLOAT
            0x8a => self.long_u8()?,                                      // LONG1
            0x8b => self.long_u32()?,                                     // LONG4
            b'I' => self.int_line()?,                                     // INT
            b'L' => self.long_line()?,                                    // LONG
            b'F' => self.float_line()?,                                   // FLOAT
            b'X' => self.unicode_u32()?,                                  // BINUNICODE
            0x8c => self.unicode_u8()?,                                   // SHORT_BINUNICODE
            0x8d => self.unicode_u64()?,                                  // BINUNICODE8
            b'V' => self.unicode_line()?,                                 // UNICODE
            b'B' | b'T' => self.bytes_u32()?,                             // BINBYTES, BINSTRING
            b'C' | b'U' => self.bytes_u8()?,                              // SHORT_BINBYTES, SHORT_BINSTRING
            0x8e | 0x96 => self.bytes_u64()?,                             // BINBYTES8, BYTEARRAY8
            b'S' => self.string_line()?,                                  // STRING
            _ => return self.collection(op),
        };
        self.push(value)
    }

    /// Tuples, lists, maps and sets.
    fn collection(&mut self, op: u8) -> Result<(), String> {
        match op {
            b')' | b']' | 0x8f => self.push_list(Vec::new()), // EMPTY_TUPLE, EMPTY_LIST, EMPTY_SET
            b'}' => {
                let map = self.add(Node::Map(Vec::new()))?; // EMPTY_DICT
                self.push(map)
            }
            b't' | b'l' | 0x91 => {
                let items = self.pop_mark()?; // TUPLE, LIST, FROZENSET
                self.push_list(items)
            }
            0x85..=0x87 => {
                let items = self.pop_n(usize::from(op - 0x84))?; // TUPLE1, TUPLE2, TUPLE3
                self.push_list(items)
            }
            b'd' => {
                let items = self.pop_mark()?; // DICT
                let map = self.add(Node::Map(Vec::new()))?;
                self.set_items(map, &items)?;
                self.push(map)
            }
            b'a' => {
                let item = self.pop()?; // APPEND
                self.extend(&[item])
            }
            b'e' | 0x90 => {
                let items = self.pop_mark()?; // APPENDS, ADDITEMS
                self.extend(&items)
            }
            b's' => {
                let items = self.pop_n(2)?; // SETITEM
                let map = self.top()?;
                self.set_items(map, &items)
            }
            b'u' => {
                let items = self.pop_mark()?; // SETITEMS
                let map = self.top()?;
                self.set_items(map, &items)
            }
            _ => self.object(op),
        }
    }

    /// Globals, and everything that would run code in Python.
    fn object(&mut self, op: u8) -> Result<(), String> {
        let value = match op {
            b'c' => self.global_lines()?, // GLOBAL
            0x93 => {
                let names = self.pop_n(2)?; // STACK_GLOBAL
                match (self.tree.text(names[0]), self.tree.text(names[1])) {
                    (Some(module), Some(name)) => {
                        let name = format!("{module}.{name}");
                        self.global(name)?
                    }
                    _ => return Err("expected a module and a name, both text".into()),
                }
            }
            b'R' | 0x81 => {
                let parts = self.pop_n(2)?; // REDUCE, NEWOBJ
                self.call(parts[0], parts[1])?
            }
            0x92 => {
                let parts = self.pop_n(3)?; // NEWOBJ_EX: keyword arguments are of no use here
                self.call(parts[0], parts[1])?
            }
            b'i' => {
                let class = self.global_lines()?; // INST
                let args = self.pop_mark()?;
                let args = self.list(args)?;
                self.call(class, args)?
            }
            b'o' => {
                let mut args = self.pop_mark()?; // OBJ
                if args.is_empty() {
                    return Err("expected a class".into());
                }
                let class = args.remove(0);
                let args = self.list(args)?;
                self.call(class, args)?
            }
            b'b' => {
                let state = self.pop()?; // BUILD
                let target = self.top()?;
                return self.build(target, state);
            }
            b'Q' => {
                let id = self.pop()?; // BINPERSID
                self.persistent(id)?
            }
            b'P' => {
                self.line()?; // PERSID
                self.opaque("persistent id", Value::None)?
            }
            0x82..=0x84 => return Err("extension codes name classes that only the writing program knows".into()),
            0x97 | 0x98 => return Err("the data is in a buffer outside the file".into()),
            _ => return Err("no such opcode: this is not a pickle, or it is damaged".into()),
        };
        self.push(value)
    }

    fn persistent(&mut self, id: Value) -> Result<Value, String> {
        // At most six parts mean something; a longer list would only be copied again for every use.
        let parts = self.tree.items(id).filter(|parts| parts.len() <= 6).unwrap_or_default().to_vec();
        let text = |at: usize| parts.get(at).and_then(|&value| self.tree.text(value));
        if text(0) == Some("module") {
            // Whole modules saved before PyTorch 1.6: ("module", class, file, source). The class is all that matters.
            return Ok(parts.get(1).copied().unwrap_or(Value::None));
        }
        let (Some("storage"), Some(key)) = (text(0), text(2)) else { return self.opaque("persistent id", id) };
        if key.len() > limits::STORAGE_KEY {
            return Err(format!("a storage's key of {} bytes", key.len()));
        }
        let Some(Node::Global(class)) = parts.get(1).and_then(|&class| self.tree.node(class)) else {
            return self.opaque("storage without a class", id);
        };
        let Meaning::Storage(dtype) = class.meaning else {
            let class = class.name.clone();
            return self.opaque(&class, id);
        };
        let Some(numel) = parts.get(4).and_then(|&numel| index(numel)) else {
            return Err(format!("storage {key:?} has no valid number of elements"));
        };
        // PyTorch before 0.4: the storage may be a window (key, offset, number of elements) of the one with that key.
        let window = parts.get(5).and_then(|&window| self.tree.items(window)).map(<[Value]>::to_vec);
        let Some(bytes) = self.storages.storage(&StorageId { dtype, key })? else {
            return self.opaque("storage", id);
        };
        let (first, count) = match window.as_deref() {
            None => (0, numel),
            Some([_, offset, count]) => match (index(*offset), index(*count)) {
                (Some(offset), Some(count)) => (offset, count),
                _ => return Err(format!("storage {key:?}: invalid window")),
            },
            Some(_) => return Err(format!("storage {key:?}: invalid window")),
        };
        let size = dtype.size();
        let range = first.checked_mul(size).zip(first.checked_add(count).and_then(|end| end.checked_mul(size)));
        let found = bytes.len() / size;
        let bytes = range.and_then(|(start, end)| bytes.slice(start..end)).ok_or_else(|| {
            format!("storage {key:?}: expected {count} elements of {dtype} from element {first} on, found {found}")
        })?;
        self.add(Node::Storage(Storage { dtype, bytes }))
    }
}
