//! Reads a context from the client and passes it on to the engine.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http_body_util::BodyExt;
use tokio::sync::mpsc::Sender;

use super::context::{Context, Found};
use crate::gate::daemon::Body;
use crate::gate::refusal::Denied;

/// A few bytes may become a thousand times as many.
const PACKED: usize = 4096;
/// How long a refused client may go on writing.
const PATIENCE: Duration = Duration::from_secs(30);

/// The author's Dockerfile, once everything else was passed on.
pub(super) async fn feed(
    mut body: Body,
    context: &mut Context,
    to: &Sender<Bytes>,
) -> Result<Found, Denied> {
    let passed = pass(&mut body, context, to).await;
    if passed.is_err() {
        // A client that is still writing when the answer comes would report a broken pipe.
        let rest = async { while let Some(Ok(_)) = body.frame().await {} };
        if tokio::time::timeout(PATIENCE, rest).await.is_err() {
            tracing::debug!("a refused client did not come to its end");
        }
    }
    passed?;
    context.found().map_err(Denied::malformed)
}

async fn pass(body: &mut Body, context: &mut Context, to: &Sender<Bytes>) -> Result<(), Denied> {
    let mut unpacker = Unpacker::Unknown(Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Denied::malformed(format!("the build context cannot be read: {error}"))
        })?;
        let Ok(bytes) = frame.into_data() else {
            continue;
        };
        for bytes in unpacker.take(&bytes)? {
            forward(bytes, context, to).await?;
        }
    }
    forward(unpacker.finish()?, context, to).await
}

async fn forward(bytes: Bytes, context: &mut Context, to: &Sender<Bytes>) -> Result<(), Denied> {
    for bytes in context.take(bytes).map_err(Denied::malformed)? {
        to.send(bytes).await.map_err(|_| broken_off())?;
    }
    Ok(())
}

pub(super) fn broken_off() -> Denied {
    Denied::broken("the daemon broke off the build")
}

/// An archive that may be packed.
enum Unpacker {
    /// Too little of it to tell.
    Unknown(Vec<u8>),
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
}

impl Unpacker {
    fn take(&mut self, bytes: &Bytes) -> Result<Vec<Bytes>, Denied> {
        match self {
            Self::Plain => Ok(vec![bytes.clone()]),
            Self::Gzip(gzip) => unpack(gzip, bytes),
            Self::Unknown(start) => {
                start.extend_from_slice(bytes);
                if start.len() < 6 {
                    return Ok(Vec::new());
                }
                let start = Bytes::from(std::mem::take(start));
                *self = Self::of(&start)?;
                self.take(&start)
            }
        }
    }

    fn of(start: &[u8]) -> Result<Self, Denied> {
        let kind = match start {
            [0x1f, 0x8b, ..] => return Ok(Self::Gzip(Box::new(MultiGzDecoder::new(Vec::new())))),
            [b'B', b'Z', b'h', ..] => "bzip2",
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => "xz",
            [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
            _ => return Ok(Self::Plain),
        };
        Err(Denied::malformed(format!(
            "a build context packed with {kind} is not open to jobs: send it as tar, or as tar with gzip"
        )))
    }

    fn finish(&mut self) -> Result<Bytes, Denied> {
        match self {
            Self::Plain => Ok(Bytes::new()),
            Self::Unknown(start) => Ok(std::mem::take(start).into()),
            Self::Gzip(gzip) => {
                gzip.try_finish().map_err(|_| damaged())?;
                Ok(std::mem::take(gzip.get_mut()).into())
            }
        }
    }
}

fn unpack(gzip: &mut MultiGzDecoder<Vec<u8>>, bytes: &[u8]) -> Result<Vec<Bytes>, Denied> {
    let mut plain = Vec::new();
    for part in bytes.chunks(PACKED) {
        gzip.write_all(part).map_err(|_| damaged())?;
        plain.push(std::mem::take(gzip.get_mut()).into());
    }
    Ok(plain)
}

fn damaged() -> Denied {
    Denied::malformed("the packed build context is damaged: send it again")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_may_be_packed_with_gzip_and_nothing_else() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&vec![7; 100_000]).unwrap();
        let packed = gzip.finish().unwrap();
        for length in [1, 5, 6, 4096] {
            let mut unpacker = Unpacker::Unknown(Vec::new());
            let mut plain = Vec::new();
            for part in packed.chunks(length) {
                let parts = unpacker.take(&Bytes::copy_from_slice(part)).unwrap();
                plain.extend(parts.concat());
            }
            plain.extend_from_slice(&unpacker.finish().unwrap());
            assert_eq!(plain, vec![7; 100_000]);
        }
        for packed in [&b"BZh91AY"[..], b"\xfd7zXZ\0\0", b"\x28\xb5\x2f\xfd\0\0"] {
            let mut unpacker = Unpacker::Unknown(Vec::new());
            let denied = unpacker.take(&Bytes::from_static(packed)).unwrap_err();
            assert!(denied.message.contains("gzip"), "{}", denied.message);
        }
    }
}
