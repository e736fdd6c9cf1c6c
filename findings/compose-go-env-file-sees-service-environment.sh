#!/usr/bin/env bash
# Question: an env_file has the lines `K=two` and `R=$K`. The service also says
#   `environment: K: fromservice`. What is R in the container?
# Guess: R=two. A line in a file is read against the lines above it; the environment
#   block only replaces K itself afterwards. docker-compose 1.29.2 does it so for ${K}.
# What happens (compose-go v2.16.2, November 2026): R=fromservice. The service's own
#   environment block, and before it the caller's shell, win over the line just above.
# Why it matters: moving a host from docker-compose 1.x to compose 2 or later changes
#   derived values (a URL built from a host name, say) with no change in any file.
set -euo pipefail
export GOTOOLCHAIN=local GOFLAGS=-mod=mod
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
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
	o, err := cli.NewProjectOptions([]string{"compose.yml"}, cli.WithOsEnv, cli.WithName("p"))
	if err != nil {
		panic(err)
	}
	p, err := o.LoadProject(context.Background())
	if err != nil {
		panic(err)
	}
	for _, s := range []string{"plain", "service"} {
		e := p.Services[s].Environment
		fmt.Printf("%s K=%s R=%s\n", s, *e["K"], *e["R"])
	}
}
M
printf 'K=two\nR=${K}\n' > two.env
cat > compose.yml <<'M'
services:
  plain: {image: x, env_file: two.env}
  service: {image: x, env_file: two.env, environment: {K: fromservice}}
M
go build -o probe . 2>build.log || { cat build.log; exit 1; }
{ echo "no K in the shell"; env -u K ./probe; echo "K=shell"; K=shell ./probe; } > seen 2>err
cat seen
cat > want <<'M'
no K in the shell
plain K=two R=two
service K=fromservice R=fromservice
K=shell
plain K=two R=shell
service K=fromservice R=shell
M
diff want seen || { echo "changed: compose-go no longer reads an env_file as described"; exit 1; }
