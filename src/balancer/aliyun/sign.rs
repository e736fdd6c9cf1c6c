//! The signature of Aliyun's third scheme, ACS3-HMAC-SHA256. Pure: the caller brings nonce and time.

use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::credential::Credential;

const SCHEME: &str = "ACS3-HMAC-SHA256";

/// A request as far as it is signed. The path is always `/`.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub method: &'a str,
    pub query: &'a [(&'a str, &'a str)],
    /// The headers to sign, in lower case; `x-acs-content-sha256` must be one of them.
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
}

/// What signing made.
#[derive(Debug)]
pub(super) struct Signature {
    /// What the server echoes when it came to another result.
    pub string_to_sign: String,
    /// The value of the header `Authorization`.
    pub authorization: String,
}

/// Signs.
pub(super) fn sign(message: &Message<'_>, credential: &Credential) -> Signature {
    let (canonical, signed) = canonical_request(message);
    let string_to_sign = format!("{SCHEME}\n{}", sha256(canonical.as_bytes()));
    let secret = credential.access_key_secret.expose();
    let value = hmac_sha256(secret.as_bytes(), string_to_sign.as_bytes());
    let authorization = format!(
        "{SCHEME} Credential={},SignedHeaders={signed},Signature={value}",
        credential.access_key_id
    );
    Signature {
        string_to_sign,
        authorization,
    }
}

/// The request in its one canonical form, and the names of the headers in it.
fn canonical_request(message: &Message<'_>) -> (String, String) {
    let mut headers = message.headers.to_vec();
    headers.sort_unstable();
    let signed: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
    let signed = signed.join(";");
    let mut lines = String::new();
    for (name, value) in &headers {
        let _ = writeln!(lines, "{name}:{}", value.trim());
    }
    let canonical = format!(
        "{}\n/\n{}\n{lines}\n{signed}\n{}",
        message.method,
        canonical_query(message.query),
        sha256(message.body)
    );
    (canonical, signed)
}

/// The query as it is signed, which is also how it is sent.
pub(super) fn canonical_query(query: &[(&str, &str)]) -> String {
    let mut pairs = query.to_vec();
    pairs.sort_unstable();
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    pairs.join("&")
}

/// Percent-encodes all but RFC 3986's unreserved characters.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

/// The digest as the header `x-acs-content-sha256` wants it.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hmac_sha256(key: &[u8], text: &[u8]) -> String {
    // HMAC's own rule for keys longer than a block, so that no length can fail.
    let mut block = [0; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(text);
    hex(&mac.finalize().into_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs};

    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Vector {
        credentials: Key,
        request: Recorded,
        query_params: BTreeMap<String, String>,
        expected: Expected,
    }

    #[derive(Deserialize)]
    struct Key {
        access_key_id: String,
        access_key_secret: String,
    }

    #[derive(Deserialize)]
    struct Recorded {
        method: String,
        headers: Vec<(String, String)>,
        body: String,
    }

    #[derive(Deserialize)]
    struct Expected {
        signed_headers: Vec<String>,
        canonical_request: String,
        string_to_sign: String,
        authorization: String,
    }

    #[track_caller]
    fn check(vector: &Vector) {
        let recorded: BTreeMap<_, _> = vector
            .request
            .headers
            .iter()
            .map(|(name, value)| (name.to_lowercase(), value.as_str()))
            .collect();
        let headers: Vec<_> = vector
            .expected
            .signed_headers
            .iter()
            .map(|name| (name.as_str(), recorded[name]))
            .collect();
        let query: Vec<_> = vector
            .query_params
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let message = Message {
            method: &vector.request.method,
            query: &query,
            headers: &headers,
            body: vector.request.body.as_bytes(),
        };
        let credential = Credential {
            access_key_id: vector.credentials.access_key_id.clone(),
            access_key_secret: vector.credentials.access_key_secret.clone().into(),
            security_token: None,
        };
        assert_eq!(
            canonical_request(&message).0,
            vector.expected.canonical_request
        );
        let signature = sign(&message, &credential);
        assert_eq!(signature.string_to_sign, vector.expected.string_to_sign);
        assert_eq!(signature.authorization, vector.expected.authorization);
    }

    #[test]
    fn every_recorded_and_published_request_gets_its_signature() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/aliyun");
        let mut checked = 0;
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy();
            if !name.starts_with("v3-") {
                continue;
            }
            let vector: Vector = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            check(&vector);
            checked += 1;
        }
        assert_eq!(checked, 11);
    }

    #[test]
    fn awkward_characters_are_encoded_byte_by_byte() {
        assert_eq!(encode("a b+c*~/'中"), "a%20b%2Bc%2A~%2F%27%E4%B8%AD");
        assert_eq!(canonical_query(&[("b", ""), ("a", "1")]), "a=1&b=");
    }

    #[test]
    fn a_key_longer_than_a_block_is_hashed_first() {
        // RFC 4231, test case 6.
        assert_eq!(
            hmac_sha256(
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First"
            ),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }
}
