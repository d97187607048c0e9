//! The wire format of protocol buffers: the fields of a message, one after the other. Nothing is copied.

use super::bytes::Bytes;

/// Where a message that was cut off ends.
const CUT: &str = "a field ends after the file does: the file is incomplete";

/// The value of one field.
#[derive(Clone, Debug)]
pub(super) enum Field {
    Varint(u64),
    Fixed32([u8; 4]),
    Fixed64([u8; 8]),
    /// A text, raw bytes, a message inside, or a packed list.
    Bytes(Bytes),
}

/// Messages up to this long are read at once.
const SMALL: usize = 64 << 10;

/// The fields of one message: an iterator that ends after its first error.
pub(super) struct Fields {
    bytes: Bytes,
    at: usize,
}

impl Fields {
    pub(super) fn of(bytes: &Bytes) -> Fields {
        // A message that cannot be read now cannot be read below either; there it is an error.
        let kept = if bytes.len() <= SMALL { bytes.kept().ok() } else { None };
        Fields { bytes: kept.unwrap_or_else(|| bytes.clone()), at: 0 }
    }

    /// A number in groups of seven bits, the lowest first.
    pub(super) fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number of more than ten bytes".into())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let bytes = self.bytes.array(self.at)?.ok_or(CUT)?;
        self.at += N;
        Ok(bytes)
    }

    fn field(&mut self) -> Result<(u32, Field), String> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| "a field whose number is out of range")?;
        let field = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => Field::Fixed64(self.array()?),
            2 => {
                let length = self.varint()?;
                let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length)).ok_or(CUT)?;
                let bytes = self.bytes.slice(self.at..end).ok_or(CUT)?;
                self.at = end;
                Field::Bytes(bytes)
            }
            5 => Field::Fixed32(self.array()?),
            other => return Err(format!("field {number} has the unknown wire type {other}")),
        };
        Ok((number, field))
    }
}

impl Iterator for Fields {
    type Item = Result<(u32, Field), String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.at = self.bytes.len();
        }
        Some(field)
    }
}

impl Field {
    /// The message, text or packed list.
    pub(super) fn bytes(&self) -> Result<&Bytes, String> {
        match self {
            Field::Bytes(bytes) => Ok(bytes),
            _ => Err("expected a message or a text, found a number".into()),
        }
    }

    /// A text of at most `most` bytes.
    pub(super) fn text(&self, most: usize) -> Result<String, String> {
        let bytes = self.bytes()?;
        if bytes.len() > most {
            return Err(format!("a name of {} bytes", bytes.len()));
        }
        Ok(String::from_utf8_lossy(&bytes.load()?).into_owned())
    }

    /// A signed number (negative ones are written as 64 bits).
    pub(super) fn int(&self) -> Result<i64, String> {
        match self {
            Field::Varint(value) => Ok(value.cast_signed()),
            _ => Err("expected a number, found something else".into()),
        }
    }

    pub(super) fn float(&self) -> Result<f32, String> {
        match self {
            Field::Fixed32(bytes) => Ok(f32::from_le_bytes(*bytes)),
            _ => Err("expected a number of 32 bits, found something else".into()),
        }
    }

    /// Appends a repeated number, which may be packed or not; a packed list is loaded.
    pub(super) fn push_ints(&self, ints: &mut Vec<i64>, most: usize) -> Result<(), String> {
        match self {
            Field::Varint(value) => ints.push(value.cast_signed()),
            Field::Bytes(bytes) => {
                // The caller has paid for it.
                let mut packed = Fields { bytes: bytes.kept()?, at: 0 };
                while !packed.is_empty() && ints.len() <= most {
                    ints.push(packed.varint()?.cast_signed());
                }
            }
            _ => return Err("expected whole numbers, found something else".into()),
        }
        if ints.len() > most { Err(format!("more than {most} numbers in one list")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<(u32, Field)>, String> {
        Fields::of(&bytes.to_vec().into()).collect()
    }

    #[test]
    fn fields_are_read_and_bad_ones_are_errors() {
        let found = fields(&[0x08, 0x96, 0x01, 0x12, 2, b'h', b'i', 0x1d, 0, 0, 128, 63]).unwrap();
        assert_eq!((found[0].0, found[0].1.int()), (1, Ok(150)));
        assert_eq!((found[1].0, found[1].1.text(9)), (2, Ok("hi".into())));
        assert_eq!((found[2].0, found[2].1.float()), (3, Ok(1.0)));
        let minus_one = [0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1];
        assert_eq!(fields(&minus_one).unwrap()[0].1.int(), Ok(-1));
        let cut = [&[0x08][..], &[0x08, 0x80], &[0x12, 3, b'h', b'i'], &[0x1d, 0, 0], &[0x09, 0]];
        for bytes in cut.iter().chain(&[&[0x0b][..], &[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]]) {
            assert!(fields(bytes).is_err(), "{bytes:?} was accepted");
        }
        assert!(fields(&[0x12, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]).is_err(), "a length beyond all memory");
    }
}
