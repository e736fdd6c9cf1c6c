//! The account that requests are signed with.

use serde::Deserialize;

use crate::secret::{Secret, SecretFile};

/// An access key, or a temporary one with its security token.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Credential {
    pub access_key_id: String,
    pub access_key_secret: Secret,
    #[serde(default)]
    pub security_token: Option<Secret>,
}

impl SecretFile for Credential {
    const SHAPE: &'static str = "a JSON object with the keys \"access-key-id\", \
                                 \"access-key-secret\" and perhaps \"security-token\"";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_security_token_may_be_absent_or_null() {
        for text in [
            r#"{"access-key-id":"a","access-key-secret":"b"}"#,
            r#"{"access-key-id":"a","access-key-secret":"b","security-token":null}"#,
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
