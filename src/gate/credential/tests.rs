use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::*;
use crate::gate::registries::Accounts;

const HOST: &str = "harbor.example.com";

/// Has an account for the project `test`, and tells what it was asked for.
struct Fixed;

impl Accounts for Fixed {
    fn allows(&self, repository: &str, errand: Errand) -> Result<(), String> {
        match errand {
            Errand::Push if !repository.starts_with("harbor.example.com/test/") => {
                Err("only test".to_owned())
            }
            Errand::Push | Errand::Pull => Ok(()),
        }
    }

    fn account<'a>(
        &'a self,
        repository: &'a str,
        _: Errand,
    ) -> BoxFuture<'a, Result<Option<Login>, String>> {
        let is_known = repository.starts_with("harbor.example.com/test/");
        Box::pin(async move { Ok(is_known.then(real)) })
    }

    fn any_account(&self) -> BoxFuture<'_, Result<Option<Login>, String>> {
        Box::pin(async { Ok(Some(real())) })
    }
}

fn login(username: &str, password: &str) -> Login {
    Login {
        username: username.into(),
        password: password.to_owned().into(),
    }
}

fn real() -> Login {
    login("robot$test+job", "real")
}

fn registries() -> Registries {
    Registries {
        host: Some(HOST.into()),
        local: login("dockmaster", "local"),
        accounts: Arc::new(Fixed),
        may_pull: Arc::new(|host| host != "closed.example.com"),
        may_push: Arc::new(|host| host == HOST || host == "127.0.0.1:5000"),
        mirrors: [("docker.io".to_owned(), format!("{HOST}/test"))].into(),
        is_named: Arc::new(|host| host == "127.0.0.1:5000"),
    }
}

fn sent(name: &'static str, value: &Value) -> HeaderMap {
    let text = URL_SAFE.encode(value.to_string());
    HeaderMap::from_iter([(
        hyper::header::HeaderName::from_static(name),
        HeaderValue::from_str(&text).unwrap(),
    )])
}

/// Name and password that the daemon gets for an image; nothing is `-`.
async fn account(image: &str, errand: Errand, sent: &HeaderMap) -> Result<String, String> {
    let image = Reference::parse(image).unwrap();
    let header = registries().header(sent, &image, errand).await;
    let header = header.map_err(|denied| denied.message)?;
    let auth = header.map(|value| decoded(&value).unwrap());
    Ok(auth.map_or("-".into(), |auth| {
        let text = |name: &str| auth.get(name).and_then(Value::as_str).unwrap_or_default();
        format!("{} {}", text("username"), text("password"))
    }))
}

#[tokio::test]
async fn the_operator_s_registry_gets_the_account_that_the_job_never_sees() {
    let nothing = HeaderMap::new();
    let local = sent(
        REGISTRY_AUTH,
        &json!({"username": "dockmaster", "password": "local"}),
    );
    let joined = sent(
        REGISTRY_AUTH,
        &json!({"auth": URL_SAFE.encode("dockmaster:local")}),
    );
    let own = sent(
        REGISTRY_AUTH,
        &json!({"username": "me", "password": "mine"}),
    );
    for errand in [Errand::Pull, Errand::Push] {
        for given in [&nothing, &local, &joined] {
            let image = "harbor.example.com/test/app:v1";
            let found = account(image, errand, given).await;
            assert_eq!(found.as_deref(), Ok("robot$test+job real"));
        }
        let found = account("harbor.example.com/test/app", errand, &own).await;
        assert_eq!(found.as_deref(), Ok("me mine"));
    }
    let open = account("harbor.example.com/open/app", Errand::Pull, &local).await;
    assert_eq!(open.as_deref(), Ok("-"));
}

#[tokio::test]
async fn neither_account_reaches_another_registry() {
    let local = sent(
        REGISTRY_AUTH,
        &json!({"username": "dockmaster", "password": "local"}),
    );
    let found = account("quay.example.com/test/app", Errand::Pull, &local).await;
    assert_eq!(found.as_deref(), Ok("-"));
    let own = sent(
        REGISTRY_AUTH,
        &json!({"username": "me", "password": "mine", "x": "y"}),
    );
    let found = account("quay.example.com/test/app", Errand::Pull, &own).await;
    assert_eq!(found.as_deref(), Ok("me mine"));
    let all = json!({
        "closed.example.com": {"username": "a", "password": "b"},
        "https://quay.example.com/v2/": {"username": "me", "password": "mine"},
        "harbor.example.com": {"username": "dockmaster", "password": "local"},
    });
    let header = registries()
        .config(&sent(REGISTRY_CONFIG, &all))
        .await
        .unwrap();
    let header = Value::Object(decoded(&header.unwrap()).unwrap());
    let expected = json!({
        "https://quay.example.com/v2/": {"username": "me", "password": "mine"},
        "harbor.example.com": {
            "username": "robot$test+job", "password": "real", "serveraddress": HOST,
        },
    });
    assert_eq!(header, expected);
}

