//! The accounts that `BuildKit` asks the client for: for the operator's registry, the gate answers, with the
//! account that the job never sees.
//!
//! `session/auth/auth.proto`, service `moby.filesync.v1.Auth`. The engine first asks whether the client signs
//! tokens itself; it takes "no such method" for a no, and then asks for name and password.

use crate::gate::build::wire::{Field, fields, push_bytes};
use crate::gate::refusal::Denied;
use crate::gate::registries::Registries;

const SERVICE: &str = "/moby.filesync.v1.Auth/";
const CREDENTIALS: &str = "/moby.filesync.v1.Auth/Credentials";
const FETCH_TOKEN: &str = "/moby.filesync.v1.Auth/FetchToken";

/// Who answers a question for an account.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// The client, with the job's own account.
    Client,
    /// Nobody: the engine asks in another way then.
    Nobody,
    /// The gate, with this message.
    Gate(Vec<u8>),
}

pub(super) fn is_question(path: &str) -> bool {
    path.starts_with(SERVICE)
}

/// Judges a question by the registry that it names.
pub(super) async fn reply(
    path: &str,
    message: &[u8],
    registries: &Registries,
) -> Result<Reply, Denied> {
    let malformed = || Denied::malformed("the question for an account is malformed");
    let number = if path == FETCH_TOKEN { 2 } else { 1 };
    let all = fields(message).ok_or_else(malformed)?;
    // Of a field that stands twice, the last one counts.
    let host = all.iter().rev().find(|field| field.number == number);
    let host = host.map_or(Some(""), Field::text).ok_or_else(malformed)?;
    let Some(login) = registries.credential_for(host).await? else {
        return Ok(Reply::Client);
    };
    if path != CREDENTIALS {
        return Ok(Reply::Nobody);
    }
    let mut answer = Vec::new();
    push_bytes(&mut answer, 1, login.username.as_bytes());
    push_bytes(&mut answer, 2, login.password.expose().as_bytes());
    Ok(Reply::Gate(answer))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::future::BoxFuture;

    use super::*;
    use crate::gate::registries::{Accounts, Errand, Login};

    struct Fixed;

    impl Accounts for Fixed {
        fn allows(&self, _: &str, _: Errand) -> Result<(), String> {
            Ok(())
        }

        fn account<'a>(
            &'a self,
            _: &'a str,
            _: Errand,
        ) -> BoxFuture<'a, Result<Option<Login>, String>> {
            Box::pin(async { Ok(None) })
        }

        fn any_account(&self) -> BoxFuture<'_, Result<Option<Login>, String>> {
            let login = Login {
                username: "robot".into(),
                password: "real".to_owned().into(),
            };
            Box::pin(async { Ok(Some(login)) })
        }
    }

    async fn ask(method: &str, message: &[u8]) -> Result<Reply, Denied> {
        let registries = Registries {
            host: Some("harbor.example.com".into()),
            local: Login::default(),
            accounts: Arc::new(Fixed),
            may_pull: Arc::new(|_| true),
            may_push: Arc::new(|_| true),
            mirrors: std::collections::BTreeMap::new(),
            is_named: Arc::new(|_| true),
        };
        reply(&format!("{SERVICE}{method}"), message, &registries).await
    }

    fn naming(number: u64, host: &str) -> Vec<u8> {
        let mut message = Vec::new();
        push_bytes(&mut message, number, host.as_bytes());
        message
    }

    #[tokio::test]
    async fn the_gate_answers_for_the_operator_s_registry_and_the_client_for_others() {
        let ours = "harbor.example.com";
        let answer = [naming(1, "robot"), naming(2, "real")].concat();
        assert_eq!(
            ask("Credentials", &naming(1, ours)).await,
            Ok(Reply::Gate(answer))
        );
        for (method, number) in [
            ("GetTokenAuthority", 1),
            ("VerifyTokenAuthority", 1),
            ("FetchToken", 2),
        ] {
            assert_eq!(ask(method, &naming(number, ours)).await, Ok(Reply::Nobody));
        }
        for method in ["Credentials", "GetTokenAuthority"] {
            let other = naming(1, "quay.example.com");
            assert_eq!(ask(method, &other).await, Ok(Reply::Client));
        }
        assert!(ask("Credentials", &[0xff]).await.is_err());
    }
}
