#!/usr/bin/env bash
# Question: releases were tagged v1.1.0, v1.2.0, and from then on without the v: 1.3.0. Which release does dunamai, which
#   versions many Python packages, take the last commit for?
# Guess: 1.3.0, which stands on it; or an error that names the tag.
# What happens (dunamai 1.26.5, git 2.39, November 2026): `1.2.0.post1.dev0`, an unfinished state after the release
#   before, and exit 0. A tag without v counts only with `--pattern default-unprefixed`. Where no tag has a v it is
#   `0.0.0.post1.dev0`, and exit 0 as well.
# Why it matters: a pipeline for the tag 1.3.0 builds and pushes an image with the wrong version, and no line says so, while
#   `git describe` and the tools that ask it say 1.3.0.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m pip install -q --target py dunamai==1.26.5 2>pip.log || { cat pip.log; exit 1; }
export PYTHONPATH=$d/py GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.com
export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.com
git init -q repo 2>/dev/null; cd repo
commit() { GIT_AUTHOR_DATE="2026-01-0$1T00:00:00Z" GIT_COMMITTER_DATE="2026-01-0$1T00:00:00Z" git commit -q --allow-empty -m "$1"; }
version() { python3 -m dunamai from git "$@" 2>&1 | tail -1 | sed 's/+[0-9a-f]*$/+COMMIT/'; }
commit 1; git tag 1.0.0
echo "1.0.0 alone: $(version | cut -c1-33)" > ../found
commit 2; git tag v1.2.0
commit 3; git tag 1.3.0
{
  echo "v1.2.0, then 1.3.0: $(version)"
  echo "the same, unprefixed: $(version --pattern default-unprefixed)"
  echo "git describe: $(git describe --tags)"
} >> ../found
cat ../found
diff - ../found <<'W' || { echo "another answer than before"; exit 1; }
1.0.0 alone: 0.0.0.post1.dev0+COMMIT
v1.2.0, then 1.3.0: 1.2.0.post1.dev0+COMMIT
the same, unprefixed: 1.3.0
git describe: 1.3.0
W
