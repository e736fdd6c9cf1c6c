#!/usr/bin/env bash
# Question: on which day does the Rust crate `cron` fire for a 1 in the weekday field?
# Guess: Monday, as crontab(5), GitLab schedules, Python's croniter and the other Rust
#   crate, croner, have it (0 and 7 are Sunday).
# What happens (cron 0.17.0, croner 4.0.3, November 2026): Sunday. 1 to 7 are Sunday to
#   Saturday, so `1-5` is Sunday to Thursday, 7 is Saturday, and 0 is refused.
# Why it matters: a line taken over from a crontab runs a day early, every week: the job
#   that must not run on Sunday does, and the Friday release does not happen on Friday.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"; mkdir src
cat > Cargo.toml <<'M'
[package]
name = "probe"
version = "0.0.0"
edition = "2021"
[dependencies]
cron = "=0.17.0"
croner = "=4.0.3"
chrono = "=0.4.42"
M
cat > src/main.rs <<'M'
use chrono::{TimeZone, Utc};
use std::str::FromStr;
fn main() {
    let saturday = Utc.with_ymd_and_hms(2026, 10, 31, 12, 0, 0).unwrap();
    for day in ["1", "5", "7", "0", "1-5", "Mon"] {
        let a = match cron::Schedule::from_str(&format!("0 0 0 * * {day}")) {
            Ok(s) => s.after(&saturday).take(5).map(|t| t.format("%a").to_string()).collect(),
            Err(_) => vec!["refused".to_string()],
        };
        let c = croner::Cron::from_str(&format!("0 0 * * {day}")).unwrap();
        let b: Vec<_> = c.iter_from(saturday, croner::Direction::Forward).take(5)
            .map(|t| t.format("%a").to_string()).collect();
        let short = |mut v: Vec<String>| { v.dedup(); v.join(",") };
        println!("{day}: cron {} croner {}", short(a), short(b));
    }
}
M
cargo run -q >seen 2>build.log || { tail -5 build.log; exit 1; }
cat seen
diff - seen <<'M' || { echo "changed: how weekdays are counted"; exit 1; }
1: cron Sun croner Mon
5: cron Thu croner Fri
7: cron Sat croner Sun
0: cron refused croner Sun
1-5: cron Sun,Mon,Tue,Wed,Thu croner Mon,Tue,Wed,Thu,Fri
Mon: cron Mon croner Mon
M
