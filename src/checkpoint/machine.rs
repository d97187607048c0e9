//! The parts of the pickle machine: its stack and memo, and the bytes it reads.

use std::collections::HashMap;

use super::budget::Budget;
use super::bytes::{Bytes, Unreadable};
use super::globals::{Meaning, meaning};
use super::pickle::Storages;
use super::tree::{Global, Node, NodeId, Object, Tree, Value};
use crate::limits;

/// Bytes read at a time from a file; those of tensors are passed over.
const BLOCK: usize = 16 << 10;

/// The bytes of a pickle, from front to back.
pub(super) struct Input<'a> {
    bytes: &'a Bytes,
    at: usize,
    /// The bytes from `block_at` on, where they are not in memory.
    block: Vec<u8>,
    block_at: usize,
}

impl<'a> Input<'a> {
    fn new(bytes: &'a Bytes, at: usize) -> Input<'a> {
        Input { bytes, at: at.min(bytes.len()), block: Vec::new(), block_at: 0 }
    }

    /// Offset of the next byte.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next bytes, at least `count` of them or all that are left.
    fn window(&mut self, count: usize) -> Result<&[u8], Unreadable> {
        if let Some(bytes) = self.bytes.in_memory() {
            return Ok(&bytes[self.at..]);
        }
        let count = count.min(self.left());
        let loaded = self.block_at..self.block_at + self.block.len();
        if !loaded.contains(&self.at) || loaded.end - self.at < count {
            self.block.resize(count.max(BLOCK).min(self.left()), 0);
            self.block_at = self.at;
            self.bytes.read_at(self.at, &mut self.block)?;
        }
        Ok(&self.block[self.at - self.block_at..])
    }

    /// The next `count` bytes, not read yet.
    fn take(&mut self, count: usize) -> Option<Bytes> {
        let bytes = self.bytes.slice(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(bytes)
    }
}

/// A pickle being read.
pub(super) struct Machine<'a, 'r> {
    pub(super) input: Input<'a>,
    pub(super) stack: Vec<Value>,
    /// Heights of the stack at which a MARK was set.
    pub(super) marks: Vec<usize>,
    pub(super) memo: HashMap<u32, Value>,
    pub(super) tree: Tree,
    pub(super) storages: &'a mut dyn Storages,
    pub(super) budget: &'a mut Budget<'r>,
    pub(super) carries_code: bool,
    /// What files kept as bytes gave, so that each is read once however often it is named.
    pub(super) blobs: HashMap<NodeId, Option<Value>>,
}

impl<'a, 'r> Machine<'a, 'r> {
    pub(super) fn new(
        input: &'a Bytes,
        at: usize,
        storages: &'a mut dyn Storages,
        budget: &'a mut Budget<'r>,
    ) -> Machine<'a, 'r> {
        Machine {
            input: Input::new(input, at),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            tree: Tree::new(),
            storages,
            budget,
            carries_code: false,
            blobs: HashMap::new(),
        }
    }

    pub(super) fn add(&mut self, node: Node) -> Result<Value, String> {
        self.budget.memory(size_of::<Node>())?;
        Ok(self.tree.add(node))
    }

    pub(super) fn list(&mut self, items: Vec<Value>) -> Result<Value, String> {
        self.budget.memory(size_of_val(items.as_slice()))?;
        self.add(Node::List(items))
    }

    pub(super) fn push_list(&mut self, items: Vec<Value>) -> Result<(), String> {
        let list = self.list(items)?;
        self.push(list)
    }

    pub(super) fn text(&mut self, text: &str) -> Result<Value, String> {
        self.budget.memory(text.len())?;
        self.add(Node::Text(text.into()))
    }

    pub(super) fn opaque(&mut self, class: &str, args: Value) -> Result<Value, String> {
        self.budget.memory(class.len())?;
        let object =
            Object { class: class.into(), args, state: Value::None, meaning: Meaning::Unknown, entries: Vec::new() };
        self.add(Node::Object(object))
    }

    pub(super) fn global(&mut self, name: String) -> Result<Value, String> {
        self.budget.memory(name.len())?;
        let meaning = meaning(&name);
        self.add(Node::Global(Global { name: name.into(), meaning }))
    }

    pub(super) fn global_lines(&mut self) -> Result<Value, String> {
        let module = self.text_line()?;
        let name = self.text_line()?;
        self.global(format!("{module}.{name}"))
    }

    pub(super) fn extend(&mut self, items: &[Value]) -> Result<(), String> {
        self.budget.memory(size_of_val(items))?;
        let list = self.top()?;
        match self.tree.node_mut(list) {
            Some(Node::List(list)) => list.extend_from_slice(items),
            Some(Node::Object(_)) => {} // some kind of list that means nothing here
            _ => return Err(format!("expected a list to add to, found {}", self.tree.describe(list))),
        }
        Ok(())
    }

    pub(super) fn set_items(&mut self, map: Value, items: &[Value]) -> Result<(), String> {
        self.budget.memory(size_of_val(items))?;
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err("expected pairs of key and value, found a key without a value".into());
        }
        let pairs = pairs.iter().map(|&[key, value]| (key, value));
        match self.tree.node_mut(map) {
            Some(Node::Map(entries)) => entries.extend(pairs),
            Some(Node::Object(object)) => object.entries.extend(pairs),
            _ => return Err(format!("expected a map to set items of, found {}", self.tree.describe(map))),
        }
        Ok(())
    }

    // Stack and memo.

    pub(super) fn push(&mut self, value: Value) -> Result<(), String> {
        if self.stack.len() >= limits::STACK {
            return Err(format!("more than {} values on the stack", limits::STACK));
        }
        self.stack.push(value);
        Ok(())
    }

    /// Height below which values belong to an outer mark.
    pub(super) fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    pub(super) fn pop(&mut self) -> Result<Value, String> {
        let [value] = self.pop_n(1)?[..] else { return Err("the stack is empty".into()) };
        Ok(value)
    }

    pub(super) fn pop_n(&mut self, count: usize) -> Result<Vec<Value>, String> {
        let available = self.stack.len() - self.floor();
        if available < count {
            return Err(format!("expected {count} values on the stack, found {available}"));
        }
        Ok(self.stack.split_off(self.stack.len() - count))
    }

    /// Everything above the last mark.
    pub(super) fn pop_mark(&mut self) -> Result<Vec<Value>, String> {
        let mark = self.marks.pop().ok_or("expected a mark on the stack, found none")?;
        Ok(self.stack.split_off(mark))
    }

    /// POP takes a mark as well as a value.
    pub(super) fn pop_any(&mut self) -> Result<(), String> {
        if self.stack.len() > self.floor() { self.pop().map(drop) } else { self.pop_mark().map(drop) }
    }

    pub(super) fn top(&self) -> Result<Value, String> {
        self.stack[self.floor()..].last().copied().ok_or_else(|| "expected a value on the stack, found none".into())
    }

    pub(super) fn mark(&mut self) -> Result<(), String> {
        if self.marks.len() >= limits::STACK {
            return Err(format!("more than {} marks on the stack", limits::STACK));
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    pub(super) fn duplicate(&mut self) -> Result<(), String> {
        let value = self.top()?;
        self.push(value)
    }

    pub(super) fn put(&mut self, key: u64) -> Result<(), String> {
        let value = self.top()?;
        let key = u32::try_from(key).map_err(|_| format!("memo number {key} is out of range"))?;
        if self.memo.len() >= limits::STACK {
            return Err(format!("more than {} memos", limits::STACK));
        }
        self.memo.insert(key, value);
        Ok(())
    }

    pub(super) fn get(&mut self, key: u64) -> Result<(), String> {
        let value = u32::try_from(key).ok().and_then(|key| self.memo.get(&key)).copied();
        self.push(value.ok_or_else(|| format!("memo {key} was never set"))?)
    }

    // Arguments of opcodes.

    pub(super) fn take(&mut self, count: usize) -> Result<Bytes, String> {
        let left = self.input.left();
        let bytes = self.input.take(count);
        bytes.ok_or_else(|| format!("{count} bytes expected, {left} are left: the file is incomplete"))
    }

    /// As [`Machine::take`], in memory, which is paid for.
    pub(super) fn take_kept(&mut self, count: usize) -> Result<Bytes, String> {
        let bytes = self.take(count)?;
        self.budget.memory(count)?;
        Ok(bytes.kept()?)
    }

    pub(super) fn byte(&mut self) -> Result<u8, String> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let bytes = self.input.window(N)?.first_chunk::<N>();
        let bytes = *bytes.ok_or("the pickle ends in the middle: the file is incomplete")?;
        self.input.at += N;
        Ok(bytes)
    }

    /// Bytes up to the next line feed, which is skipped.
    pub(super) fn line(&mut self) -> Result<Vec<u8>, String> {
        let mut wanted = 256;
        let line = loop {
            let next = self.input.window(wanted)?;
            let searched = &next[..next.len().min(limits::LINE)];
            match searched.iter().position(|&byte| byte == b'\n') {
                Some(end) => break searched[..end].to_vec(),
                None if searched.len() == limits::LINE || next.len() < wanted => {
                    return Err("expected a line of text, found no end of it".into());
                }
                None => wanted = (next.len() * 8).min(limits::LINE),
            }
        };
        self.input.at += line.len() + 1;
        Ok(line)
    }

    pub(super) fn text_line(&mut self) -> Result<String, String> {
        let line = String::from_utf8(self.line()?);
        let mut text = line.map_err(|_| "expected a line of text, found other bytes")?;
        text.truncate(text.trim_end_matches('\r').len());
        Ok(text)
    }

    pub(super) fn protocol(&mut self) -> Result<(), String> {
        match self.byte()? {
            0..=5 => Ok(()),
            other => Err(format!("expected pickle protocol 0 to 5, found {other}")),
        }
    }

    /// Frames only help readers of streams; their length is checked and forgotten.
    pub(super) fn frame(&mut self) -> Result<(), String> {
        let length = u64::from_le_bytes(self.array()?);
        let left = self.input.left();
        if length > left as u64 {
            return Err(format!("a frame of {length} bytes, but {left} are left: the file is incomplete"));
        }
        Ok(())
    }

    pub(super) fn put_u8(&mut self) -> Result<(), String> {
        let key = self.byte()?;
        self.put(key.into())
    }

    pub(super) fn put_u32(&mut self) -> Result<(), String> {
        let key = u32::from_le_bytes(self.array()?);
        self.put(key.into())
    }

    pub(super) fn put_line(&mut self) -> Result<(), String> {
        let key = self.number_line()?;
        self.put(key)
    }

    pub(super) fn get_u8(&mut self) -> Result<(), String> {
        let key = self.byte()?;
        self.get(key.into())
    }

    pub(super) fn get_u32(&mut self) -> Result<(), String> {
        let key = u32::from_le_bytes(self.array()?);
        self.get(key.into())
    }

    pub(super) fn get_line(&mut self) -> Result<(), String> {
        let key = self.number_line()?;
        self.get(key)
    }

    pub(super) fn number_line(&mut self) -> Result<u64, String> {
        let text = self.text_line()?;
        text.parse().map_err(|_| format!("expected a number, found {text:?}"))
    }
}

/// A value as a size or an offset: an integer that is not negative.
pub(super) fn index(value: Value) -> Option<usize> {
    match value {
        Value::Int(i) => usize::try_from(i).ok(),
        _ => None,
    }
}
