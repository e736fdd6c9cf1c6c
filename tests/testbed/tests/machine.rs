//! A testbed that is ended, kindly or not, leaves nothing that the next one does not remove.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use testbed::background::wait_until;
use testbed::command::docker_lines;
use testbed::machine::{LABEL, Machine, reap};
use testbed::network::Network;
use testbed::registry::Registry;
use testbed::trial::NoFixture;

testbed::tests![
    NoFixture; [Testbed];
    a_testbed_told_to_end_removes_everything,
    a_killed_testbed_is_swept_by_the_next,
];

/// The argument that makes this program the child.
pub(crate) const CHILD: &str = "--child";

/// What the tests start in a process that they then end.
pub(crate) fn child() -> ! {
    let machine = Machine::start().unwrap();
    let network = Network::create().unwrap();
    let registry = Registry::start(&machine, network.gateway).unwrap();
    let mut stdout = std::io::stdout();
    writeln!(stdout, "\nregistry {}", registry.host).unwrap();
    stdout.flush().unwrap();
    loop {
        std::thread::park();
    }
}

/// The child and its registry's address.
fn start_child() -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg(CHILD)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let mut lines = stdout.lines().map_while(Result::ok);
    let line = lines.find_map(|line| line.strip_prefix("registry ").map(str::to_owned));
    (child, line.unwrap())
}

fn end(child: &mut Child, signal: &str) -> Option<i32> {
    testbed::command::run("kill", &[signal, &child.id().to_string()]).unwrap();
    child.wait().unwrap().code()
}

fn networks(process: u32) -> Vec<String> {
    docker_lines(&[
        "network",
        "ls",
        "-q",
        "--filter",
        &format!("label={LABEL}={process}"),
    ])
}

fn assert_nothing_left(process: u32, registry: &str) {
    assert!(networks(process).is_empty());
    assert!(
        !std::path::Path::new("/etc/docker/certs.d")
            .join(registry)
            .exists()
    );
    let root = std::env::temp_dir().join(format!("dockmaster-testbed-{process}"));
    assert!(!root.exists());
    let address = registry.parse().unwrap();
    let gone = || Ok(!testbed::serve::accepts(address));
    wait_until("the registry's end", Duration::from_secs(5), gone).unwrap();
}

fn a_testbed_told_to_end_removes_everything(_: &NoFixture) {
    let (mut child, registry) = start_child();
    assert_eq!(networks(child.id()).len(), 1);
    assert_eq!(end(&mut child, "-TERM"), Some(143));
    assert_nothing_left(child.id(), &registry);
}

fn a_killed_testbed_is_swept_by_the_next(_: &NoFixture) {
    let (mut child, registry) = start_child();
    assert_eq!(end(&mut child, "-KILL"), None);
    assert_eq!(networks(child.id()).len(), 1);
    reap();
    assert_nothing_left(child.id(), &registry);
}
