#!/usr/bin/env bash
# Question: a remote has two `url` lines (what `git remote set-url --add` makes, to push to
#   a mirror as well). From which of them do git's libraries say they fetch?
# Guess: from the first, as git does; the others are for pushing only.
# What happens (pygit2 1.21.0, dulwich 1.2.21, isomorphic-git 1.44.19; git 2.39 of
#   Debian 12, November 2026): all three answer the last one, as `git config --get` does.
# Why it matters: a tool that reads "where does this clone come from" (a release note, a
#   provenance file, a check of the host) names the mirror.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m pip install -q --target py pygit2==1.21.0 dulwich==1.2.21 2>pip.log || { cat pip.log; exit 1; }
npm install --silent --no-audit --no-fund --prefix . isomorphic-git@1.44.19 >npm.log 2>&1 || { cat npm.log; exit 1; }
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
git init -q r
git -C r remote add origin https://first.example/app.git
git -C r remote set-url --add origin https://mirror.example/app.git
{
  echo "git $(git -C r ls-remote --get-url origin)"
  PYTHONPATH=py python3 -c '
import pygit2, dulwich.repo
print("pygit2", pygit2.Repository("r").remotes["origin"].url)
c = dulwich.repo.Repo("r").get_config()
print("dulwich", c.get((b"remote", b"origin"), b"url").decode())'
  node -e '
const git = require("isomorphic-git"), fs = require("fs");
git.listRemotes({ fs, dir: "r" }).then((l) => console.log("isomorphic-git", l[0].url));'
} > seen
cat seen
diff - seen <<'M' || { echo "changed: the url that counts"; exit 1; }
git https://first.example/app.git
pygit2 https://mirror.example/app.git
dulwich https://mirror.example/app.git
isomorphic-git https://mirror.example/app.git
M
