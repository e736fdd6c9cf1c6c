#!/usr/bin/env bash
# Question: toml_edit, "a format-preserving parser", changes one value with
#   doc["a"]["v"] = value(2). The line was `v = 1 # see incident 12`. What becomes of it?
# Guess: `v = 2 # see incident 12`; that is what such a crate is for, and Python's tomlkit
#   does it with the same statement.
# What happens (toml_edit 0.25.18, tomlkit 0.15.2, November 2026): `v = 2`. The comment behind a
#   value belongs to the value and goes with the old one. A table made on the way,
#   doc["c"]["z"] = value(1), is written inline and above the file's first comment.
# Why it matters: a release job that writes one number into a hand-kept file takes away the
#   reason that stood beside it, and puts a new table over the head of the file.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"; mkdir src
python3 -m pip install -q --target py tomlkit==0.15.2 2>pip.log || { cat pip.log; exit 1; }
printf '# head\n[a]\nv = 1 # see incident 12\nw = 1 # another\n' > in.toml
cat > Cargo.toml <<'M'
[package]
name = "probe"
version = "0.0.0"
edition = "2021"
[dependencies]
toml_edit = "=0.25.18"
M
cat > src/main.rs <<'M'
use toml_edit::{value, DocumentMut};
fn main() {
    let mut doc: DocumentMut = std::fs::read_to_string("in.toml").unwrap().parse().unwrap();
    doc["a"]["v"] = value(2);
    doc["c"]["z"] = value(1);
    print!("{doc}");
}
M
cargo run -q >rust 2>build.log || { tail -5 build.log; exit 1; }
PYTHONPATH=py python3 -c '
import tomlkit
doc = tomlkit.parse(open("in.toml").read())
doc["a"]["v"] = 2
doc["c"] = {}
doc["c"]["z"] = 1
print(tomlkit.dumps(doc), end="")' > python
echo "toml_edit:"; cat rust; echo "tomlkit:"; cat python
diff - rust <<'M' || { echo "changed: toml_edit"; exit 1; }
c = { z = 1 }
# head
[a]
v = 2
w = 1 # another
M
diff - python <<'M' || { echo "changed: tomlkit"; exit 1; }
# head
[a]
v = 2 # see incident 12
w = 1 # another

[c]
z = 1
M
