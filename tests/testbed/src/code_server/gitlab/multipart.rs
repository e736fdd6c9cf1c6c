//! The one file in a posted form.

use bytes::Bytes;

use super::StoredArtifacts;

/// Finds the part with a file name in a `multipart/form-data` body.
pub(super) fn file(content_type: &str, body: &Bytes) -> Option<StoredArtifacts> {
    let boundary = content_type.split("boundary=").nth(1)?.trim_matches('"');
    let delimiter = format!("--{boundary}");
    let starts = positions(body, delimiter.as_bytes());
    for pair in starts.windows(2) {
        let from = pair[0] + delimiter.len() + 2;
        let part = body.get(from..pair[1].checked_sub(2)?)?;
        let Some(end) = part.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&part[..end]);
        if let Some(name) = head
            .split("filename=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
        {
            let content = body.slice(from + end + 4..pair[1] - 2);
            return Some(StoredArtifacts {
                name: name.to_owned(),
                content,
            });
        }
    }
    None
}

fn positions(body: &[u8], wanted: &[u8]) -> Vec<usize> {
    let Some(&first) = wanted.first() else {
        return Vec::new();
    };
    let candidates = body.iter().enumerate().filter(|(_, byte)| **byte == first);
    candidates
        .map(|(at, _)| at)
        .filter(|&at| body[at..].starts_with(wanted))
        .collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::file;

    #[test]
    fn the_file_is_found_between_other_fields() {
        let body = "--B\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\ny\r\n--B\r\n\
            Content-Disposition: form-data; name=\"file\"; filename=\"a.zip\"\r\n\r\n\
            one\r\ntwo\r\n--B--\r\n";
        let found = file("multipart/form-data; boundary=B", &Bytes::from(body)).unwrap();
        assert_eq!(
            (found.name.as_str(), &found.content[..]),
            ("a.zip", &b"one\r\ntwo"[..])
        );
        assert!(file("multipart/form-data; boundary=C", &Bytes::from(body)).is_none());
    }
}
