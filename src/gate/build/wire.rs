//! Protocol buffers as bytes: fields in, fields out.
//!
//! Knows no message; a reader that does not know a field can at least see that it is there.

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field<'a> {
    pub(super) number: u64,
    pub(super) value: Value<'a>,
    /// The field as it was written.
    pub(super) raw: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number,
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    /// A text, if it is one.
    pub(super) fn text(&self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(super) fn bytes(&self) -> Option<&'a [u8]> {
        match self.value {
            Value::Bytes(bytes) => Some(bytes),
            Value::Number => None,
        }
    }
}

/// Every field of a message; `None` if it is none.
pub(super) fn fields(mut rest: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut all = Vec::new();
    while !rest.is_empty() {
        let start = rest;
        let key = varint(&mut rest)?;
        let value = match key & 7 {
            0 => {
                varint(&mut rest)?;
                Value::Number
            }
            1 => take(&mut rest, 8).map(|_| Value::Number)?,
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                Value::Bytes(take(&mut rest, length)?)
            }
            5 => take(&mut rest, 4).map(|_| Value::Number)?,
            _ => return None,
        };
        all.push(Field {
            number: key >> 3,
            value,
            raw: &start[..start.len() - rest.len()],
        });
    }
    Some(all)
}

/// An entry of a map from texts to texts.
pub(super) fn entry(bytes: &[u8]) -> Option<(&str, &str)> {
    let (mut key, mut value) = ("", "");
    for field in fields(bytes)? {
        match field.number {
            1 => key = field.text()?,
            2 => value = field.text()?,
            _ => return None,
        }
    }
    Some((key, value))
}

/// Appends an entry of a map from texts to texts.
pub(in crate::gate) fn push_entry(out: &mut Vec<u8>, number: u64, key: &str, value: &str) {
    let mut entry = Vec::new();
    push_bytes(&mut entry, 1, key.as_bytes());
    push_bytes(&mut entry, 2, value.as_bytes());
    push_bytes(out, number, &entry);
}

fn push_bytes(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    push_varint(out, number << 3 | 2);
    push_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *take(rest, 1)?.first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        let long = "x".repeat(300);
        push_entry(&mut out, 7, "key", &long);
        let all = fields(&out).unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].number, all[0].raw), (7, out.as_slice()));
        assert_eq!(entry(all[0].bytes().unwrap()), Some(("key", long.as_str())));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for bytes in [&[0x3a, 5, 1][..], &[0xff; 12], &[0x0b], &[0x08]] {
            assert_eq!(fields(bytes), None, "{bytes:?}");
        }
    }
}
