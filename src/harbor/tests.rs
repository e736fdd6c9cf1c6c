//! The client against a stand-in that answers as Harbor was recorded; the oddities themselves are told in
//! tests/testbed.

use std::{net::Ipv4Addr, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};

use testbed::{
    background::Background,
    harbor::{Harbor as StandIn, Permission, Vulnerabilities},
    serve::Server,
};

use super::{
    client::{Harbor, has_no_robots},
    error::HarborError,
    keep::{HostMark, Keeper, reap},
    refusal::Fault,
    robot::Wish,
    scan::{ScanError, Scanned, scan},
};
use crate::config::{Registry, Severity};
use crate::failure::{self, Failure};

const BROKER: &[&str] = &[
    "repository:pull",
    "repository:push",
    "robot:create",
    "robot:read",
    "robot:list",
    "robot:delete",
    "artifact:read",
    "scan:read",
    "scan:create",
];

/// A Harbor with the projects `shop` and `other`, and an account that makes robots in `shop`.
struct Company {
    harbor: StandIn,
    folder: tempfile::TempDir,
    registry: Registry,
    account: PathBuf,
    _server: Server,
    _background: Background,
}

impl Company {
    fn found() -> Self {
        let harbor = StandIn::new("Harbor12345");
        harbor.project("other");
        harbor.project("shop");
        harbor.project("shop2");
        harbor.change(|settings| settings.failed_login = Duration::ZERO);
        let background = Background::start().unwrap();
        let here = Ipv4Addr::LOCALHOST.into();
        let server = Server::start(&background, here, harbor.handler()).unwrap();
        let (username, password) = harbor.robot(
            "broker",
            "system",
            vec![Permission::project("shop", BROKER)],
        );
        let folder = tempfile::tempdir().unwrap();
        let account = folder.path().join("harbor.json");
        write(&account, &username, &password);
        let text = format!(
            "host = 'harbor.example.com'\nurl = 'http://{}'\naccount = '{}'\n[push]\n42 = ['shop']\n",
            server.address(),
            account.display()
        );
        Self {
            harbor,
            folder,
            registry: toml::from_str(&text).unwrap(),
            account,
            _server: server,
            _background: background,
        }
    }

    async fn log_in(&self) -> Result<Harbor, HarborError> {
        Harbor::log_in(&self.registry, &self.account).await
    }

    /// The own names of the robots of jobs.
    fn robots(&self) -> Vec<String> {
        let rows = self.harbor.robots().into_iter();
        let rows = rows.filter(|row| !row.name.ends_with("broker"));
        rows.map(|row| row.name).collect()
    }

    fn keeper(&self, key: &str) -> Keeper {
        Keeper {
            registry: self.registry.clone(),
            key: key.into(),
            description: "job 1000".into(),
            record: self.folder.path().join(key),
            host: HostMark::of(self.folder.path()),
        }
    }
}

fn write(path: &std::path::Path, username: &str, password: &str) {
    let text = serde_json::json!({ "username": username, "password": password });
    std::fs::write(path, text.to_string()).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

const WISH: Wish<'static> = Wish {
    project: "shop",
    name: "dockmaster-1",
    description: "job 1",
    may_push: true,
};

/// What a person reads of an error.
fn told(error: HarborError) -> String {
    let text = failure::chain(&error);
    assert!(Failure::from(error).code().is_none(), "the operator's turn");
    text
}

#[tokio::test]
async fn an_account_that_harbor_does_not_know_is_told_before_anything_is_asked() {
    let company = Company::found();
    write(&company.account, "robot$broker", "wrong");
    let error = told(company.log_in().await.err().unwrap());
    assert!(error.contains("does not know the account of"), "{error}");
    assert!(error.contains("disabled, expired or deleted"), "{error}");
    assert!(!error.contains("wrong\""), "{error}");
    // Nothing but who one is was asked.
    assert_eq!(company.harbor.calls(), ["- GET /api/v2.0/systeminfo"]);
}

