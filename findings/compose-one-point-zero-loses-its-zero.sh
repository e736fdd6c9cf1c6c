#!/usr/bin/env bash
# Question: a compose file says `environment: {RELEASE: 2.0, BUILD: 1e3}` without quotes.
#   What reaches the container?
# Guess: the text as written; everybody knows that 1.10 becomes 1.1, but 2.0 has nothing
#   to lose and `1e3` is not a number one would expect to be worked out.
# What happens (November 2026): docker-compose 1.29.2 keeps `2.0` and `1e3`; compose-go
#   v2.16.2 (inside compose 2 and later) sends RELEASE=2 and BUILD=1000.
# Why it matters: a version, a short all-digit commit or an API level changes when a host
#   gets a newer compose; quote every value that a release job writes.
# Needs Debian 12's docker-compose 1.29.2-3 and Go; no engine.
set -euo pipefail
export GOTOOLCHAIN=local GOFLAGS=-mod=mod
v=$(dpkg-query -W -f '${Version}' docker-compose) || v=none
[ "$v" = 1.29.2-3 ] || { echo "needs docker-compose 1.29.2-3, found $v"; exit 1; }
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
cat > docker-compose.yml <<'M'
version: "3.7"
services:
  a:
    image: x
    environment: {RELEASE: 2.0, BUILD: 1e3}
M
cat > go.mod <<'M'
module probe
go 1.24
require github.com/compose-spec/compose-go/v2 v2.16.2
M
cat > main.go <<'M'
package main

import (
	"context"
	"fmt"
	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	o, err := cli.NewProjectOptions([]string{"docker-compose.yml"}, cli.WithName("p"))
	if err != nil {
		panic(err)
	}
	p, err := o.LoadProject(context.Background())
	if err != nil {
		panic(err)
	}
	e := p.Services["a"].Environment
	fmt.Printf("BUILD=%s RELEASE=%s\n", *e["BUILD"], *e["RELEASE"])
}
M
go build -o probe . 2>build.log || { cat build.log; exit 1; }
old=$(docker-compose config | sed -n 's/^ *\(BUILD\|RELEASE\): /\1=/p' | xargs)
new=$(./probe 2>err)
echo "1.29.2:     $old"; echo "compose-go: $new"
[ "$old" = "BUILD=1e3 RELEASE=2.0" ] || { echo "changed: docker-compose 1.29.2"; exit 1; }
[ "$new" = "BUILD=1000 RELEASE=2" ] || { echo "changed: compose-go"; exit 1; }
