//! How a stage ends: the runner's two codes, the job's own code in its file, and the last line.

use std::{fs, io, panic, path::Path, process};

use crate::{
    call::Call,
    failure::{Class, Failure},
    paint,
};

/// Forgets the code of an earlier stage of the same attempt: the runner would report it again.
pub(crate) fn forget_job_code(call: &Call) -> Result<(), Failure> {
    let Some(path) = &call.build_exit_code_file else {
        return Ok(());
    };
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::system(error).during(&format!("cannot remove {}", path.display())))
        }
        _ => Ok(()),
    }
}

/// Turns a stage's result into the process's exit code, and writes the job's code for the runner.
pub(crate) fn code(call: &Call, result: &Result<(), Failure>) -> i32 {
    let Err(failure) = result else { return 0 };
    let (Class::Build, Some(code)) = (failure.class(), failure.code()) else {
        return call.system_failure;
    };
    let Some(path) = &call.build_exit_code_file else {
        return call.build_failure;
    };
    match write_job_code(path, code.number()) {
        Ok(()) => call.build_failure,
        Err(_) => call.system_failure,
    }
}

/// The failure as the job's log shows it; nothing when the log says it all already.
pub(crate) fn last_line(failure: &Failure) -> Option<String> {
    (!failure.is_silent()).then(|| paint::red(&format!("dockmaster: {failure}")) + "\n")
}

/// The number and a newline, nothing else; never 0, which the runner takes for no code at all.
fn write_job_code(path: &Path, code: i64) -> io::Result<()> {
    if code == 0 {
        return Err(io::Error::other("a failed job cannot have the exit code 0"));
    }
    fs::write(path, format!("{code}\n"))
}

/// Makes a panic end as the host's fault, in one line. The runner knows no other code (Rust's is 101).
pub(crate) fn catch_panics(system_failure: i32) {
    panic::set_hook(Box::new(move |info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let what = info.payload_as_str().unwrap_or("no message");
        let line = format!("dockmaster: this is a bug in dockmaster: {what} ({place})\n");
        // The standard streams may be gone: there is nobody left to tell then.
        let _ = io::Write::write_all(&mut io::stderr(), line.as_bytes());
        process::exit(system_failure);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::JobCode;

    fn call(folder: &Path) -> Call {
        Call {
            build_exit_code_file: Some(folder.join("build_exit_code")),
            build_failure: 1,
            system_failure: 2,
            ..Call::default()
        }
    }

    #[test]
    fn a_job_s_fault_is_one_and_its_code_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let call = call(folder.path());
        assert_eq!(code(&call, &Err(Failure::script(37))), 1);
        assert_eq!(
            fs::read_to_string(folder.path().join("build_exit_code")).unwrap(),
            "37\n"
        );
        let refused = Failure::build(JobCode::Refused, "no");
        assert_eq!(code(&call, &Err(refused)), 1);
        assert_eq!(
            fs::read_to_string(folder.path().join("build_exit_code")).unwrap(),
            "110\n"
        );
    }

    #[test]
    fn a_host_s_fault_is_two_and_leaves_the_file_alone() {
        let folder = tempfile::tempdir().unwrap();
        let call = call(folder.path());
        assert_eq!(code(&call, &Err(Failure::system("daemon down"))), 2);
        assert!(!folder.path().join("build_exit_code").exists());
        assert_eq!(code(&call, &Ok(())), 0);
    }

    #[test]
    fn the_code_of_an_earlier_stage_is_removed_not_truncated() {
        let folder = tempfile::tempdir().unwrap();
        let call = call(folder.path());
        fs::write(folder.path().join("build_exit_code"), "37\n").unwrap();
        forget_job_code(&call).unwrap();
        assert!(!folder.path().join("build_exit_code").exists());
        forget_job_code(&call).unwrap();
    }

    #[test]
    fn zero_is_never_written() {
        let folder = tempfile::tempdir().unwrap();
        let call = call(folder.path());
        assert_eq!(code(&call, &Err(Failure::script(0))), 2);
        assert!(!folder.path().join("build_exit_code").exists());
    }
}
