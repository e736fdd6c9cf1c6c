//! What happens for each thing that can be typed. Knows the process: its environment, its exit code.

use std::path::Path;

use clap::{Parser, error::ErrorKind};

use crate::{
    admin,
    broker::client,
    call::Call,
    cli::{Cli, RolloutVerb, Verb},
    exit,
    failure::Failure,
    log::Log,
    sandbox::verb,
    stage::{self, Setting, Stage},
};

/// Reads the command line and carries it out; the process's exit code.
pub fn main() -> i32 {
    let call = Call::from_environ(std::env::vars_os());
    exit::catch_panics(call.system_failure);
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if let Some(code) = verb::hidden(&arguments) {
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
    let Cli { config, lane, verb } = cli;
    let stage = match verb {
        Verb::Config => Stage::Config,
        Verb::Prepare => Stage::Prepare,
        Verb::Run { script, phase } => Stage::Run { script, phase },
        Verb::Cleanup => Stage::Cleanup,
        Verb::Deploy { environment } => return deploy(environment.as_deref()),
        Verb::Rollout { verb } => return rollout(&config, &verb),
        Verb::Gc => return run_verb(admin::gc::gc(&config)),
    };
    let path = std::env::var("PATH").unwrap_or_default();
    let setting = lane.map(|lane| Setting {
        call: call.clone(),
        config,
        lane,
        path,
    });
    run_stage(&call, setting, stage)
}

/// Runs inside a deploy job, as the job.
fn deploy(environment: Option<&str>) -> i32 {
    let socket = std::env::var_os("DOCKMASTER_SOCKET");
    let socket = socket.as_deref().map(Path::new);
    client::deploy(socket, environment, &mut std::io::stdout())
}

/// For an admin: 0 good, 1 not as it should be, 3 could not look.
fn rollout(config: &Path, verb: &RolloutVerb) -> i32 {
    let result = match verb {
        RolloutVerb::Status { environment } => admin::rollout::status(config, environment),
        RolloutVerb::Recover { environment } => admin::rollout::recover(config, environment),
    };
    match result {
        Ok(code) => code,
        Err(failure) => {
            let line = format!("dockmaster: {failure}\n");
            let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
            admin::CANNOT_LOOK
        }
    }
}

fn run_stage(call: &Call, setting: Option<Setting>, stage: Stage) -> i32 {
    if let Err(failure) = exit::forget_job_code(call) {
        return tell_stderr(call, &failure);
    }
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return tell_stderr(call, &Failure::system(error)),
    };
    let code = runtime.block_on(async {
        // What config prints is parsed, and what cleanup prints is seen on standard error only.
        let log = match stage {
            Stage::Config | Stage::Cleanup => Log::stderr(),
            Stage::Prepare | Stage::Run { .. } => Log::stdout(),
        };
        let log = match log {
            Ok(log) => log,
            Err(error) => return tell_stderr(call, &Failure::system(error)),
        };
        let Some(setting) = setting else {
            let failure = Failure::system("--lane is missing")
                .hint("try: config_args = [\"--lane\", \"docker\", \"config\"] in the runner's config.toml");
            return finish(call, Err(failure), &log).await;
        };
        let result = stage::run(stage, setting, &log).await;
        finish(call, result, &log).await
    });
    // A thread that still reads or writes must not keep the runner waiting.
    runtime.shutdown_background();
    code
}

/// Carries an admin's verb out: 0 good, 1 when it could not be completed.
fn run_verb(verb: impl Future<Output = Result<String, Failure>>) -> i32 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = runtime
        .map_err(Failure::system)
        .and_then(|runtime| runtime.block_on(verb));
    match result {
        Ok(text) => {
            let _ = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
            0
        }
        Err(failure) => {
            tell_stderr(&Call::default(), &failure);
            1
        }
    }
}

async fn finish(call: &Call, result: Result<(), Failure>, log: &Log) -> i32 {
    if let Some(line) = result.as_ref().err().and_then(exit::last_line) {
        log.write(line.as_bytes()).await;
    }
    exit::code(call, &result)
}

fn tell_stderr(call: &Call, failure: &Failure) -> i32 {
    if let Some(line) = exit::last_line(failure) {
        let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
    }
    call.system_failure
}

/// The operator's log, on standard error, off unless `DOCKMASTER_LOG` asks for it.
fn start_tracing() {
    let Ok(filter) = std::env::var("DOCKMASTER_LOG") else {
        return;
    };
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .init();
}
