#!/usr/bin/env bash
# Question: one Host block says `User first` and, further down, `User second`. Which user
#   does the Rust crate ssh2-config answer?
# Guess: first. "The first value obtained is used" is the one rule of ssh_config that every
#   parser copies, and the crate does keep it between two blocks.
# What happens (ssh2-config 0.9.0, November 2026): second; inside a block the last line
#   wins, in strict mode as well. OpenSSH (9.2 here) answers first.
# Why it matters: a file that is put together by a script (a line in front of the old ones
#   to override them) sends a Rust tool to another user or port than `ssh`.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"; mkdir src
cat > Cargo.toml <<'M'
[package]
name = "probe"
version = "0.0.0"
edition = "2021"
[dependencies]
ssh2-config = "=0.9.0"
M
cat > src/main.rs <<'M'
use ssh2_config::{ParseRule, SshConfig};
fn main() {
    let mut file = std::io::BufReader::new(std::fs::File::open("config").unwrap());
    let config = SshConfig::default().parse(&mut file, ParseRule::STRICT).unwrap();
    for host in ["inside", "between"] {
        let p = config.query(host);
        println!("{host} {} {}", p.user.unwrap(), p.port.unwrap());
    }
}
M
cat > config <<'M'
Host inside
  User first
  Port 1001
  User second
  Port 1002
Host between
  User first
  Port 1001
Host between
  User second
  Port 1002
M
cargo run -q >seen 2>build.log || { tail -5 build.log; exit 1; }
for h in inside between; do
  echo "$h $(ssh -G -F config $h </dev/null 2>err | sed -n 's/^user //p; s/^port //p' | xargs)"
done > openssh
paste -d '|' openssh seen
printf 'inside first 1001\nbetween first 1001\n' | diff - openssh || { echo "changed: OpenSSH"; exit 1; }
printf 'inside second 1002\nbetween first 1001\n' | diff - seen || { echo "changed: ssh2-config"; exit 1; }
