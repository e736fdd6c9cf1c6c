//! The account that requests are signed with.

use serde::{Deserialize, Deserializer};

use crate::secret::{Secret, SecretFile};

/// An access key, or a temporary one with its security token.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Credential {
    pub access_key_id: String,
    pub access_key_secret: Secret,
    /// An empty one, as templates leave it, is none.
    #[serde(default, deserialize_with = "given")]
    pub security_token: Option<Secret>,
}

impl Credential {
    /// True when a request signed with it may be taken where the other one was not.
    pub(super) fn differs(&self, other: &Self) -> bool {
        self.access_key_id != other.access_key_id || self.token() != other.token()
    }

    fn token(&self) -> Option<&str> {
        self.security_token.as_ref().map(Secret::expose)
    }
}

impl SecretFile for Credential {
    const SHAPE: &'static str = "a JSON object with the keys \"access-key-id\", \
                                 \"access-key-secret\" and perhaps \"security-token\"";
}

fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    let token = Option::<Secret>::deserialize(deserializer)?;
    Ok(token.filter(|token| !token.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_security_token_may_be_absent_null_or_empty() {
        for text in [
            r#"{"access-key-id":"a","access-key-secret":"b"}"#,
            r#"{"access-key-id":"a","access-key-secret":"b","security-token":null}"#,
            r#"{"access-key-id":"a","access-key-secret":"b","security-token":""}"#,
        ] {
            let credential: Credential = serde_json::from_str(text).unwrap();
            assert_eq!(credential.access_key_id, "a");
            assert!(credential.security_token.is_none());
        }
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        let text = r#"{"access-key-id":"a","access-key-secret":"b","token":"c"}"#;
        assert!(serde_json::from_str::<Credential>(text).is_err());
    }
}