#[tokio::test]
async fn a_harbor_without_robots_names_the_way_out() {
    let company = Company::found();
    company
        .harbor
        .change(|settings| settings.version = "v2.1.6-abc".into());
    let error = told(company.log_in().await.err().unwrap());
    assert!(error.contains("is v2.1.6-abc"), "{error}");
    assert!(error.contains("registry.static-account"), "{error}");
    assert!(!has_no_robots("v2.2.0-1") && !has_no_robots("v10.0") && !has_no_robots("dev"));
    assert!(has_no_robots("v2.0.0-1") && has_no_robots("v1.10.1"));
}

#[tokio::test]
async fn a_robot_is_made_with_exactly_its_rights_for_one_day() {
    let company = Company::found();
    let harbor = company.log_in().await.unwrap();
    let robot = harbor.make_robot(WISH).await.unwrap();
    assert_eq!(robot.name, "robot$shop+dockmaster-1");
    assert!(!robot.secret.is_empty());
    let rows = company.harbor.robots();
    let row = rows.iter().find(|row| row.name == robot.name).unwrap();
    let rights = ["repository:pull", "repository:push"];
    assert_eq!(row.permissions, [Permission::project("shop", &rights)]);
    let day = row.expires_at - jiff::Timestamp::now().as_second();
    assert!((86_000..=86_400).contains(&day), "{day}");
    harbor.delete_robot(robot.id).await.unwrap();
    harbor.delete_robot(robot.id).await.unwrap();
    assert_eq!(company.robots(), [""; 0]);
}

#[tokio::test]
async fn the_login_name_is_harbor_s_own_word() {
    let company = Company::found();
    company
        .harbor
        .change(|settings| settings.robot_name_prefix = "ci-".into());
    write(&company.account, "admin", "Harbor12345");
    let harbor = company.log_in().await.unwrap();
    let robot = harbor.make_robot(WISH).await.unwrap();
    assert_eq!(robot.name, "ci-shop+dockmaster-1");
}

#[tokio::test]
async fn a_robot_whose_secret_is_lost_is_replaced() {
    let company = Company::found();
    let harbor = company.log_in().await.unwrap();
    let first = harbor.make_robot(WISH).await.unwrap();
    let second = harbor.make_robot(WISH).await.unwrap();
    assert_ne!(first.secret.expose(), second.secret.expose());
    assert_eq!(company.robots(), ["robot$shop+dockmaster-1"]);
}

#[tokio::test]
async fn robots_are_found_on_every_page_by_the_beginning_of_their_name() {
    let company = Company::found();
    let harbor = company.log_in().await.unwrap();
    for number in 0..203 {
        let rights = vec![Permission::project("shop", &["repository:pull"])];
        company
            .harbor
            .robot(&format!("dockmaster-{number}"), "project", rights);
    }
    let rights = vec![Permission::project("shop", &["repository:pull"])];
    company.harbor.robot("somebody", "project", rights);
    let found = harbor.robots("shop", "dockmaster-").await.unwrap();
    assert_eq!(found.len(), 203);
    let pages = company.harbor.calls();
    assert_eq!(
        pages
            .iter()
            .filter(|it| it.ends_with("GET /api/v2.0/robots"))
            .count(),
        3
    );
}

#[tokio::test]
async fn each_refusal_says_what_to_do() {
    let company = Company::found();
    let harbor = company.log_in().await.unwrap();
    let other = Wish {
        project: "other",
        ..WISH
    };
    let error = told(harbor.make_robot(other).await.unwrap_err());
    assert!(
        error.contains("FORBIDDEN \"forbidden\" (403): the account may not do that"),
        "{error}"
    );
    let error = told(harbor.robots("nosuch", "").await.unwrap_err());
    assert!(
        error.contains("there is no such project in Harbor"),
        "{error}"
    );
    company
        .harbor
        .change(|settings| settings.is_read_only = true);
    let error = told(harbor.make_robot(WISH).await.unwrap_err());
    assert!(error.contains("set it to read-only"), "{error}");
    company
        .harbor
        .change(|settings| settings.is_read_only = false);
    let bad = Wish {
        name: "Upper",
        ..WISH
    };
    let error = told(harbor.make_robot(bad).await.unwrap_err());
    assert!(error.contains("(400): the request is wrong"), "{error}");
    let long = "x".repeat(300);
    let long = Wish {
        name: &long,
        ..WISH
    };
    let error = told(harbor.make_robot(long).await.unwrap_err());
    assert!(
        error.contains("(500): Harbor or its storage is broken"),
        "{error}"
    );
}

