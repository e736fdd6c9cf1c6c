//! The server's side of both signature schemes, ACS3-HMAC-SHA256 and RPC HMAC-SHA1. Pure: the time is given, and
//! nonces are somebody else's to remember.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::answer::Refusal;
use crate::machine::hexadecimal;

type Pairs = Vec<(String, String)>;

/// Clocks may differ by a quarter of an hour.
const WINDOW: i64 = 15 * 60;

/// A request as it came over the wire.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: Pairs,
    /// Names in lower case.
    pub(super) headers: Pairs,
    pub(super) body: Vec<u8>,
}

/// What a request says of itself before anything is proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) key_id: String,
    pub(super) token: Option<String>,
    pub(super) nonce: String,
    pub(super) timestamp: String,
    pub(super) action: String,
    pub(super) version: String,
    signature: String,
    /// The names in `SignedHeaders`; none of them for the older scheme.
    signed: Option<Vec<String>>,
}

impl Request {
    /// Decoded parameters of query and form together.
    pub(super) fn parameters(&self) -> Pairs {
        let mut pairs = self.query.clone();
        let kind = self.header("content-type").unwrap_or_default();
        if kind.starts_with("application/x-www-form-urlencoded") {
            pairs.extend(url::form_urlencoded::parse(&self.body).into_owned());
        }
        pairs
    }

    pub(super) fn claim(&self) -> Result<Claim, Refusal> {
        match self.header("authorization") {
            Some(authorization) => self.claim_by_header(authorization),
            None => self.claim_by_parameter(),
        }
    }

    /// Proves the claim with the secret of the key that it names.
    pub(super) fn verify(
        &self,
        claim: &Claim,
        secret: &str,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        check_time(&claim.timestamp, now)?;
        let (text, expected) = if let Some(signed) = &claim.signed {
            self.check_signed_headers(signed)?;
            (
                self.text_by_header(signed),
                self.signature_by_header(signed, secret),
            )
        } else {
            let text = self.text_by_parameter();
            let signature = sha1_mac(format!("{secret}&").as_bytes(), text.as_bytes());
            (text, STANDARD.encode(signature))
        };
        if expected == claim.signature {
            return Ok(());
        }
        let message =
            "Specified signature is not matched with our calculation. server string to sign is:";
        Err(Refusal::new(
            400,
            "SignatureDoesNotMatch",
            &format!("{message}{text}"),
        ))
    }

