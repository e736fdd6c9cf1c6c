//! The demo: boots the company, ships two releases while a client keeps asking, says what happened.

mod screen;
mod weights;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::application::Application;
use crate::client::{Client, Totals};
use crate::company::Company;
use crate::gitlab::{Event, PipelineOutcome, Status};
use crate::infrastructure::{Infrastructure, REPOSITORY};
use crate::runner::Runner;
use screen::Screen;
use weights::Weights;

const VERSIONS: [&str; 2] = ["1.0.0", "1.1.0"];
const REQUESTS_A_SECOND: u32 = 50;

/// `demo --dockmaster PATH [--keep]`.
pub fn main(arguments: impl Iterator<Item = String>) -> ExitCode {
    let screen = Arc::new(Screen::new());
    match run(&arguments.collect::<Vec<_>>(), &screen) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            screen.failure(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String], screen: &Arc<Screen>) -> Result<bool> {
    let is_kept = arguments.iter().any(|one| one == "--keep");
    let dockmaster = arguments
        .iter()
        .skip_while(|one| *one != "--dockmaster")
        .nth(1);
    let dockmaster = PathBuf::from(dockmaster.context("--dockmaster PATH is missing")?);
    let start = Instant::now();
    screen.heading("A company's code server, registry, load balancer and three production hosts");
    let infrastructure = Arc::new(Infrastructure::boot_telling(&|what| screen.step(what))?);
    screen.step("GitLab, and dockmaster on the code server");
    let company = Company::found(&dockmaster, infrastructure)?;
    let runner = company.runner()?;
    let stopped = runner.clone();
    company.infrastructure.machine.before_signal_sweep(move || {
        stopped.shut_down(Duration::from_mins(2));
    });
    let balancer = &company.infrastructure.balancer;
    screen.step(&format!(
        "{REQUESTS_A_SECOND} requests a second to http://{}/",
        balancer.address
    ));
    let background = company.infrastructure.machine.background();
    let client = Client::start(background, balancer.address, REQUESTS_A_SECOND);
    let mut outcomes = Vec::new();
    for version in VERSIONS {
        let tag = format!("v{version}");
        company.release(&Application::new(version), &tag)?;
        let (outcome, duration) = ship((&company, &runner), &tag, screen)?;
        let is_passed = outcome.is_passed();
        outcomes.push((tag, outcome, duration));
        if !is_passed {
            break;
        }
    }
    let totals = client.stop();
    let is_good = result(&company, &outcomes, &totals, screen)?;
    screen.line(&format!(
        "\n  All of this took {} s.",
        start.elapsed().as_secs()
    ));
    if is_kept {
        keep((&company, &runner), screen)?;
    }
    screen.step("Removing everything again");
    Ok(is_good)
}

/// Runs the pipeline of a tag and shows every line of it.
fn ship(
    (company, runner): (&Company, &Runner),
    tag: &str,
    screen: &Arc<Screen>,
) -> Result<(PipelineOutcome, Duration)> {
    screen.heading(&format!("git tag {tag} && git push --tags"));
    let start = Instant::now();
    let weights = Weights::follow(&company.infrastructure.balancer);
    let shown = screen.clone();
    let running = company
        .pipeline(tag)?
        .start_watched(runner, move |event| match event {
            Event::Started { job, stage } => shown.job(job, &format!("stage {stage}, begins")),
            Event::Line { job, line } => shown.log(job, line),
            Event::Ended { job, status, after } => {
                shown.end(
                    job,
                    *status == Status::Success,
                    &format!("{status:?}"),
                    *after,
                );
            }
        });
    while !running.is_finished() {
        weights.show_changes(&company.infrastructure.balancer, screen);
        std::thread::sleep(Duration::from_millis(100));
    }
    weights.show_changes(&company.infrastructure.balancer, screen);
    Ok((running.wait()?, start.elapsed()))
}