#[tokio::test]
async fn an_account_must_have_what_it_gives() {
    let company = Company::found();
    let rights: Vec<&str> = BROKER
        .iter()
        .copied()
        .filter(|it| *it != "repository:push")
        .collect();
    let (name, secret) =
        company
            .harbor
            .robot("weak", "system", vec![Permission::project("shop", &rights)]);
    write(&company.account, &name, &secret);
    let harbor = company.log_in().await.unwrap();
    let error = told(harbor.make_robot(WISH).await.unwrap_err());
    assert!(
        error.contains("registry.account must have every right"),
        "{error}"
    );
}

#[tokio::test]
async fn harbor_is_asked_again_only_where_it_says_when() {
    let company = Company::found();
    let harbor = company.log_in().await.unwrap();
    company
        .harbor
        .change(|settings| settings.throttled = vec![(429, 0), (503, 0)]);
    harbor.make_robot(WISH).await.unwrap();
    let posts = |company: &Company| {
        let calls = company.harbor.calls();
        calls.iter().filter(|it| it.contains("POST")).count()
    };
    assert_eq!(posts(&company), 3);
    // Hours away, and an answer that was given after something was done.
    for answer in [(429, 7200), (500, 0)] {
        company
            .harbor
            .change(|settings| settings.throttled = vec![answer]);
        let before = posts(&company);
        assert!(harbor.make_robot(WISH).await.is_err());
        assert_eq!(posts(&company), before + 1);
    }
}

#[tokio::test]
async fn a_job_has_one_robot_a_project_and_deletes_it() {
    let company = Company::found();
    let keeper = company.keeper("p42-j1-aaaaaa");
    let robots = keeper.clone().open().unwrap();
    let (one, other) = tokio::join!(robots.account("shop", true), robots.account("shop", true));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.password.expose(), other.password.expose());
    // The next phase finds it.
    let later = keeper.clone().open().unwrap();
    let again = later.account("shop", true).await.unwrap();
    assert_eq!(again.password.expose(), one.password.expose());
    assert_eq!(company.robots().len(), 1);
    let mode = std::fs::metadata(&keeper.record)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    keeper.delete().await.unwrap();
    assert_eq!(company.robots(), [""; 0]);
}

#[tokio::test]
async fn a_robot_that_was_cut_off_while_it_was_made_is_deleted_by_its_name() {
    let company = Company::found();
    let keeper = company.keeper("p42-j2-aaaaaa");
    company
        .harbor
        .change(|settings| settings.is_read_only = true);
    let robots = keeper.clone().open().unwrap();
    assert!(robots.account("shop", true).await.is_err());
    company
        .harbor
        .change(|settings| settings.is_read_only = false);
    // As if Harbor had made it and nobody had heard the answer.
    let name = keeper.name();
    let wish = Wish {
        name: &name,
        ..WISH
    };
    let harbor = company.log_in().await.unwrap();
    harbor.make_robot(wish).await.unwrap();
    keeper.delete().await.unwrap();
    assert_eq!(company.robots(), [""; 0]);
}

