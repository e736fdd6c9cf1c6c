//! Ratios of this driver to plain Docker, measured side by side in one run: absolute times say more about
//! the machine than about the program.

mod gate;
mod others;
mod raw;

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::command::DOCKER;
use crate::image;
use crate::spec::JobBuilder;
use crate::workshop::Workshop;
use gate::Roads;

const JOBS: usize = 10;
const STARTS: usize = 100;
/// Bytes of job output.
const OUTPUT: u64 = 1_000_000_000;
const LINES: &str =
    "yes 0123456789012345678901234567890123456789012345678901234567890123456789012345678";

/// What is measured with.
struct Bench(Workshop);

/// What can be chosen by name.
const PARTS: [&str; 8] = [
    "start", "job", "output", "trips", "builds", "push", "context", "others",
];

/// Runs the measurements of the dockmaster that the first argument names: all, or the parts that follow.
pub fn main(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    let dockmaster = arguments.next();
    let chosen: Vec<String> = arguments.collect();
    let result = dockmaster
        .filter(|_| chosen.iter().all(|part| PARTS.contains(&part.as_str())))
        .with_context(|| format!("usage: bench DOCKMASTER [{}]…", PARTS.join("|")))
        .and_then(|dockmaster| run(Path::new(&dockmaster), &chosen));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(dockmaster: &Path, chosen: &[String]) -> Result<()> {
    let bench = Bench(Workshop::open(dockmaster)?);
    let roads = Roads::new(&bench)?;
    for part in PARTS {
        if !chosen.is_empty() && !chosen.iter().any(|one| one == part) {
            continue;
        }
        match part {
            "start" => bench.driver(),
            "job" => bench.trivial_job(),
            "output" => bench.output(),
            "builds" => roads.builds(),
            "push" => roads.push(),
            "context" => roads.context(),
            "trips" => roads.round_trips(),
            _ => others::compare_all(&bench),
        }?;
    }
    Ok(())
}

impl Bench {
    /// How long the driver takes to start and answer its first question.
    fn driver(&self) -> Result<()> {
        let folder = self.attempt(&job("start"))?;
        let ours = median(STARTS, || {
            let status = self
                .stage(&folder, &["config"])
                .stdout(Stdio::null())
                .status()?;
            ensure!(status.success(), "config has failed");
            Ok(())
        })?;
        let nothing = median(STARTS, || {
            ensure!(Command::new("/bin/true").status()?.success());
            Ok(())
        })?;
        say(&format!(
            "start of `dockmaster config`         {:>8.1} ms   /bin/true {:.1} ms   (aim: under 5 ms)",
            milliseconds(ours),
            milliseconds(nothing)
        ));
        Ok(())
    }

    /// A job that does nothing, all stages and processes included, against a container that does.
    fn trivial_job(&self) -> Result<()> {
        self.job()?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..JOBS {
            theirs.push(timed(|| docker(&["run", "--rm", image::ALPINE, "true"]))?);
            ours.push(timed(|| self.job())?);
        }
        compare(
            "a trivial job / docker run --rm",
            middle(ours),
            middle(theirs),
            "2.5",
        );
        Ok(())
    }

    fn job(&self) -> Result<()> {
        let outcome = self.0.run(job("trivial"))?;
        ensure!(
            outcome.is_success(),
            "the job has failed:\n{}",
            outcome.text()
        );
        Ok(())
    }

    /// Much output through the driver, against as much through Docker's own client.
    fn output(&self) -> Result<()> {
        let command = format!("{LINES} | head -c {OUTPUT}");
        let folder = self.attempt(&job("output"))?;
        let script = folder.join("script");
        fs::write(&script, &command)?;
        ensure!(
            self.stage(&folder, &["prepare"])
                .stdout(Stdio::null())
                .status()?
                .success()
        );
        let mut peak = 0.0_f64;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let words = ["run", &script.to_string_lossy(), "build_script"];
            let mut driver = self.stage(&folder, &words);
            ours.push(timed(|| {
                peak = peak.max(drain(&mut driver)?);
                Ok(())
            })?);
            let words = [
                "run",
                "--rm",
                "--log-driver",
                "none",
                image::ALPINE,
                "sh",
                "-c",
                &command,
            ];
            theirs.push(timed(|| drain(Command::new(DOCKER).args(words)).map(drop))?);
        }
        ensure!(self.stage(&folder, &["cleanup"]).status()?.success());
        compare(
            "1 GB of log / docker run, no log",
            middle(ours),
            middle(theirs),
            "1.2",
        );
        say(&format!(
            "  the driver's peak memory           {peak:>8.1} MB   (aim: under 32 MB)"
        ));
        Ok(())
    }

    /// The folder of one attempt, as the runner makes it.
    fn attempt(&self, job: &JobBuilder) -> Result<std::path::PathBuf> {
        let queued = self.0.gitlab.job(&self.0.project, "master", job.clone())?;
        let folder = self
            .0
            .machine
            .directory(&format!("attempt-{}", queued.job.id))?;
        fs::write(folder.join("response.json"), queued.job.to_response()?)?;
        Ok(folder)
    }

    fn stage(&self, folder: &Path, words: &[&str]) -> Command {
        let path = format!(
            "{}:/usr/bin:/bin:/usr/sbin",
            self.0.installation.root().join("bin").display()
        );
        let mut command = self.0.installation.command(&["--lane", "docker"]);
        command
            .args(words)
            .current_dir(folder)
            .env("PATH", path)
            .env("JOB_RESPONSE_FILE", folder.join("response.json"))
            .env("BUILD_EXIT_CODE_FILE", folder.join("build_exit_code"));
        command
    }
}

fn job(name: &str) -> JobBuilder {
    JobBuilder::new(name)
        .tags(["devops_test_docker"])
        .image(image::ALPINE)
        .script(["true"])
}

/// Reads all that a command prints; the peak of its memory in megabytes.
fn drain(command: &mut Command) -> Result<f64> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    let mut output = child.stdout.take().context("no output")?;
    let mut buffer = vec![0; 1 << 16];
    let (mut length, mut peak, mut reads) = (0_u64, 0.0_f64, 0_u32);
    loop {
        let read = output.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        length += read as u64;
        reads += 1;
        // The kernel keeps the highest mark: looking now and then is enough.
        if reads % 1000 == 0 {
            peak = peak.max(high_water(&status));
        }
    }
    ensure!(child.wait()?.success(), "{command:?} has failed");
    ensure!(length >= OUTPUT, "only {length} bytes of {OUTPUT} arrived");
    Ok(peak)
}

fn high_water(status: &str) -> f64 {
    let text = fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) / 1000.0
}

fn docker(arguments: &[&str]) -> Result<()> {
    let status = Command::new(DOCKER)
        .args(arguments)
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "docker {arguments:?} has failed");
    Ok(())
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed())
}

fn median(count: usize, mut work: impl FnMut() -> Result<()>) -> Result<Duration> {
    let times: Result<Vec<_>> = (0..count).map(|_| timed(&mut work)).collect();
    Ok(middle(times?))
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn compare(what: &str, ours: Duration, theirs: Duration, aim: &str) {
    say(&format!(
        "{what:<36} {:>8.2} x    {:.0} ms / {:.0} ms, medians   (aim: {aim} x)",
        ours.as_secs_f64() / theirs.as_secs_f64(),
        milliseconds(ours),
        milliseconds(theirs)
    ));
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn say(line: &str) {
    // A reader that is gone needs no figures.
    let _ = writeln!(std::io::stdout(), "{line}");
}