fn result(
    company: &Company,
    outcomes: &[(String, PipelineOutcome, Duration)],
    totals: &Totals,
    screen: &Screen,
) -> Result<bool> {
    screen.heading("What happened");
    let mut is_good = true;
    for (tag, outcome, duration) in outcomes {
        let word = if outcome.is_passed() {
            "passed"
        } else {
            "FAILED"
        };
        let jobs: Vec<String> = outcome
            .jobs
            .iter()
            .map(|job| format!("{} {:?}", job.name, job.status))
            .collect();
        let seconds = duration.as_secs_f32();
        is_good &= outcome.is_passed();
        let line = format!(
            "pipeline {tag} {word} in {seconds:.1} s  ({})",
            jobs.join(", ")
        );
        screen.verdict(outcome.is_passed(), &line);
    }
    let answers: Vec<String> = totals
        .versions
        .iter()
        .map(|(version, count)| format!("{count} by {version}"))
        .collect();
    let line = format!(
        "{} requests, {} failed; answered {}; the slowest took {} ms",
        totals.requests,
        totals.failed,
        answers.join(", "),
        totals.slowest.as_millis()
    );
    screen.verdict(totals.failed == 0 && totals.requests > 0, &line);
    if let Some(why) = &totals.first_failure {
        screen.failure(&format!("the first that failed: {why}"));
    }
    is_good &= totals.failed == 0 && totals.requests > 0 && outcomes.len() == VERSIONS.len();
    Ok(hosts(company, outcomes, screen)? && is_good)
}

/// Whether every host runs exactly what the last pipeline pushed, and has its weight back.
fn hosts(
    company: &Company,
    outcomes: &[(String, PipelineOutcome, Duration)],
    screen: &Screen,
) -> Result<bool> {
    let Some((tag, ..)) = outcomes.last() else {
        bail!("no pipeline ran")
    };
    let parts = &company.infrastructure;
    let pushed = parts.registry.digest(REPOSITORY, tag);
    let weights = parts.balancer.weights();
    let mut is_good = pushed.is_some();
    for host in &parts.fleet.hosts {
        let running = host.running_digest()?;
        let is_same = running.is_some() && running == pushed;
        let digest = running.unwrap_or_else(|| "nothing".to_owned());
        let weight = weights.get(&host.name).copied().unwrap_or_default();
        let version = host.version().unwrap_or_else(|_| "no answer".to_owned());
        let line = format!("{}  {version}  {digest}  weight {weight}", host.name);
        screen.verdict(is_same && weight > 0, &line);
        is_good &= is_same && weight > 0;
    }
    Ok(is_good)
}

/// Leaves everything running, and runs the pipeline of every tag that is pushed meanwhile.
fn keep((company, runner): (&Company, &Runner), screen: &Arc<Screen>) -> Result<()> {
    let parts = &company.infrastructure;
    let tree = company.project.work_tree().display();
    let (binary, config) = (company.installation.binary(), company.installation.config());
    let (binary, config) = (binary.display(), config.display());
    screen.heading("Everything keeps running");
    for line in [
        format!(
            "ask the service      curl http://{}/",
            parts.balancer.address
        ),
        format!("the rollout's state  {binary} --config {config} rollout status production"),
        format!(
            "configuration        {}",
            company.installation.root().join("etc").display()
        ),
        "the hosts            docker ps --filter name=app-, docker exec -it NAME sh".to_owned(),
        format!("a release of yours   cd {tree}"),
        "                     edit, git commit -am …, git tag v1.2.0, git push --tags".to_owned(),
        "an end to it         Ctrl-C here, or scripts/demo --stop".to_owned(),
    ] {
        screen.line(&format!("  {line}"));
    }
    let mut known = company.project.tags()?;
    loop {
        std::thread::sleep(Duration::from_millis(500));
        for tag in company.project.tags()? {
            if known.contains(&tag) {
                continue;
            }
            match ship((company, runner), &tag, screen) {
                Ok((outcome, _)) if outcome.is_passed() => screen.verdict(true, "pipeline passed"),
                Ok(_) => screen.verdict(false, "pipeline failed"),
                Err(error) => screen.failure(&format!("{error:#}")),
            }
            known.insert(tag);
        }
    }
}
