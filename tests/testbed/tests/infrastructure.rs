//! Boots everything once and shows that each part is what it claims to be.

use std::io::Write;
use std::time::Instant;

use testbed::infrastructure::Infrastructure;

#[test]
fn everything_boots_and_is_gone_at_drop() {
    let start = Instant::now();
    let tell = |step: &str| {
        let _ = writeln!(std::io::stderr(), "{:>6.2?} {step}", start.elapsed());
    };
    let infrastructure = Infrastructure::boot_telling(&tell).unwrap();
    tell("booted");
    for host in &infrastructure.fleet.hosts {
        assert_eq!(host.version().unwrap(), "0.9.0");
        assert!(
            infrastructure
                .fleet
                .ssh(host, "docker ps")
                .unwrap()
                .contains("v0.9.0")
        );
    }
    tell("dropping");
    drop(infrastructure);
    tell("gone");
}
