//! Takes a job's prefix out of a stream of bytes, whatever the edges of its chunks are.

/// No part of a name is longer.
const LONGEST: usize = 255;

/// What was seen of a private name so far.
#[derive(Debug)]
enum Seen {
    /// So many letters of the prefix.
    Prefix(usize),
    /// All of it, and this of what follows: perhaps a registry with its port.
    Part(Vec<u8>),
}

/// Writes private names as the job wrote them, in a stream.
#[derive(Debug)]
pub(crate) struct Remover {
    prefix: Vec<u8>,
    /// How much of the prefix its own beginnings end with: where to go on after a mismatch.
    borders: Vec<usize>,
    seen: Seen,
}

impl Remover {
    pub(super) fn new(prefix: &str) -> Self {
        let prefix = prefix.as_bytes().to_vec();
        Self {
            borders: borders(&prefix),
            prefix,
            seen: Seen::Prefix(0),
        }
    }

    /// Takes the next bytes; hands out what is certain by now. A name that is not at its end yet is
    /// held back.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for byte in bytes {
            self.step(*byte, &mut out);
        }
        out
    }

    /// What was held back, at the end of the stream.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        match std::mem::replace(&mut self.seen, Seen::Prefix(0)) {
            Seen::Prefix(length) => self.prefix[..length].to_vec(),
            Seen::Part(part) => part,
        }
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) {
        if let Seen::Part(part) = &mut self.seen {
            if is_of_part(byte) && part.len() < LONGEST {
                part.push(byte);
                return;
            }
            out.extend(decoded(std::mem::take(part), byte));
            self.seen = Seen::Prefix(0);
        }
        let Seen::Prefix(mut length) = self.seen else {
            return;
        };
        while length > 0 && self.prefix[length] != byte {
            let shorter = self.borders[length - 1];
            out.extend(&self.prefix[..length - shorter]);
            length = shorter;
        }
        if self.prefix[length] == byte {
            length += 1;
        } else {
            out.push(byte);
        }
        self.seen = if length == self.prefix.len() {
            Seen::Part(Vec::new())
        } else {
            Seen::Prefix(length)
        };
    }
}

/// The first part of a name, with the colon of its port if it is a registry.
fn decoded(mut part: Vec<u8>, next: u8) -> Vec<u8> {
    let at = std::str::from_utf8(&part).ok().and_then(port);
    if let Some(at) = at.filter(|_| next == b'/') {
        part.splice(at..at + 2, *b":");
    }
    part
}

/// Where the port of an encoded registry begins: the place of its `__`.
pub(super) fn port(host: &str) -> Option<usize> {
    let at = host.rfind("__")?;
    let digits = &host[at + 2..];
    let is_port = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    (is_port && at > 0).then_some(at)
}

fn is_of_part(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte)
}

fn borders(text: &[u8]) -> Vec<usize> {
    let mut borders = vec![0; text.len()];
    let mut length = 0;
    for at in 1..text.len() {
        while length > 0 && text[at] != text[length] {
            length = borders[length - 1];
        }
        if text[at] == text[length] {
            length += 1;
        }
        borders[at] = length;
    }
    borders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(prefix: &str, text: &str, expect: &str) {
        for size in 1..=text.len() {
            let mut remover = Remover::new(prefix);
            let mut out = Vec::new();
            for chunk in text.as_bytes().chunks(size) {
                out.extend(remover.take(chunk));
            }
            out.extend(remover.finish());
            assert_eq!(
                String::from_utf8(out).unwrap(),
                expect,
                "in chunks of {size}"
            );
        }
    }

    #[test]
    fn the_prefix_goes_and_everything_else_stays() {
        check("dod/", "a dod/x__5/y dod/z__5:1 do", "a x:5/y z__5:1 do");
        check("dod/", "dododod/x", "dodox");
        check("dod/", "dod/dod", "dod");
        check("aab/", "aaab/x aab", "ax aab");
        check("dod/", "dod/\u{fc}", "\u{fc}");
    }

    #[test]
    fn nothing_is_held_back_that_cannot_be_a_name() {
        let mut remover = Remover::new("dod/");
        assert_eq!(remover.take(b"{\"a\":\"dod/x\"}\n"), b"{\"a\":\"x\"}\n");
    }
}
