#!/usr/bin/env bash
# Question: a .env file says `CACHE=${PROBE_HOME}/cache`; PROBE_HOME is in the environment and
#   not in the file. What is CACHE for Go's godotenv?
# Guess: /srv/cache, as python-dotenv and compose read it; or, if it knew no variables, the
#   text as written, as npm's dotenv leaves it.
# What happens (godotenv 1.5.1, python-dotenv 1.2.4, November 2026): `/cache`. It does replace
#   names, but looks only at the lines above in the same file; what is not there is empty,
#   and the environment is never asked. No error.
# Why it matters: one .env file shared by a Go service and a compose file gives two paths, and
#   the Go one starts at the root of the disk.
set -euo pipefail
export GOTOOLCHAIN=local GOFLAGS=-mod=mod
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m pip install -q --target py python-dotenv==1.2.4 2>pip.log || { cat pip.log; exit 1; }
cat > go.mod <<'M'
module probe
go 1.24
require github.com/joho/godotenv v1.5.1
M
cat > main.go <<'M'
package main

import (
	"fmt"

	"github.com/joho/godotenv"
)

func main() {
	v, err := godotenv.Read("settings.env")
	if err != nil {
		panic(err)
	}
	fmt.Println("godotenv:", v["CACHE"], v["OWN"], v["QUOTED"])
}
M
cat > settings.env <<'M'
CACHE=${PROBE_HOME}/cache
ABOVE=/opt
OWN=${ABOVE}/own
QUOTED="${PROBE_HOME}/quoted"
M
go build -o probe . 2>build.log || { tail -5 build.log; exit 1; }
export PROBE_HOME=/srv
{
  ./probe
  PYTHONPATH=py python3 -c '
import dotenv
v = dotenv.dotenv_values("settings.env")
print("python-dotenv:", v["CACHE"], v["OWN"], v["QUOTED"])'
} > seen
cat seen
diff - seen <<'M' || { echo "changed: where a name is looked up"; exit 1; }
godotenv: /cache /opt/own /quoted
python-dotenv: /srv/cache /opt/own /srv/quoted
M
