//! Kills runner, driver, gate and client at random moments of jobs that use Docker, several at once, and counts what
//! is left after cleanup or `gc`. The seed is printed, and gives the same victims and moments again.

mod left;

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use crate::doomed::DoomedRunner;
use crate::spec;
use crate::workshop::Workshop;

/// So many jobs at once: what `gc` finds beside a dead job must be left alone.
const LANES: usize = 3;
/// How long a driver may take to notice that its runner is gone, and to end.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long a job goes on without its client.
const AFTERWARDS: Duration = Duration::from_millis(300);

/// Makes one of everything that a job can make, and names and pushes some of it: all jobs under one name.
const SCRIPT: &str = "
mkdir -p /builds/here; cd /builds/here
docker volume create data
docker network create net
docker tag alpine:latest soak-made:1
printf 'FROM alpine:latest\\nRUN echo a >/a\\nRUN sleep 0.2; cat /proc/sys/kernel/random/uuid >/b\\n' >Dockerfile
docker run -d -v data:/data -v $PWD:/here --network net --name one alpine:latest sleep 1000
docker build -t $CI_REGISTRY/test/soak:1 .
docker push $CI_REGISTRY/test/soak:1
DOCKER_BUILDKIT=1 docker build -t soak-built:1 .
docker run -d soak-built:1 sleep 1000
docker exec one true
docker pull $CI_REGISTRY/test/soak:1
echo all is made
";

/// Who is killed, and who cleans up then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    /// Runner and driver at once; `gc` cleans up.
    Both,
    /// The runner; the driver notices and ends; `gc` cleans up.
    Runner,
    /// The driver, with its gate if there is one; the runner calls cleanup.
    Driver,
    /// Docker's clients in the job; the job goes on and is cancelled; the runner calls cleanup.
    Client,
}

const VICTIMS: [(Victim, &str); 4] = [
    (Victim::Both, "runner and driver, then gc"),
    (Victim::Runner, "runner, then gc"),
    (Victim::Driver, "driver, then cleanup"),
    (Victim::Client, "client, then cancel and cleanup"),
];

/// What happened to the jobs of one kind of victim.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    times: usize,
    /// The gate was open at the moment of the kill.
    gates: usize,
    left: usize,
}

/// What jobs are killed in.
struct Soak(Workshop);

