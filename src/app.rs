//! What happens for each thing that can be typed. Knows the process: its environment, its exit code.

use std::{
    ffi::{OsStr, OsString},
    io::{self, Write},
    path::{self, Path, PathBuf},
};

use clap::{Parser, error::ErrorKind};
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    admin::{self, gc::Swept, ledger::Filter},
    broker::{self, client},
    call::Call,
    cli::{Cli, FirewallVerb, LedgerArguments, LedgerVerb, RolloutVerb, Verb},
    exit,
    failure::Failure,
    log::Log,
    sandbox,
    stage::{self, Setting, Stage},
};

/// What an admin's verb ends with when it could not be completed.
const INCOMPLETE: i32 = 1;
/// And when it could not even look.
const CANNOT_LOOK: i32 = 3;

/// Reads the command line and carries it out; the process's exit code.
pub fn main() -> i32 {
    let call = Call::from_environ(std::env::vars_os());
    exit::catch_panics(call.system_failure);
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if let Some(code) = own_verb(&arguments) {
        return code;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let is_help = matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            );
            // A closed stream leaves nobody to tell.
            let _ = error.print();
            return if is_help { 0 } else { call.system_failure };
        }
    };
    start_tracing();
    carry_out(cli, call)
}

/// Runs the hidden verb that `arguments` begin with, if they do; its exit code.
fn own_verb(arguments: &[OsString]) -> Option<i32> {
    let verb = arguments.first()?.to_str()?;
    let rest: Vec<&OsStr> = arguments[1..].iter().map(OsString::as_os_str).collect();
    if verb == "broker" && rest.is_empty() {
        return Some(broker::main());
    }
    sandbox::own_verb(verb, &rest)
}

fn carry_out(cli: Cli, call: Call) -> i32 {
    let Cli { config, lane, verb } = cli;
    // The broker works in another folder.
    let config = path::absolute(&config).unwrap_or(config);
    let stage = match verb {
        Verb::Config => Stage::Config,
        Verb::Prepare => Stage::Prepare,
        Verb::Run { script, phase } => Stage::Run { script, phase },
        Verb::Cleanup => Stage::Cleanup,
        Verb::Deploy { environment } => return deploy(environment.as_deref()),
        Verb::Rollout { verb } => {
            return block_on(rollout(&config, &verb)).unwrap_or_else(|failure| {
                tell(&failure);
                CANNOT_LOOK
            });
        }
        Verb::Ledger(arguments) => {
            return ledger(&config, arguments).unwrap_or_else(|failure| {
                tell(&failure);
                CANNOT_LOOK
            });
        }
        Verb::Gc => {
            return block_on(gc(&config)).unwrap_or_else(|failure| {
                tell(&failure);
                INCOMPLETE
            });
        }
        Verb::Firewall { verb } => {
            return block_on(firewall(&config, &verb)).unwrap_or_else(|failure| {
                tell(&failure);
                CANNOT_LOOK
            });
        }
    };
    let system_failure = call.system_failure;
    block_on(run_stage(call, config, lane, stage)).unwrap_or_else(|failure| {
        tell(&failure);
        system_failure
    })
}

/// Runs inside a deploy job, as the job.
fn deploy(environment: Option<&str>) -> i32 {
    let socket = std::env::var_os("DOCKMASTER_SOCKET");
    let socket = socket.as_deref().map(Path::new);
    // Where `artifacts: paths:` looks.
    let folder = std::env::var_os("CI_PROJECT_DIR").map_or_else(|| ".".into(), PathBuf::from);
    client::deploy((socket, &folder), environment, &mut io::stdout())
}

/// 0 good, 1 not as it should be.
async fn rollout(config: &Path, verb: &RolloutVerb) -> Result<i32, Failure> {
    let program = program()?;
    match verb {
        RolloutVerb::Status { environment } => {
            admin::rollout::status(&program, config, environment).await
        }
        RolloutVerb::History { environment, json } => {
            admin::rollout::history(&program, config, environment, *json).await
        }
        RolloutVerb::Report {
            environment,
            run,
            output,
        } => {
            let asked = (run.as_deref(), output.as_path());
            admin::rollout::report(&program, config, environment, asked).await
        }
        RolloutVerb::Rollback {
            environment,
            version,
        } => {
            let by = typist();
            let asked = (version.as_deref(), by.as_deref());
            admin::rollout::roll_back(&program, config, environment, asked).await
        }
        RolloutVerb::Recover {
            environment: Some(environment),
        } => admin::rollout::recover(&program, config, environment).await,
        RolloutVerb::Recover { environment: None } => {
            admin::rollout::recover_all(&program, config).await
        }
    }
}

