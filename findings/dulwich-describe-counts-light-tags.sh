#!/usr/bin/env bash
# Question: does dulwich's porcelain.describe give the same version as `git describe`?
# Guess: yes; both look for annotated tags only, and light ones need `--tags`. pygit2, with
#   its defaults, does so.
# What happens (dulwich 1.2.21, pygit2 1.21.0; git 2.39 of Debian 12, November 2026):
#   dulwich takes a light tag as well. With v1.0 annotated and, one commit later, a light
#   tag `tried-on-staging`, git and pygit2 say v1.0-1-g…, dulwich says tried-on-staging.
# Why it matters: a build that takes its version from dulwich is named after the marks that
#   people or CI jobs leave in the repository.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m pip install -q --target py pygit2==1.21.0 dulwich==1.2.21 2>pip.log || { cat pip.log; exit 1; }
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
export GIT_AUTHOR_DATE=2026-01-01T00:00:00Z GIT_COMMITTER_DATE=2026-01-01T00:00:00Z
git init -q -b main r
git -C r commit -q --allow-empty -m one; git -C r tag -a -m one v1.0
git -C r commit -q --allow-empty -m two; git -C r tag tried-on-staging
{
  echo "git $(git -C r describe)"
  echo "git --tags $(git -C r describe --tags)"
  PYTHONPATH=py python3 -c '
import pygit2
from dulwich import porcelain
print("pygit2", pygit2.Repository("r").describe())
print("dulwich", porcelain.describe("r"))'
} | sed 's/-g[0-9a-f]*$/-gX/' > seen
cat seen
diff - seen <<'M' || { echo "changed: which tags describe looks at"; exit 1; }
git v1.0-1-gX
git --tags tried-on-staging
pygit2 v1.0-1-gX
dulwich tried-on-staging
M