/// `soak DOCKMASTER KILLS [SEED]`
pub fn main(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    match run(&mut arguments) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("soak: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// How much was left.
fn run(arguments: &mut impl Iterator<Item = String>) -> Result<usize> {
    let usage = "usage: soak DOCKMASTER KILLS [SEED]";
    let dockmaster = arguments.next().context(usage)?;
    let kills: usize = arguments.next().context(usage)?.parse().context(usage)?;
    let seed: u64 = match arguments.next() {
        Some(text) => text.parse().context(usage)?,
        None => u64::from(std::process::id()),
    };
    let soak = Soak(Workshop::open(Path::new(&dockmaster))?);
    let latest = soak.whole_job()?;
    say(&format!(
        "{kills} kills, seed {seed}, {LANES} jobs at once, each killed within {latest:.1?}"
    ));
    let counts = soak.kills(kills, seed.max(1), latest)?;
    let left = left::look(&soak.0.installation, &soak.0.registry)?;
    say(
        "\n| killed, and who cleaned up | times | with an open gate | something left |\n|---|---|---|---|",
    );
    for ((_, name), count) in VICTIMS.iter().zip(&counts) {
        say(&format!(
            "| {name} | {} | {} | {} |",
            count.times, count.gates, count.left
        ));
    }
    for (what, found) in &left {
        say(&format!("| at the end: {what} | | | {} |", found.len()));
    }
    let of_jobs: usize = counts.iter().map(|count| count.left).sum();
    let in_the_end: usize = left.iter().map(|(_, found)| found.len()).sum();
    for found in left.iter().flat_map(|(_, found)| found) {
        say(&format!("left: {found}"));
    }
    Ok(of_jobs + in_the_end)
}

impl Soak {
    /// How long a job takes here that nobody kills, beside others.
    fn whole_job(&self) -> Result<Duration> {
        let one = || -> Result<Duration> {
            let began = Instant::now();
            let mut runner = self.job(&format!("set -e\n{SCRIPT}"))?;
            let done = runner.wait_for("all is made");
            let took = began.elapsed();
            runner.cancel()?;
            done.context("a job that nobody kills does not come to its end")?;
            Ok(took)
        };
        // The first one also makes the helper.
        one()?;
        thread::scope(|scope| {
            let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(one)).collect();
            let times = lanes.into_iter().map(joined);
            let times: Result<Vec<_>> = times.collect();
            times?.into_iter().max().context("no job")
        })
    }

    fn job(&self, script: &str) -> Result<DoomedRunner> {
        DoomedRunner::start(&self.0.installation, spec::next_id(), script)
    }

    /// Kills that many jobs, some at once.
    fn kills(&self, kills: usize, seed: u64, latest: Duration) -> Result<[Count; VICTIMS.len()]> {
        let state = Mutex::new((Dice(seed), 0, [Count::default(); VICTIMS.len()]));
        let lane = || -> Result<()> {
            loop {
                let (number, index, moment) = {
                    let (dice, next, _) =
                        &mut *state.lock().unwrap_or_else(PoisonError::into_inner);
                    if *next == kills {
                        return Ok(());
                    }
                    *next += 1;
                    let index = usize::try_from(dice.below(VICTIMS.len() as u64))?;
                    let moment = dice.below(u64::try_from(latest.as_millis())?);
                    (*next, index, Duration::from_millis(moment))
                };
                let (had_gate, left) = self
                    .kill(VICTIMS[index].0, moment)
                    .with_context(|| format!("kill {number}, {}", VICTIMS[index].1))?;
                let (_, _, counts) = &mut *state.lock().unwrap_or_else(PoisonError::into_inner);
                counts[index].times += 1;
                counts[index].gates += usize::from(had_gate);
                if !left.is_empty() {
                    counts[index].left += 1;
                    let who = VICTIMS[index].1;
                    say(&format!(
                        "kill {number}: {who}, after {moment:?}: left {left:?}"
                    ));
                }
                let done: usize = counts.iter().map(|count| count.times).sum();
                if done.is_multiple_of(100) {
                    say(&format!("{done} kills"));
                }
            }
        };
        thread::scope(|scope| {
            let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(lane)).collect();
            lanes.into_iter().try_for_each(joined)
        })?;
        let (_, _, counts) = state.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(counts)
    }

    /// One job, one kill: whether a gate was open, and what is left after whoever cleans up then.
    fn kill(&self, victim: Victim, moment: Duration) -> Result<(bool, Vec<String>)> {
        let mut runner = self.job(SCRIPT)?;
        sleep(moment);
        let had_gate = runner.has_gate(&self.0.installation);
        let was_noted = runner.has_note(&self.0.installation);
        match victim {
            Victim::Driver => runner.kill_driver()?,
            Victim::Client => {
                runner.kill_clients()?;
                sleep(AFTERWARDS);
                runner.cancel()?;
            }
            Victim::Both => {
                runner.kill_everything()?;
                self.collect()?;
            }
            Victim::Runner => {
                runner.kill_runner()?;
                let deadline = Instant::now() + PATIENCE;
                while runner.has_driver() {
                    ensure!(Instant::now() < deadline, "a driver outlives its runner");
                    sleep(Duration::from_millis(50));
                }
                self.collect()?;
            }
        }
        let mut left = runner.left(&self.0.installation)?;
        if !was_noted {
            // Killed before a driver could write down which folder is the runner's.
            left.remove(&runner.temporary().display().to_string());
        }
        Ok((had_gate, left.into_iter().collect()))
    }

    /// `gc` as its timer calls it: what the engine was still making is found by the second call.
    fn collect(&self) -> Result<()> {
        for pause in [Duration::ZERO, Duration::from_secs(1)] {
            sleep(pause);
            let output = self.0.installation.command(&["gc"]).output()?;
            if !output.status.success() {
                bail!("gc: {}", String::from_utf8_lossy(&output.stderr));
            }
        }
        Ok(())
    }
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow!("a lane has panicked"))?
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