#[tokio::test]
async fn gc_deletes_robots_of_dead_jobs_of_this_host_and_expired_ones() {
    let company = Company::found();
    for key in ["p42-j1-aaaaaa", "p42-j2-aaaaaa"] {
        company
            .keeper(key)
            .open()
            .unwrap()
            .account("shop", true)
            .await
            .unwrap();
    }
    let elsewhere = Keeper {
        host: HostMark::of(std::path::Path::new("/elsewhere")),
        ..company.keeper("p42-j3-aaaaaa")
    };
    elsewhere
        .open()
        .unwrap()
        .account("shop", true)
        .await
        .unwrap();
    let host = HostMark::of(company.folder.path());
    let (deleted, failures) = reap(&company.registry, &host, |key| key == "p42-j2-aaaaaa").await;
    assert!(failures.is_empty());
    assert_eq!(deleted.len(), 1);
    assert!(deleted[0].ends_with("-p42-j1-aaaaaa"), "{deleted:?}");
    let left = company.robots();
    assert!(
        left.iter().any(|name| name.ends_with("-p42-j2-aaaaaa")),
        "{left:?}"
    );
    assert!(
        left.iter().any(|name| name.ends_with("-p42-j3-aaaaaa")),
        "{left:?}"
    );
}

#[test]
fn answers_of_the_api_are_told_apart() {
    for (status, text, fault) in [
        (401, "UNAUTHORIZED \"unauthorized\"", Fault::NotLoggedIn),
        (403, "FORBIDDEN \"forbidden\"", Fault::NoRight),
        (
            403,
            "DENIED \"The system is in read only mode. Any modification is prohibited.\"",
            Fault::ReadOnly,
        ),
        (404, "NOT_FOUND \"robot 17 not found\"", Fault::Missing),
        (
            404,
            "NOT_FOUND \"project nosuch not found\"",
            Fault::NoProject,
        ),
        (
            409,
            "CONFLICT \"robot account 2:shop+x already exists\"",
            Fault::Taken,
        ),
        (
            412,
            "PRECONDITION \"no available scanner for project: 2\"",
            Fault::Precondition,
        ),
        (
            422,
            "UNPROCESSABLE_ENTITY \"validation failure list:\"",
            Fault::Malformed,
        ),
        (429, "Too Many Requests", Fault::Throttled),
        (500, "UNKNOWN \"internal server error\"", Fault::Broken),
    ] {
        assert_eq!(Fault::of_answer(status, text), fault, "{text}");
    }
}

const MINUTE: Duration = Duration::from_mins(1);

fn pushed<'a>(repository: &'a str, digest: &'a str) -> Scanned<'a> {
    Scanned {
        project: "shop",
        repository,
        digest,
    }
}

#[tokio::test]
async fn a_scan_is_asked_for_and_waited_for() {
    let company = Company::found();
    let found = Vulnerabilities {
        severity: "High".into(),
        total: 5,
    };
    company.harbor.set_scanner("shop/team/app", found);
    for (repository, severity, told) in [
        ("team/app", Severity::High, "5 High"),
        ("clean", Severity::None, "no vulnerabilities"),
    ] {
        let digest = company.harbor.image(&format!("shop/{repository}"), "v1");
        let image = pushed(repository, &digest);
        let found = scan(&company.registry, &company.account, image, MINUTE).await;
        let found = found.unwrap();
        assert_eq!(
            (found.severity, found.to_string().as_str()),
            (severity, told)
        );
        let page = format!("/artifacts-tab/artifacts/{digest}");
        assert!(found.place.ends_with(&page), "{}", found.place);
    }
}

#[tokio::test]
async fn an_image_that_nobody_scans_in_time_is_told() {
    let company = Company::found();
    let digest = company.harbor.image("shop/app", "v1");
    let image = pushed("app", &digest);
    let without = scan(&company.registry, &company.account, image, MINUTE).await;
    assert!(
        matches!(without, Err(ScanError::NoScanner { .. })),
        "{without:?}"
    );
    let found = Vulnerabilities {
        severity: "Low".into(),
        total: 1,
    };
    company.harbor.set_scanner("shop/app", found);
    let late = scan(&company.registry, &company.account, image, Duration::ZERO).await;
    let told = failure::chain(&late.unwrap_err());
    assert!(told.contains("did not end within 0ns (scan-wait"), "{told}");
}
