#!/usr/bin/env bash
# Question: .dockerignore says `*` and then `!**/*.jar`. Which jars are in the context that
#   the Docker SDK for Python sends?
# Guess: all of them; the last matching line decides, and Docker's own matcher keeps
#   `target/app.jar` and `a/b/c.jar`.
# What happens (docker 7.2.0 for Python against Go github.com/moby/patternmatcher v0.6.1,
#   November 2026): only those in the top folder. The SDK does not walk into an excluded
#   folder unless an exception names it; `**` names none. `!target/**/*.jar` works.
# Why it matters: the same folder builds with `docker build` and fails at COPY (or, with a
#   glob, copies nothing) from a Python build script.
set -euo pipefail
export GOTOOLCHAIN=local GOFLAGS=-mod=mod
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m pip install -q --target py docker==7.2.0 2>pip.log || { cat pip.log; exit 1; }
mkdir -p go tree/target tree/a/b; touch tree/top.jar tree/target/app.jar tree/a/b/c.jar tree/a/x.txt
cat > go/go.mod <<'M'
module probe
go 1.24
require github.com/moby/patternmatcher v0.6.1
M
cat > go/main.go <<'M'
package main

import (
	"fmt"
	"github.com/moby/patternmatcher"
	"os"
)

func main() {
	m, err := patternmatcher.New(os.Args[1:])
	if err != nil {
		panic(err)
	}
	for _, f := range []string{"a/b/c.jar", "a/x.txt", "target/app.jar", "top.jar"} {
		if out, _ := m.MatchesOrParentMatches(f); !out {
			fmt.Print(" ", f)
		}
	}
}
M
(cd go && go build -o ../probe . 2>../build.log) || { cat build.log; exit 1; }
for keep in '!**/*.jar' '!target/**/*.jar'; do
  echo "$keep moby:$(./probe '*' "$keep")"
  echo "$keep docker-py: $(PYTHONPATH=py python3 -c '
import os, sys
from docker.utils import exclude_paths
print(*sorted(p for p in exclude_paths("tree", sys.argv[1:]) if os.path.isfile("tree/" + p)))' '*' "$keep")"
done > seen
cat seen
diff - seen <<'M' || { echo "changed: exceptions below an excluded folder"; exit 1; }
!**/*.jar moby: a/b/c.jar target/app.jar top.jar
!**/*.jar docker-py: top.jar
!target/**/*.jar moby: target/app.jar
!target/**/*.jar docker-py: target/app.jar
M