    fn claim_by_header(&self, authorization: &str) -> Result<Claim, Refusal> {
        let fields = authorization
            .strip_prefix("ACS3-HMAC-SHA256 ")
            .ok_or_else(incomplete)?;
        let field = |name: &str| {
            let mut values = fields
                .split(',')
                .filter_map(|field| field.trim().split_once('='));
            let found = values
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.to_owned());
            found.ok_or_else(incomplete)
        };
        let header = |name: &str| {
            self.header(name)
                .map(str::to_owned)
                .ok_or_else(|| missing(name))
        };
        Ok(Claim {
            key_id: field("Credential")?,
            token: self.header("x-acs-security-token").map(str::to_owned),
            nonce: header("x-acs-signature-nonce")?,
            timestamp: header("x-acs-date")?,
            action: header("x-acs-action")?,
            version: header("x-acs-version")?,
            signature: field("Signature")?,
            signed: Some(
                field("SignedHeaders")?
                    .split(';')
                    .map(str::to_owned)
                    .collect(),
            ),
        })
    }

    fn claim_by_parameter(&self) -> Result<Claim, Refusal> {
        let pairs = self.parameters();
        let optional = |name: &str| find(&pairs, name).map(str::to_owned);
        let parameter = |name: &str| optional(name).ok_or_else(|| missing(name));
        if parameter("SignatureMethod")? != "HMAC-SHA1" {
            return Err(incomplete());
        }
        Ok(Claim {
            key_id: parameter("AccessKeyId")?,
            token: optional("SecurityToken"),
            nonce: parameter("SignatureNonce")?,
            timestamp: parameter("Timestamp")?,
            action: parameter("Action")?,
            version: parameter("Version")?,
            signature: parameter("Signature")?,
            signed: None,
        })
    }

    /// Whatever can change the meaning of a request must be signed, and the body must be the one that was.
    fn check_signed_headers(&self, signed: &[String]) -> Result<(), Refusal> {
        let must =
            |name: &str| name == "host" || name == "content-type" || name.starts_with("x-acs-");
        let unsigned = self
            .headers
            .iter()
            .find(|(name, _)| must(name) && !signed.contains(name));
        if unsigned.is_some() || !signed.iter().any(|name| name == "host") {
            return Err(incomplete());
        }
        let hash = hexadecimal(&Sha256::digest(&self.body));
        if self.header("x-acs-content-sha256") == Some(&hash) {
            return Ok(());
        }
        Err(Refusal::new(
            400,
            "SignatureDoesNotMatch",
            "The body does not match x-acs-content-sha256.",
        ))
    }

    /// What the newer scheme's Authorization ends with.
    pub(super) fn signature_by_header(&self, signed: &[String], secret: &str) -> String {
        hexadecimal(&sha256_mac(
            secret.as_bytes(),
            self.text_by_header(signed).as_bytes(),
        ))
    }

    fn text_by_header(&self, signed: &[String]) -> String {
        let mut headers = String::new();
        for name in signed {
            let _ = writeln!(headers, "{name}:{}", self.header_values(name));
        }
        let canonical = format!(
            "{}\n{}\n{}\n{headers}\n{}\n{}",
            self.method,
            self.path,
            canonical(&self.query),
            signed.join(";"),
            hexadecimal(&Sha256::digest(&self.body)),
        );
        format!(
            "ACS3-HMAC-SHA256\n{}",
            hexadecimal(&Sha256::digest(canonical))
        )
    }

    fn text_by_parameter(&self) -> String {
        let mut pairs = self.parameters();
        pairs.retain(|(name, _)| name != "Signature");
        format!("{}&%2F&{}", self.method, encode(&canonical(&pairs)))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// A header sent more than once counts once, with its values sorted.
    fn header_values(&self, name: &str) -> String {
        let mut values: Vec<&str> = self
            .headers
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.trim())
            .collect();
        values.sort_unstable();
        values.join(",")
    }
}

fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}

/// Sorted and encoded, as both schemes sign it and any server reads it.
pub(super) fn canonical(pairs: &[(String, String)]) -> String {
    let mut pairs: Vec<_> = pairs.iter().collect();
    pairs.sort();
    let encoded: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    encoded.join("&")
}

fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

fn check_time(text: &str, now: Timestamp) -> Result<(), Refusal> {
    let has_shape = text.len() == 20 && text.ends_with('Z');
    let time: Option<Timestamp> = text.parse().ok().filter(|_| has_shape);
    let Some(time) = time else {
        return Err(Refusal::new(
            400,
            "InvalidTimeStamp.Format",
            "Specified time stamp or date value is not well formatted.",
        ));
    };
    if (now.as_second() - time.as_second()).abs() > WINDOW {
        return Err(Refusal::new(
            400,
            "InvalidTimeStamp.Expired",
            "Specified time stamp or date value is expired.",
        ));
    }
    Ok(())
}

fn sha256_mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn sha1_mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(key) else {
        return Vec::new();
    };
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn missing(name: &str) -> Refusal {
    Refusal::missing(name)
}

