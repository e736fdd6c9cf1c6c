use std::{
    cell::RefCell,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream as Client,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
};

use tempfile::TempDir;
use tokio::sync::Notify;

use super::*;
use crate::rollout::port::Narrator;

const ENVIRONMENT: &str = r#"
[policy]
projects = [42]
[release]
image = "h/app"
[ssh]
key = "/nonexistent"
[compose]
directory = "/srv/app"
service = "app"
port = 3131
[balancer]
kind = "none"
[[hosts]]
name = "app-1"
ssh = "deploy@127.0.0.1"
host-key = "ssh-ed25519 AAAA"
"#;

/// A rollout that ends when the test says so, or when somebody wants it to.
#[derive(Default)]
struct Fake {
    go_on: Notify,
    is_failing: bool,
    events: RefCell<Vec<String>>,
}

impl Rollouts for Fake {
    async fn deploy(
        &self,
        wanted: Wanted<'_>,
        lines: &JobLines,
        wish: watch::Receiver<Wish>,
    ) -> Result<(), Failure> {
        let name = &wanted.grant.environment().name;
        let texts = wanted.files.iter().map(|file| file.text.clone());
        self.events.borrow_mut().extend(texts);
        crate::broker::output::Output::Job(lines.clone()).say(&format!("{name}: begun"));
        self.events.borrow_mut().push("begun".into());
        select! {
            () = self.go_on.notified() => {}
            () = stopped(wish) => self.events.borrow_mut().push("stopping".into()),
        }
        self.events.borrow_mut().push("ended".into());
        if self.is_failing {
            return Err(Failure::system("app-1 cannot be reached"));
        }
        Ok(())
    }
}

struct Setup {
    folder: TempDir,
    config: Config,
    job: Job,
    uid: u32,
}

impl Setup {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let environments = folder.path().join("environments");
        std::fs::create_dir(&environments).unwrap();
        std::fs::write(environments.join("production.toml"), ENVIRONMENT).unwrap();
        let path = folder.path().join("config.toml");
        let text = "[lanes.deploy]\nkind = \"deploy\"\nenvironments = [\"production\"]\n";
        std::fs::write(&path, text).unwrap();
        let job = serde_json::from_value(serde_json::json!({
            "id": 7, "job_info": {"project_id": 42},
            "git_info": {"ref": "v1", "ref_type": "tag", "sha": "a".repeat(40), "protected": true},
        }));
        Self {
            config: Config::load(&path).unwrap(),
            folder,
            job: job.unwrap(),
            uid: nix::unistd::geteuid().as_raw(),
        }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("broker.sock")
    }

    fn listen(&self) -> StdListener {
        StdListener::bind(self.socket()).unwrap()
    }

    fn service(&self) -> Service<'_> {
        Service {
            config: &self.config,
            lane: "deploy",
            job: &self.job,
            uid: self.uid,
        }
    }

    /// Serves one client, then is told to stop.
    fn answer(&self, request: &str) -> String {
        let listener = self.listen();
        let client = ask(&self.socket(), request);
        let (wish, watched) = watch::channel(Wish::GoOn);
        let fake = Fake::default();
        fake.go_on.notify_one();
        block_on(async {
            let service = self.service();
            let serving = service.serve(listener, &fake, watched);
            let stop = async {
                let text = tokio::task::spawn_blocking(|| client.join().unwrap())
                    .await
                    .unwrap();
                wish.send_replace(Wish::Stop);
                text
            };
            let (served, text) = tokio::join!(serving, stop);
            assert_eq!(served.unwrap(), 0);
            text
        })
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(future)
}

/// Asks, and returns all that is answered.
fn ask(socket: &Path, request: &str) -> JoinHandle<String> {
    let (socket, request) = (socket.to_owned(), request.to_owned());
    thread::spawn(move || {
        let mut client = Client::connect(socket).unwrap();
        // A server that does not hear us may have gone already.
        let _ = client.write_all(format!("{request}\n").as_bytes());
        BufReader::new(client)
            .lines()
            .map_while(Result::ok)
            .collect::<Vec<_>>()
            .join("\n")
    })
}

