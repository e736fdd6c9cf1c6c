//! The gate of a job beside the engine's own socket: builds, a push, a large context, round trips.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{Bench, compare, high_water, job, middle, raw, say, timed};
use crate::command::{DOCKER, docker, feed};
use crate::runner::Run;
use crate::{image, machine};

const SOCKET: &str = "/var/run/docker.sock";
const COLD: usize = 5;
const CACHED: usize = 11;
const PIPELINES: usize = 7;
const LARGE: usize = 3;
const EXECS: usize = 150;
const PINGS: usize = 300;
const PUSHED: u64 = 200_000_000;
const CONTEXT: u64 = 2_000_000_000;

/// How a build is asked for.
pub(super) const BUILDERS: [(&str, &str); 2] = [("BuildKit", "1"), ("classic", "0")];

/// A job that waits, with its gate open.
pub(super) struct Open {
    run: Run,
    socket: PathBuf,
}

/// The two ways to the same engine, and a folder for contexts.
pub(super) struct Roads<'a> {
    bench: &'a Bench,
    folder: PathBuf,
    config: PathBuf,
}

impl Open {
    fn start(bench: &Bench) -> Result<Self> {
        let waiting = job("gate")
            .image(image::DOCKER)
            .script(["echo begun", "sleep 100000"]);
        let run = bench.0.start(waiting)?;
        run.wait_for("begun")?;
        let gates = fs::read_dir(bench.0.installation.run_directory().join("gates"))?;
        let sockets = gates.flatten().map(|gate| gate.path().join("docker.sock"));
        let mut sockets = sockets.filter(|socket| socket.exists());
        let socket = sockets.next().context("the job has no gate")?;
        Ok(Self { run, socket })
    }

    fn end(self) -> Result<()> {
        self.run.abort();
        self.run.wait().map(drop)
    }
}

/// A client of one of the two roads, with the login for the registry that only the second one needs.
fn client(socket: &Path, config: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(DOCKER);
    command
        .arg("--config")
        .arg(config)
        .arg("--host")
        .arg(format!("unix://{}", socket.display()))
        .args(words);
    command
}

