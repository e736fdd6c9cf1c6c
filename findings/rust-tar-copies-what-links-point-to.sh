#!/usr/bin/env bash
# Question: a folder has `current -> v2` and `v2/app`. What does append_dir_all of the Rust
#   crate tar put into the archive?
# Guess: a symbolic link and a file, as GNU tar and Python's tarfile do.
# What happens (tar 0.4.46, November 2026): `current` is a folder with a copy of `app` in it,
#   and there is no link in the archive. follow_symlinks(false), a method of the builder
#   that nothing here makes one look for, keeps links.
# Why it matters: a root file system with `lib -> usr/lib` or a release folder with
#   `current` doubles in size and loses its meaning: the next "switch current" replaces a
#   folder.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"; mkdir -p src tree/v2
echo x > tree/v2/app; ln -s v2 tree/current
cat > Cargo.toml <<'M'
[package]
name = "probe"
version = "0.0.0"
edition = "2021"
[dependencies]
tar = "=0.4.46"
M
cat > src/main.rs <<'M'
fn main() {
    for (name, follow) in [("default.tar", None), ("nofollow.tar", Some(false))] {
        let mut b = tar::Builder::new(std::fs::File::create(name).unwrap());
        if let Some(follow) = follow {
            b.follow_symlinks(follow);
        }
        b.append_dir_all("tree", "tree").unwrap();
        b.finish().unwrap();
    }
}
M
cargo run -q 2>build.log || { tail -5 build.log; exit 1; }
tar -cf gnu.tar tree
python3 -c '
import tarfile
with tarfile.open("python.tar", "w") as t:
    t.add("tree")'
for t in default nofollow gnu python; do
  echo "$t: $(tar -tvf $t.tar | sed -E 's/^(.)[^ ]* .* (tree.*)$/\1 \2/; s/ -> .*//; s/ tree/:tree/; s,/$,,' | LC_ALL=C sort -t: -k2 | xargs)"
done > seen
cat seen
diff - seen <<'M' || { echo "changed: what a link becomes"; exit 1; }
default: d:tree d:tree/current -:tree/current/app d:tree/v2 -:tree/v2/app
nofollow: d:tree l:tree/current d:tree/v2 -:tree/v2/app
gnu: d:tree l:tree/current d:tree/v2 -:tree/v2/app
python: d:tree l:tree/current d:tree/v2 -:tree/v2/app
M
