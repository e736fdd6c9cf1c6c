//! Protocol buffers as bytes: fields in, fields out.
//!
//! Knows no message; a reader that does not know a field can at least see that it is there.

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gate) struct Field<'a> {
    pub(in crate::gate) number: u64,
    pub(in crate::gate) value: Value<'a>,
    /// The field as it was written.
    pub(in crate::gate) raw: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gate) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    /// A text, if it is one.
    pub(in crate::gate) fn text(&self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(in crate::gate) fn bytes(&self) -> Option<&'a [u8]> {
        match self.value {
            Value::Bytes(bytes) => Some(bytes),
            Value::Number(_) => None,
        }
    }

    /// Whether it says nothing: zero, false, an empty text, an empty message.
    pub(in crate::gate) fn is_unset(&self) -> bool {
        match self.value {
            Value::Number(number) => number == 0,
            Value::Bytes(bytes) => bytes.is_empty(),
        }
    }
}

/// Every field of a message; `None` if it is none.
pub(in crate::gate) fn fields(mut rest: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut all = Vec::new();
    while !rest.is_empty() {
        let start = rest;
        let key = varint(&mut rest)?;
        let value = match key & 7 {
            0 => Value::Number(varint(&mut rest)?),
            1 => Value::Number(little(take(&mut rest, 8)?)),
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                Value::Bytes(take(&mut rest, length)?)
            }
            5 => Value::Number(little(take(&mut rest, 4)?)),
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
pub(in crate::gate) fn entry(bytes: &[u8]) -> Option<(&str, &str)> {
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

/// Appends a field that has a length: a text, a message.
pub(in crate::gate) fn push_bytes(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    push_varint(out, number << 3 | 2);
    push_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a field that is a number.
pub(in crate::gate) fn push_number(out: &mut Vec<u8>, number: u64, value: u64) {
    push_varint(out, number << 3);
    push_varint(out, value);
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

fn little(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
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