pub(super) fn must(mut command: Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Ten steps: an image, a file, and eight commands, of which each makes a layer. No cache knows them yet.
pub(super) fn ten_steps(folder: &Path, base: &str, nonce: &str) -> Result<()> {
    let mut text = format!("FROM {base}\nCOPY file /file\n");
    let steps = (0..8).map(|step| format!("RUN echo {nonce} > /step{step}\n"));
    text.extend(steps);
    fs::create_dir_all(folder)?;
    fs::write(folder.join("Dockerfile"), text)?;
    fs::write(folder.join("file"), nonce.repeat(10_000))?;
    Ok(())
}

impl<'a> Roads<'a> {
    pub(super) fn new(bench: &'a Bench) -> Result<Self> {
        let (folder, config) = (
            bench.0.machine.directory("contexts")?,
            bench.0.machine.directory("client")?,
        );
        let account = &bench.0.registry.push_account;
        let settings = config.to_string_lossy();
        let words = [
            "--config",
            &settings,
            "login",
            "--username",
            &account.username,
            "--password-stdin",
            &bench.0.registry.host,
        ];
        feed(DOCKER, &words, account.password.as_bytes())?;
        Ok(Self {
            bench,
            folder,
            config,
        })
    }

    fn build(&self, socket: &Path, kit: &str, words: &[&str]) -> Result<Duration> {
        let mut command = client(socket, &self.config, &["build"]);
        command.args(words).env("DOCKER_BUILDKIT", kit);
        timed(|| must(command))
    }

    /// Cold, again at once, and in later pipelines.
    pub(super) fn builds(&self) -> Result<()> {
        for (name, kit) in BUILDERS {
            let open = Open::start(self.bench)?;
            let folder = self.folder.join(name).to_string_lossy().into_owned();
            let path = Path::new(&folder);
            let tag = format!("bench-{kit}:1");
            let words = ["-t", &tag, &folder];
            // The engine may remember an earlier run.
            let run = machine::random(8)?;
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for number in 0..COLD {
                ten_steps(path, image::ALPINE, &format!("ours-{number}-{run}"))?;
                ours.push(self.build(&open.socket, kit, &words)?);
                ten_steps(path, image::ALPINE, &format!("theirs-{number}-{run}"))?;
                theirs.push(self.build(Path::new(SOCKET), kit, &words)?);
            }
            let what = format!("cold build of 10 steps, {name}");
            compare(&what, middle(ours), middle(theirs), "1.05");
            ten_steps(path, image::ALPINE, "again")?;
            for socket in [&open.socket, Path::new(SOCKET)] {
                self.build(socket, kit, &words)?;
            }
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..CACHED {
                ours.push(self.build(&open.socket, kit, &words)?);
                theirs.push(self.build(Path::new(SOCKET), kit, &words)?);
            }
            let what = format!("the same again, cached, {name}");
            compare(&what, middle(ours), middle(theirs), "1.05");
            open.end()?;
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..PIPELINES {
                let open = Open::start(self.bench)?;
                ours.push(self.build(&open.socket, kit, &words)?);
                theirs.push(self.build(Path::new(SOCKET), kit, &words)?);
                open.end()?;
            }
            let what = format!("in a later pipeline, {name}");
            compare(&what, middle(ours), middle(theirs), "1.1");
            docker(&["image", "rm", "--force", &tag])?;
        }
        Ok(())
    }

    /// Images that the registry does not have yet.
    pub(super) fn push(&self) -> Result<()> {
        let open = Open::start(self.bench)?;
        let folder = self.folder.join("push");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("Dockerfile"), "FROM scratch\nCOPY data /\n")?;
        let path = folder.to_string_lossy().into_owned();
        let data = folder.join("data").to_string_lossy().into_owned();
        let tag = self.bench.0.registry.image("test/bench:1");
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..LARGE {
            for (socket, times) in [
                (open.socket.as_path(), &mut ours),
                (Path::new(SOCKET), &mut theirs),
            ] {
                let random = format!("head -c {PUSHED} /dev/urandom > '{data}'");
                crate::command::run("sh", &["-c", &random])?;
                self.build(socket, "0", &["-t", &tag, &path])?;
                let push = client(socket, &self.config, &["push", &tag]);
                times.push(timed(|| must(push))?);
                must(client(socket, &self.config, &["image", "rm", &tag]))?;
            }
        }
        compare("a push of 200 MB", middle(ours), middle(theirs), "1.05");
        fs::remove_dir_all(&folder)?;
        open.end()
    }

    /// Two gigabytes that the client sends; `BuildKit` is sent what a step takes, so one takes it all.
    pub(super) fn context(&self) -> Result<()> {
        for (name, kit) in BUILDERS {
            let open = Open::start(self.bench)?;
            let folder = self.folder.join("large");
            fs::create_dir_all(&folder)?;
            let step = if kit == "1" { "data" } else { "Dockerfile" };
            fs::write(
                folder.join("Dockerfile"),
                format!("FROM scratch\nCOPY {step} /\n"),
            )?;
            let path = folder.to_string_lossy().into_owned();
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            let mut peak = 0.0_f64;
            for _ in 0..LARGE {
                for (socket, times) in [
                    (open.socket.as_path(), &mut ours),
                    (Path::new(SOCKET), &mut theirs),
                ] {
                    // A file that is new: nobody has it yet.
                    fs::File::create(folder.join("data"))?.set_len(CONTEXT)?;
                    times.push(self.build(socket, kit, &["-t", "bench-large:1", &path])?);
                    must(client(
                        socket,
                        &self.config,
                        &["image", "rm", "bench-large:1"],
                    ))?;
                    docker(&["builder", "prune", "--all", "--force"])?;
                }
                for driver in self.bench.0.installation.processes() {
                    peak = peak.max(high_water(&format!("/proc/{driver}/status")));
                }
            }
            let what = format!("a context of 2 GB, {name}");
            compare(&what, middle(ours), middle(theirs), "1.05");
            say(&format!(
                "  the gate's peak memory             {peak:>8.1} MB   (aim: under 64 MB)"
            ));
            fs::remove_dir_all(&folder)?;
            open.end()?;
        }
        Ok(())
    }

    /// An exec from its making to its end, and one line there and back in a container that is attached to.
    pub(super) fn round_trips(&self) -> Result<()> {
        let open = Open::start(self.bench)?;
        let words = ["run", "--detach", "--interactive", image::ALPINE, "cat"];
        let made = client(&open.socket, &self.config, &words).output()?;
        let id = String::from_utf8(made.stdout)?.trim().to_owned();
        ensure!(!id.is_empty(), "{}", String::from_utf8_lossy(&made.stderr));
        let roads = [open.socket.as_path(), Path::new(SOCKET)];
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..EXECS {
            for (socket, times) in roads.iter().zip(&mut times) {
                times.push(timed(|| raw::exec(socket, &id))?);
            }
        }
        added("exec of `true`", times);
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..5 {
            for (socket, times) in roads.iter().zip(&mut times) {
                let mut attached = raw::attach(socket, &id)?;
                for _ in 0..PINGS {
                    times.push(timed(|| raw::ping(&mut attached))?);
                }
            }
        }
        added("a line through attach, and back", times);
        open.end()
    }
}

/// Prints what the gate adds to a round trip: of the fastest of each, because other work on the machine only adds.
fn added(what: &str, times: [Vec<Duration>; 2]) {
    let fastest = |times: &Vec<Duration>| times.iter().min().copied().unwrap_or_default();
    let [fast, fast_theirs] = [&times[0], &times[1]].map(|it| fastest(it).as_secs_f64() * 1000.0);
    let [ours, theirs] = times.map(|times| middle(times).as_secs_f64() * 1000.0);
    say(&format!(
        "{what:<36} {:>+8.2} ms   {fast:.2} ms / {fast_theirs:.2} ms, the fastest; medians {ours:.2} ms / \
         {theirs:.2} ms   (aim: at most +1 ms)",
        fast - fast_theirs
    ));
}
