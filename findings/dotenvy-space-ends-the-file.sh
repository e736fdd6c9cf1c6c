#!/usr/bin/env bash
# Question: a .env file has `JAVA_OPTS=-Xms1g -Xmx2g`, without quotes, between two other
#   lines. What does Rust's dotenvy set?
# Guess: the whole value, as python-dotenv and npm's dotenv do, and the engine's --env-file.
# What happens (dotenvy 0.15.7, python-dotenv 1.2.4, dotenv 18.0.10, November 2026): the line
#   is an error, and reading ends there: the line before is set, the line after is not.
# Why it matters: `dotenvy::dotenv().ok()`, the usual call, throws the error away: the
#   program starts with half of its settings, and which half depends on the order of lines.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"; mkdir src
python3 -m pip install -q --target py python-dotenv==1.2.4 2>pip.log || { cat pip.log; exit 1; }
npm install --silent --no-audit --no-fund --prefix . dotenv@18.0.10 >npm.log 2>&1 || { cat npm.log; exit 1; }
printf 'PROBE_A=before\nPROBE_B=-Xms1g -Xmx2g\nPROBE_C=after\n' > settings.env
cat > Cargo.toml <<'M'
[package]
name = "probe"
version = "0.0.0"
edition = "2021"
[dependencies]
dotenvy = "=0.15.7"
M
cat > src/main.rs <<'M'
fn main() {
    let how = if dotenvy::from_path("settings.env").is_ok() { "ok" } else { "error" };
    let get = |name| std::env::var(name).unwrap_or("(unset)".into());
    println!("dotenvy {how}: {} | {} | {}", get("PROBE_A"), get("PROBE_B"), get("PROBE_C"));
}
M
unset PROBE_A PROBE_B PROBE_C
cargo run -q >rust 2>build.log || { tail -5 build.log; exit 1; }
{
  cat rust
  PYTHONPATH=py python3 -c '
import dotenv
print("python-dotenv:", " | ".join(dotenv.dotenv_values("settings.env").values()))'
  node -e '
const text = require("fs").readFileSync("settings.env");
console.log("npm dotenv:", Object.values(require("dotenv").parse(text)).join(" | "));'
} > seen
cat seen
diff - seen <<'M' || { echo "changed: a space in a value"; exit 1; }
dotenvy error: before | (unset) | (unset)
python-dotenv: before | -Xms1g -Xmx2g | after
npm dotenv: before | -Xms1g -Xmx2g | after
M
