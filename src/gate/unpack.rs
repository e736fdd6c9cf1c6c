//! Archives of a client's that may be packed: read plain, and no further than a size that the engine's disk bears.
//!
//! Pure but for the stream it is given.

use std::io::{self, BufReader, Cursor, Read};

use flate2::read::MultiGzDecoder;

use super::refusal::Denied;

const PIECE: usize = 256 * 1024;

/// The archive without its packing. What is packed may be at most so many bytes large.
pub(super) fn plain<'a>(from: impl Read + 'a, most: u64) -> Result<Box<dyn Read + 'a>, Denied> {
    let mut from = BufReader::with_capacity(PIECE, from);
    let mut start = Vec::new();
    let read = from.by_ref().take(6).read_to_end(&mut start);
    read.map_err(|error| Denied::malformed(format!("the archive cannot be read: {error}")))?;
    let kind = match start[..] {
        [0x1f, 0x8b, ..] => "gzip",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        [b'B', b'Z', b'h', ..] => "bzip2",
        [0xfd, b'7', b'z', b'X', b'Z', 0] => "xz",
        _ => "",
    };
    let whole = Cursor::new(start).chain(from);
    match kind {
        "" => Ok(Box::new(whole)),
        "gzip" => Ok(Box::new(Ceiling {
            from: MultiGzDecoder::new(whole),
            left: most,
            most,
        })),
        other => Err(Denied::malformed(format!(
            "an archive packed with {other} is not open to jobs: send it as tar, or as tar with gzip"
        ))),
    }
}

/// Says so where more comes than may.
struct Ceiling<R> {
    from: R,
    left: u64,
    most: u64,
}

impl<R: Read> Read for Ceiling<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.from.read(into)?;
        self.left = self.left.checked_sub(length as u64).ok_or_else(|| {
            let gib = self.most >> 30;
            io::Error::other(format!(
                "it is larger than {gib} GiB once it is unpacked: send less, or send it as plain tar"
            ))
        })?;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn packed(plain: &[u8]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(plain).unwrap();
        gzip.finish().unwrap()
    }

    fn unpacked(bytes: &[u8], most: u64) -> Result<Vec<u8>, String> {
        let mut plain = plain(bytes, most).map_err(|denied| denied.message)?;
        let mut read = Vec::new();
        let all = plain.read_to_end(&mut read);
        all.map_err(|error| error.to_string())?;
        Ok(read)
    }

    #[test]
    fn an_archive_is_read_plain_whether_it_is_packed_or_not() {
        let plain = vec![7; 100_000];
        for bytes in [plain.clone(), packed(&plain)] {
            assert_eq!(unpacked(&bytes, 100_000), Ok(plain.clone()));
        }
        assert_eq!(unpacked(b"", 1), Ok(Vec::new()));
        for bytes in [&b"BZh91AY"[..], b"\xfd7zXZ\0\0", b"\x28\xb5\x2f\xfd\0\0"] {
            assert!(unpacked(bytes, 1).unwrap_err().contains("gzip"));
        }
    }

    #[test]
    fn what_is_packed_grows_no_further_than_the_ceiling() {
        let bomb = packed(&vec![0; 3 << 20]);
        assert!(bomb.len() < 100_000, "{}", bomb.len());
        let error = unpacked(&bomb, 2 << 20).unwrap_err();
        assert!(error.contains("is larger than"), "{error}");
        assert!(unpacked(&bomb, 3 << 20).is_ok());
    }
}