fn incomplete() -> Refusal {
    Refusal::new(
        400,
        "IncompleteSignature",
        "The request signature does not conform to Aliyun standards.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn pairs(value: &Value) -> Pairs {
        let object = value.as_object().into_iter().flatten();
        object
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .collect()
    }

    /// The published example of the older scheme has no wire form, only parameters.
    fn request(vector: &Value) -> Request {
        let wire = &vector["request"];
        let query = match wire["target"].as_str() {
            Some(target) => {
                let query = target.split_once('?').map_or("", |(_, query)| query);
                url::form_urlencoded::parse(query.as_bytes())
                    .into_owned()
                    .collect()
            }
            None => pairs(&vector["query_params"]),
        };
        let headers = wire["headers"].as_array().unwrap().iter().map(|pair| {
            (
                pair[0].as_str().unwrap().to_lowercase(),
                pair[1].as_str().unwrap().to_owned(),
            )
        });
        Request {
            method: wire["method"].as_str().unwrap().to_owned(),
            path: "/".into(),
            query,
            headers: headers.collect(),
            body: wire["body"].as_str().unwrap().as_bytes().to_vec(),
        }
    }

    fn vectors() -> Vec<Value> {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../vectors/aliyun");
        let entries = std::fs::read_dir(directory).unwrap();
        let texts = entries.map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
        let vectors: Vec<Value> = texts
            .map(|text| serde_json::from_slice(&text).unwrap())
            .collect();
        assert!(vectors.len() >= 15);
        vectors
    }

    fn check(vector: &Value, change: impl Fn(&mut Request, &mut String), minutes: i64) -> String {
        let expected = &vector["expected"];
        let mut request = request(vector);
        let by_header = vector["scheme"] == "ACS3-HMAC-SHA256";
        let sent = if by_header {
            "authorization"
        } else {
            "Signature"
        };
        let signature = expected[if by_header {
            "authorization"
        } else {
            "signature"
        }]
        .as_str()
        .unwrap();
        let place = if by_header {
            &mut request.headers
        } else {
            &mut request.query
        };
        place.retain(|(name, _)| name != sent);
        place.push((sent.to_owned(), signature.to_owned()));
        let mut secret = vector["credentials"]["access_key_secret"]
            .as_str()
            .unwrap()
            .to_owned();
        change(&mut request, &mut secret);
        let claim = match request.claim() {
            Ok(claim) => claim,
            Err(refusal) => return refusal.code,
        };
        assert_eq!(claim.key_id, vector["credentials"]["access_key_id"]);
        let sent: Timestamp = vector["timestamp"].as_str().unwrap().parse().unwrap();
        let now = Timestamp::from_second(sent.as_second() + minutes * 60).unwrap();
        request
            .verify(&claim, &secret, now)
            .map_or_else(|refusal| refusal.code, |()| "ok".into())
    }

    #[test]
    fn recorded_and_published_requests_are_accepted() {
        for vector in vectors() {
            assert_eq!(check(&vector, |_, _| {}, 14), "ok", "{}", vector["name"]);
        }
    }

    #[test]
    fn another_secret_a_changed_parameter_and_an_old_clock_are_refused() {
        for vector in vectors() {
            let name = &vector["name"];
            let secret = check(&vector, |_, secret| secret.push('x'), 0);
            assert_eq!(secret, "SignatureDoesNotMatch", "{name}");
            let added = |request: &mut Request, _: &mut String| {
                request.query.push(("Weight".into(), "0".into()));
            };
            assert_eq!(check(&vector, added, 0), "SignatureDoesNotMatch", "{name}");
            assert_eq!(
                check(&vector, |_, _| {}, 16),
                "InvalidTimeStamp.Expired",
                "{name}"
            );
        }
    }

    #[test]
    fn a_header_that_says_what_to_do_must_be_signed() {
        for vector in vectors()
            .iter()
            .filter(|vector| vector["scheme"] == "ACS3-HMAC-SHA256")
        {
            let added = |request: &mut Request, _: &mut String| {
                request
                    .headers
                    .push(("x-acs-security-token".into(), "token".into()));
            };
            let code = check(vector, added, 0);
            let has_token = vector["credentials"]["security_token"].is_string();
            assert_eq!(
                code,
                if has_token {
                    "SignatureDoesNotMatch"
                } else {
                    "IncompleteSignature"
                }
            );
        }
    }
}