#[tokio::test]
async fn a_push_goes_where_the_operator_says() {
    let nothing = HeaderMap::new();
    let own = sent(
        REGISTRY_AUTH,
        &json!({"username": "me", "password": "mine"}),
    );
    for given in [&nothing, &own] {
        let refused = account("harbor.example.com/other/app", Errand::Push, given).await;
        assert_eq!(refused.unwrap_err(), "only test");
    }
    let refused = account("quay.example.com/test/app", Errand::Push, &own).await;
    let refused = refused.unwrap_err();
    assert!(refused.contains("`push-registries`"), "{refused}");
    let named = account("127.0.0.1:5000/app", Errand::Push, &nothing).await;
    assert_eq!(named.as_deref(), Ok("-"));
}

#[tokio::test]
async fn no_registry_is_an_address_of_this_host() {
    let nothing = HeaderMap::new();
    for host in [
        "127.0.0.1:6379",
        "127.1.2.3",
        "localhost:5000",
        "x.localhost",
        "0.0.0.0:80",
        "169.254.169.254",
        "100.100.100.200",
    ] {
        let image = format!("{host}/test/app");
        let refused = account(&image, Errand::Pull, &nothing).await.unwrap_err();
        assert!(refused.contains("the runner's own host"), "{refused}");
        let body = json!({"serveraddress": format!("http://{host}/"), "username": "a"});
        assert!(registries().login(&body).await.is_err(), "{host}");
    }
    assert!(is_inner("::1".parse().unwrap()));
    assert!(is_inner("::ffff:127.0.0.1".parse().unwrap()));
    assert!(!is_inner("10.0.0.1".parse().unwrap()));
    assert!(is_own("127.0.0.1".parse().unwrap()));
    assert!(!is_own("192.0.2.1".parse().unwrap()));
    for address in [
        "http://x@127.0.0.1:6379",
        "harbor.example.com#@127.0.0.1",
        "a?b",
    ] {
        let body = json!({"serveraddress": address, "username": "a"});
        let refused = registries().login(&body).await.unwrap_err();
        assert!(refused.message.contains("malformed"), "{}", refused.message);
    }
}

#[tokio::test]
async fn a_login_with_the_job_s_own_password_is_answered_here() {
    let login = async |host: &str, username: &str, password: &str| {
        let body = json!({"serveraddress": host, "username": username, "password": password});
        registries().login(&body).await
    };
    for host in [
        HOST,
        "https://harbor.example.com",
        "https://harbor.example.com/v2/",
    ] {
        let found = login(host, "dockmaster", "local").await;
        assert_eq!(found, Ok(Verdict::Welcome));
    }
    assert_eq!(login(HOST, "dockmaster", "wrong").await, Ok(Verdict::Ask));
    assert_eq!(login(HOST, "me", "mine").await, Ok(Verdict::Ask));
    let other = login("quay.example.com", "dockmaster", "local").await;
    assert_eq!(other, Ok(Verdict::Ask));
    let closed = login("closed.example.com", "me", "mine").await.unwrap_err();
    assert!(
        closed.message.contains("`registries`"),
        "{}",
        closed.message
    );
    // Without a password of its own, a job has none that is empty.
    let registries = Registries {
        local: Login::default(),
        ..registries()
    };
    let body = json!({"serveraddress": HOST, "username": "", "password": ""});
    assert_eq!(registries.login(&body).await, Ok(Verdict::Ask));
}

#[tokio::test]
async fn a_mirror_gets_our_account_and_never_the_job_s() {
    let own = sent(
        REGISTRY_AUTH,
        &json!({"username": "me", "password": "mine"}),
    );
    let source = async |image: &str| {
        let image = Reference::parse(image).unwrap();
        let (source, account) = registries().source(&own, &image).await.unwrap();
        let auth = decoded(&account.unwrap()).unwrap();
        (source.text(), auth["username"].as_str().unwrap().to_owned())
    };
    let mirrored = "harbor.example.com/test/library/alpine:3".to_owned();
    assert_eq!(
        source("alpine:3").await,
        (mirrored, "robot$test+job".into())
    );
    let other = "quay.example.com/a/b:1".to_owned();
    assert_eq!(source(&other).await, (other, "me".into()));
}
