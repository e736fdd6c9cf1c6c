//! Kills runner, driver or both at random moments of jobs that use Docker, and counts what is left after
//! cleanup or `gc`. The seed is printed, and gives the same moments again.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::command::DOCKER;
use crate::doomed::DoomedRunner;
use crate::image;
use crate::installation::Installation;
use crate::machine::Machine;
use crate::spec;

/// The latest moment of a kill: the job's own part begins after half a second.
const LATEST: Duration = Duration::from_secs(3);
/// How long a driver may take to notice that its runner is gone, and to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes one of everything that a job can make.
const SCRIPT: &str = "
docker volume create data
docker network create net
docker tag alpine:latest made:1
printf 'FROM alpine:latest\\nRUN echo a >/a\\nRUN sleep 0.2\\nRUN echo b >/b\\n' >Dockerfile
docker run -d -v data:/data -v $PWD:/here --network net --name one alpine:latest sleep 1000
docker build -t built:1 .
docker run -d built:1 sleep 1000
docker exec one true
sleep 1000
";

/// Who is killed, and who cleans up then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    /// Runner and driver at once; `gc` cleans up.
    Both,
    /// The runner; the driver notices and ends; `gc` cleans up.
    Runner,
    /// The driver; the runner calls cleanup.
    Driver,
}

const VICTIMS: [Victim; 3] = [Victim::Both, Victim::Runner, Victim::Driver];

/// `soak DOCKMASTER KILLS [SEED]`
pub fn main(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    let result = run(&mut arguments);
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("soak: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// The number of kills after which something was left.
fn run(arguments: &mut impl Iterator<Item = String>) -> Result<usize> {
    let usage = "usage: soak DOCKMASTER KILLS [SEED]";
    let dockmaster = arguments.next().context(usage)?;
    let kills: usize = arguments.next().context(usage)?.parse().context(usage)?;
    let seed: u64 = match arguments.next() {
        Some(text) => text.parse().context(usage)?,
        None => u64::from(std::process::id()),
    };
    let machine = Machine::start()?;
    image::prepare(&machine)?;
    let installation = Installation::new(Path::new(&dockmaster))?;
    say(&format!("{kills} kills, seed {seed}"));
    let mut dice = Dice(seed.max(1));
    let mut counts = [(0, 0); VICTIMS.len()];
    for number in 0..kills {
        let which = dice.below(VICTIMS.len() as u64);
        let index = usize::try_from(which)?;
        let moment = Duration::from_millis(dice.below(LATEST.as_millis().try_into()?));
        let left = kill(&installation, VICTIMS[index], moment)?;
        counts[index].0 += 1;
        if !left.is_empty() {
            counts[index].1 += 1;
            say(&format!(
                "kill {number}: {:?} after {moment:?} left {left:?}",
                VICTIMS[index]
            ));
        }
    }
    let images = private_images()?;
    say("\n| killed | times | times with something left |\n|---|---|---|");
    for (victim, (times, failed)) in VICTIMS.iter().zip(counts) {
        say(&format!("| {victim:?} | {times} | {failed} |"));
    }
    say(&format!(
        "| images of jobs left at the end | | {} |",
        images.len()
    ));
    Ok(counts.iter().map(|(_, failed)| failed).sum::<usize>() + images.len())
}

/// One job, one kill; what is left after whoever cleans up then.
fn kill(installation: &Installation, victim: Victim, moment: Duration) -> Result<Vec<String>> {
    let job = spec::next_id();
    let mut runner = DoomedRunner::start(installation, job, SCRIPT)?;
    sleep(moment);
    match victim {
        Victim::Driver => runner.kill_driver(installation)?,
        Victim::Both => {
            runner.kill_everything()?;
            collect(installation)?;
        }
        Victim::Runner => {
            runner.kill_runner()?;
            let deadline = Instant::now() + PATIENCE;
            while !installation.processes().is_empty() {
                if Instant::now() > deadline {
                    bail!("a driver outlives its runner");
                }
                sleep(Duration::from_millis(50));
            }
            collect(installation)?;
        }
    }
    Ok(runner.left(installation)?.into_iter().collect())
}

/// `gc` as its timer calls it: what the engine was still making is found by the second call.
fn collect(installation: &Installation) -> Result<()> {
    for pause in [Duration::ZERO, Duration::from_secs(1)] {
        sleep(pause);
        let output = installation.command(&["gc"]).output()?;
        if !output.status.success() {
            bail!("gc: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    Ok(())
}

/// The names that jobs gave to images, as the engine has them.
fn private_images() -> Result<Vec<String>> {
    let output = Command::new(DOCKER)
        .args(["images", "--format", "{{.Repository}}:{{.Tag}}"])
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let is_job_s = |line: &&str| {
        line.starts_with("made:")
            || line.starts_with("built:")
            || line.contains("/made:")
            || line.contains("/built:")
    };
    Ok(text.lines().filter(is_job_s).map(str::to_owned).collect())
}

/// Random numbers that come again for the same seed (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn say(line: &str) {
    // A closed stream leaves nobody to tell.
    let _ = writeln!(io::stdout(), "{line}");
}