/// The account that root's rights were given to, for the record.
fn typist() -> Option<String> {
    let name = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER"));
    name.ok().filter(|name| !name.is_empty())
}

/// 0 good, 1 not as it was written.
fn ledger(config: &Path, arguments: LedgerArguments) -> Result<i32, Failure> {
    let (text, is_whole) = match arguments.verb {
        Some(LedgerVerb::Verify { project }) => admin::ledger::verify(config, project)?,
        None => {
            let filter = Filter {
                project: arguments.project,
                commit: arguments.commit,
                image: arguments.image,
            };
            (admin::ledger::list(config, &filter, arguments.json)?, true)
        }
    };
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(if is_whole { 0 } else { INCOMPLETE })
}

async fn gc(config: &Path) -> Result<i32, Failure> {
    let Swept { text, failures } = admin::gc::gc(&program()?, config).await?;
    let _ = io::stdout().write_all(text.as_bytes());
    failures.iter().for_each(tell);
    Ok(if failures.is_empty() { 0 } else { INCOMPLETE })
}

/// 0 good, 1 the check found something.
async fn firewall(config: &Path, verb: &FirewallVerb) -> Result<i32, Failure> {
    let told = match verb {
        FirewallVerb::Plan => admin::firewall::plan(config),
        FirewallVerb::Apply => admin::firewall::apply(config).await,
        FirewallVerb::Check => admin::firewall::check(config).await,
        FirewallVerb::Remove => admin::firewall::remove().await,
    }?;
    let _ = io::stdout().write_all(told.text.as_bytes());
    Ok(if told.is_good { 0 } else { INCOMPLETE })
}

async fn run_stage(
    call: Call,
    config: PathBuf,
    lane: Option<String>,
    stage: Stage,
) -> Result<i32, Failure> {
    exit::forget_job_code(&call)?;
    // What config prints is parsed, and what cleanup prints is seen on standard error only.
    let log = match stage {
        Stage::Config | Stage::Cleanup => Log::stderr(),
        Stage::Prepare | Stage::Run { .. } => Log::stdout(),
    };
    let log = log.map_err(Failure::system)?;
    let lane = lane.ok_or_else(|| {
        Failure::system("--lane is missing").hint(
            "try: config_args = [\"--lane\", \"docker\", \"config\"] in the runner's config.toml",
        )
    });
    let result = match (lane, program()) {
        (Ok(lane), Ok(program)) => {
            let setting = Setting {
                call: call.clone(),
                config,
                lane,
                path: std::env::var("PATH").unwrap_or_default(),
                program,
            };
            stage::run(stage, setting, &log).await
        }
        (Err(failure), _) | (_, Err(failure)) => Err(failure),
    };
    if let Some(line) = result.as_ref().err().and_then(exit::last_line) {
        log.write(line.as_bytes()).await;
    }
    Ok(exit::code(&call, &result))
}

/// The dockmaster executable.
fn program() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::system(error).during("cannot find the own executable"))
}

/// The one runtime of the process.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::system(error).during("cannot start"))?;
    let result = runtime.block_on(work);
    // A thread that still reads or writes must not keep the runner waiting.
    runtime.shutdown_background();
    result
}

/// Prints a failure that no job's log can take.
fn tell(failure: &Failure) {
    if let Some(line) = exit::last_line(failure) {
        let _ = io::stderr().write_all(line.as_bytes());
    }
}

/// The operator's log, on standard error, off unless `DOCKMASTER_LOG` asks for it.
fn start_tracing() {
    let Ok(filter) = std::env::var("DOCKMASTER_LOG") else {
        return;
    };
    match filter.parse::<Targets>() {
        Ok(targets) => tracing_subscriber::registry()
            .with(fmt::layer().with_writer(io::stderr))
            .with(targets)
            .init(),
        Err(error) => {
            let line = format!("DOCKMASTER_LOG: {error}\n");
            let _ = io::stderr().write_all(line.as_bytes());
        }
    }
}