#[test]
fn a_job_reads_the_rollouts_lines_and_then_the_ending() {
    let text = Setup::open().answer(r#"{"ask":"deploy","environment":null}"#);
    let expected =
        "{\"log\":\"production: begun\"}\n{\"is_host_fault\":false,\"code\":0,\"message\":\"\"}";
    assert_eq!(text, expected);
}

#[test]
fn another_uid_is_not_answered() {
    let mut setup = Setup::open();
    setup.uid += 1;
    assert_eq!(setup.answer(r#"{"ask":"deploy","environment":null}"#), "");
}

#[test]
fn what_cannot_be_understood_is_refused() {
    for request in ["", "deploy", r#"{"ask":"key"}"#, &"x".repeat(10_000)] {
        let text = Setup::open().answer(request);
        assert!(text.contains("\"code\":111"), "{text}");
    }
}

#[test]
fn the_decision_is_made_here_again() {
    let mut setup = Setup::open();
    setup.job.git_info.protected = Some(false);
    let text = setup.answer(r#"{"ask":"deploy","environment":"production"}"#);
    assert!(
        text.contains("\"code\":110") && text.contains("not protected"),
        "{text}"
    );
    let text = Setup::open().answer(r#"{"ask":"deploy","environment":"staging"}"#);
    assert!(
        text.contains("\"code\":111") && text.contains("it has: production"),
        "{text}"
    );
}

#[test]
fn a_rollout_ends_in_order_when_its_job_goes_away() {
    let setup = Setup::open();
    let listener = setup.listen();
    let mut client = Client::connect(setup.socket()).unwrap();
    client
        .write_all(b"{\"ask\":\"deploy\",\"environment\":null}\n")
        .unwrap();
    drop(client);
    let (wish, watched) = watch::channel(Wish::GoOn);
    let fake = Fake::default();
    block_on(async {
        let service = setup.service();
        let serving = service.serve(listener, &fake, watched);
        let work = async {
            while fake.events.borrow().is_empty() {
                tokio::task::yield_now().await;
            }
            fake.go_on.notify_one();
            while fake.events.borrow().len() < 2 {
                tokio::task::yield_now().await;
            }
            wish.send_replace(Wish::Stop);
        };
        assert_eq!(tokio::join!(serving, work).0.unwrap(), 0);
    });
    assert_eq!(*fake.events.borrow(), ["begun", "ended"]);
}

/// The broker's exit code after a rollout that fails for this host's sake, stopped or not.
fn code_of_a_failed_rollout(is_stopped: bool) -> i32 {
    let setup = Setup::open();
    let listener = setup.listen();
    let client = ask(&setup.socket(), r#"{"ask":"deploy","environment":null}"#);
    let (wish, watched) = watch::channel(Wish::GoOn);
    let fake = Fake {
        is_failing: true,
        ..Fake::default()
    };
    block_on(async {
        let service = setup.service();
        let serving = service.serve(listener, &fake, watched);
        let work = async {
            while fake.events.borrow().is_empty() {
                tokio::task::yield_now().await;
            }
            if is_stopped {
                wish.send_replace(Wish::Stop);
            } else {
                fake.go_on.notify_one();
            }
            let heard = tokio::task::spawn_blocking(|| client.join().unwrap()).await;
            assert!(heard.unwrap().contains("app-1 cannot be reached"));
            wish.send_replace(Wish::Stop);
        };
        tokio::join!(serving, work).0.unwrap()
    })
}

#[test]
fn a_rollout_that_somebody_stopped_is_no_fault_of_this_host() {
    assert_eq!(code_of_a_failed_rollout(true), 0);
}

#[test]
fn a_rollout_that_this_host_cannot_carry_out_is() {
    assert_eq!(code_of_a_failed_rollout(false), HOST_FAULT);
}

#[test]
fn a_wish_to_stop_reaches_the_rollout_which_still_ends_in_order() {
    let setup = Setup::open();
    let listener = setup.listen();
    let client = ask(&setup.socket(), r#"{"ask":"deploy","environment":null}"#);
    let (wish, watched) = watch::channel(Wish::GoOn);
    let fake = Fake::default();
    block_on(async {
        let service = setup.service();
        let serving = service.serve(listener, &fake, watched);
        let work = async {
            while fake.events.borrow().is_empty() {
                tokio::task::yield_now().await;
            }
            wish.send_replace(Wish::Stop);
        };
        assert_eq!(tokio::join!(serving, work).0.unwrap(), 0);
    });
    assert_eq!(*fake.events.borrow(), ["begun", "stopping", "ended"]);
    assert!(client.join().unwrap().contains("\"code\":0"));
}

/// A checkout with one commit, which GitLab names.
fn checkout(setup: &mut Setup) -> PathBuf {
    let folder = setup.folder.path().join("checkout");
    std::fs::create_dir_all(folder.join("deploy")).unwrap();
    std::fs::write(folder.join("deploy/app.yml"), "services: {}\n").unwrap();
    let git = |words: &[&str]| {
        let output = std::process::Command::new("git")
            .arg("-C")
            .arg(&folder)
            .args(["-c", "user.name=a", "-c", "user.email=a@b"])
            .args(words)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "-q"]);
    git(&["add", "-A"]);
    git(&["commit", "-qm", "one"]);
    setup.job.git_info.sha = git(&["rev-parse", "HEAD"]);
    folder
}

/// Asks as `dockmaster deploy` does, of an environment whose compose file comes with the release.
fn deploy_with_files(spoil: impl FnOnce(&Path)) -> (i32, String, Vec<String>) {
    let mut setup = Setup::open();
    let text = ENVIRONMENT.replace("port = 3131", "port = 3131\nfile = \"deploy/app.yml\"");
    let path = setup.folder.path().join("environments/production.toml");
    std::fs::write(path, text).unwrap();
    setup.config = Config::load(&setup.folder.path().join("config.toml")).unwrap();
    let checkout = checkout(&mut setup);
    spoil(&checkout);
    let (listener, socket) = (setup.listen(), setup.socket());
    let client = thread::spawn(move || {
        let mut out = Vec::new();
        let at = (Some(socket.as_path()), checkout.as_path());
        let code = crate::broker::client::deploy(at, None, &mut out);
        (code, String::from_utf8(out).unwrap())
    });
    let (wish, watched) = watch::channel(Wish::GoOn);
    let fake = Fake::default();
    fake.go_on.notify_one();
    let (code, out) = block_on(async {
        let service = setup.service();
        let serving = service.serve(listener, &fake, watched);
        let stop = async {
            let joined = tokio::task::spawn_blocking(|| client.join().unwrap());
            let joined = joined.await.unwrap();
            wish.send_replace(Wish::Stop);
            joined
        };
        let (served, joined) = tokio::join!(serving, stop);
        served.unwrap();
        joined
    });
    (code, out, fake.events.into_inner())
}

#[test]
fn a_release_s_compose_files_are_the_commit_s_whatever_the_checkout_holds() {
    let (code, out, events) = deploy_with_files(|checkout| {
        std::fs::write(checkout.join("deploy/app.yml"), "forged").unwrap();
    });
    assert_eq!(code, 0, "{out}");
    assert_eq!(events, ["services: {}\n", "begun", "ended"]);
}

#[test]
fn without_the_commit_s_objects_nothing_is_begun() {
    let (code, out, events) = deploy_with_files(|checkout| {
        std::fs::remove_dir_all(checkout.join(".git")).unwrap();
    });
    assert_eq!(code, 111, "{out}");
    assert!(out.contains("did not hand over"), "{out}");
    assert_eq!(events, [""; 0]);
}
