//! Numbers, texts and bytes as pickles spell them.

use super::bytes::Bytes;
use super::machine::Machine;
use super::tree::{MAX_BYTES_TEXT, Node, Value};

impl Machine<'_, '_> {
    pub(super) fn long_u8(&mut self) -> Result<Value, String> {
        let count = self.byte()?;
        self.long(count.into())
    }

    pub(super) fn long_u32(&mut self) -> Result<Value, String> {
        let count = u32::from_le_bytes(self.array()?);
        self.long(count as usize)
    }

    /// An integer of any length, two's complement, little-endian. What exceeds 64 bits is never a size or a number that
    /// matters here.
    fn long(&mut self, count: usize) -> Result<Value, String> {
        let bytes = self.take(count)?;
        if count > 8 {
            return self.opaque("int", Value::None);
        }
        let bytes = bytes.load()?;
        let fill = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
        let mut wide = [fill; 8];
        wide[..count].copy_from_slice(&bytes);
        Ok(Value::Int(i64::from_le_bytes(wide)))
    }

    pub(super) fn int_line(&mut self) -> Result<Value, String> {
        let text = self.text_line()?;
        match text.as_str() {
            "00" => Ok(Value::Bool(false)),
            "01" => Ok(Value::Bool(true)),
            other => self.decimal(other),
        }
    }

    pub(super) fn long_line(&mut self) -> Result<Value, String> {
        let text = self.text_line()?;
        self.decimal(text.strip_suffix('L').unwrap_or(&text))
    }

    fn decimal(&mut self, text: &str) -> Result<Value, String> {
        if let Ok(int) = text.trim().parse() {
            return Ok(Value::Int(int));
        }
        let digits = text.trim().trim_start_matches('-');
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!("expected an integer, found {:?}", clip(text)));
        }
        self.opaque("int", Value::None)
    }

    pub(super) fn float_line(&mut self) -> Result<Value, String> {
        let text = self.text_line()?;
        text.trim().parse().map(Value::Float).map_err(|_| format!("expected a number, found {:?}", clip(&text)))
    }

    pub(super) fn unicode_u8(&mut self) -> Result<Value, String> {
        let count = self.byte()?;
        self.unicode(count.into())
    }

    pub(super) fn unicode_u32(&mut self) -> Result<Value, String> {
        let count = u32::from_le_bytes(self.array()?);
        self.unicode(count as usize)
    }

    pub(super) fn unicode_u64(&mut self) -> Result<Value, String> {
        let count = self.length_u64()?;
        self.unicode(count)
    }

    /// Python may write half of a surrogate pair, which is no text here; a question mark takes its place.
    fn unicode(&mut self, count: usize) -> Result<Value, String> {
        let bytes = self.take(count)?;
        self.budget.memory(count)?;
        let bytes = bytes.load()?;
        let text = match str::from_utf8(&bytes) {
            Ok(text) => text.into(),
            Err(_) => {
                self.budget.memory(3 * bytes.len())?;
                String::from_utf8_lossy(&bytes).into()
            }
        };
        self.add(Node::Text(text))
    }

    /// A line in which `\uXXXX` stands for a character.
    pub(super) fn unicode_line(&mut self) -> Result<Value, String> {
        let line = self.line()?;
        let mut text = String::with_capacity(line.len());
        let mut at = 0;
        while let Some(&byte) = line.get(at) {
            let digits = match line.get(at..at + 2) {
                Some(b"\\u") => line.get(at + 2..at + 6),
                Some(b"\\U") => line.get(at + 2..at + 10),
                _ => None,
            };
            let code = digits.and_then(|digits| u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok());
            match (digits, code) {
                (Some(digits), Some(code)) => {
                    text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                    at += 2 + digits.len();
                }
                _ => {
                    text.push(char::from(byte));
                    at += 1;
                }
            }
        }
        self.text(&text)
    }

    pub(super) fn bytes_u8(&mut self) -> Result<Value, String> {
        let count = self.byte()?;
        self.bytes(count.into())
    }

    pub(super) fn bytes_u32(&mut self) -> Result<Value, String> {
        let count = u32::from_le_bytes(self.array()?);
        self.bytes(count as usize)
    }

    pub(super) fn bytes_u64(&mut self) -> Result<Value, String> {
        let count = self.length_u64()?;
        self.bytes(count)
    }

    fn bytes(&mut self, count: usize) -> Result<Value, String> {
        // Short ones may be names, which the tree is asked for; the others are tensors and stay where they are.
        let bytes = if count <= MAX_BYTES_TEXT { self.take_kept(count)? } else { self.take(count)? };
        self.add(Node::Bytes(bytes))
    }

    /// A quoted Python 2 string with backslash escapes.
    pub(super) fn string_line(&mut self) -> Result<Value, String> {
        let line = self.line()?;
        let quoted = match &*line {
            [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => inner,
            _ => return Err("expected a quoted string, found no quotes".into()),
        };
        self.budget.memory(quoted.len())?;
        let mut bytes = Vec::with_capacity(quoted.len());
        let mut rest = quoted;
        loop {
            rest = match rest {
                [] => break,
                [b'\\', b'x', high, low, tail @ ..] => {
                    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                    let (Some(high), Some(low)) = (digit(high), digit(low)) else {
                        return Err("expected two hexadecimal digits after \\x".into());
                    };
                    bytes.push(high * 16 + low);
                    tail
                }
                [b'\\', escaped, tail @ ..] => {
                    bytes.push(match escaped {
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        other => *other,
                    });
                    tail
                }
                [byte, tail @ ..] => {
                    bytes.push(*byte);
                    tail
                }
            };
        }
        self.add(Node::Bytes(Bytes::from(bytes)))
    }

    fn length_u64(&mut self) -> Result<usize, String> {
        let length = u64::from_le_bytes(self.array()?);
        usize::try_from(length).map_err(|_| format!("a length of {length} bytes"))
    }
}

/// The start of a text, for messages.
fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}
