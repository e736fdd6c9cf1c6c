#!/usr/bin/env bash
# Question: what does the Rust crate prometheus-parse read from valid samples whose label
#   values hold a comma, a brace or an escaped quote, and from one with empty braces?
# Guess: the values as Python's prometheus_client reads them; or an error.
# What happens (prometheus-parse 0.2.5, prometheus-client 0.26.0 for Python, November
#   2026): a value `a,b=c` becomes two labels, l="a" and b="c"; the backslashes of `x\"y`
#   stay in the value; a sample with `}` in a value and one with `{}` vanish. No error.
# Why it matters: a canary gate that waits for a metric with a path or a message in a label
#   never sees it, or sums two different series as one.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"; mkdir src
python3 -m pip install -q --target py prometheus-client==0.26.0 2>pip.log || { cat pip.log; exit 1; }
cat > in.txt <<'M'
comma{l="a,b=c"} 1
quote{l="x\"y"} 2
brace{l="{id}"} 3
empty{} 4
plain{l="v"} 5
M
cat > Cargo.toml <<'M'
[package]
name = "probe"
version = "0.0.0"
edition = "2021"
[dependencies]
prometheus-parse = "=0.2.5"
M
cat > src/main.rs <<'M'
fn main() {
    let text = std::fs::read_to_string("in.txt").unwrap();
    let scrape = prometheus_parse::Scrape::parse(text.lines().map(|l| Ok(l.to_owned()))).unwrap();
    for s in scrape.samples {
        let mut labels: Vec<String> = s.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        labels.sort();
        println!("{} {}", s.metric, labels.join(" | "));
    }
}
M
cargo run -q >rust 2>build.log || { tail -5 build.log; exit 1; }
PYTHONPATH=py python3 -c '
from prometheus_client.parser import text_string_to_metric_families as parse
for f in parse(open("in.txt").read()):
    for s in f.samples:
        print(s.name, " | ".join(f"{k}={v}" for k, v in sorted(s.labels.items())))' > python
sed -i 's/ *$//' rust python
echo "python:"; cat python; echo "rust:"; cat rust
diff - python <<'M' || { echo "changed: prometheus_client"; exit 1; }
comma l=a,b=c
quote l=x"y
brace l={id}
empty
plain l=v
M
diff - rust <<'M' || { echo "changed: prometheus-parse"; exit 1; }
comma b=c | l=a
quote l=x\"y
plain l=v
M
