#!/usr/bin/env bash
# Question: an option of a program holds a command line, such as `docker ps --format "{{.Names}}\t{{.Image}}"`, and
#   the program, written in Go, splits it with one of the three packages in use. What becomes of the `\t`?
# Guess: a shell leaves it alone, because inside double quotes a backslash counts only before $ ` " \ and the end of
#   a line. So do packages that split "like a shell".
# What happens (google/shlex of December 2019, mattn/go-shellwords 1.0.16, kballard/go-shellquote of April 2018,
#   November 2026): three answers. shlex drops the backslash and leaves a `t`; shellwords puts a real tab;
#   shellquote alone does as the shell. Before a `d`, as in a regular expression, shellwords drops it, too.
# Why it matters: a format becomes `{{.Names}}t{{.Image}}`, and `\d+` becomes `d+`, with no error. In single quotes
#   all three leave it alone.
set -euo pipefail
command -v go >/dev/null || { echo "needs go"; exit 1; }
d=$(mktemp -d); trap 'chmod -R u+w "$d"; rm -rf "$d"' EXIT; cd "$d"
export GOPATH=$d/go GOFLAGS=-mod=mod GOCACHE=$d/cache
cat > main.go <<'M'
package main

import (
	"fmt"

	"github.com/google/shlex"
	"github.com/kballard/go-shellquote"
	"github.com/mattn/go-shellwords"
)

func main() {
	for _, line := range []string{`"{{.Names}}\t{{.Image}}"`, `"v\d+"`, `'a\tb'`} {
		one, err := shlex.Split(line)
		fmt.Printf("shlex      %s: %q %v\n", line, one, err)
		two, err := shellwords.Parse(line)
		fmt.Printf("shellwords %s: %q %v\n", line, two, err)
		three, err := shellquote.Split(line)
		fmt.Printf("shellquote %s: %q %v\n", line, three, err)
	}
}
M
{ go mod init probe && go get github.com/google/shlex@v0.0.0-20191202100458-e7afc7fbc510 \
  github.com/mattn/go-shellwords@v1.0.16 \
  github.com/kballard/go-shellquote@v0.0.0-20180428030007-95032a82bc51; } >go.log 2>&1 || { cat go.log; exit 1; }
go run . > found
bash -c 'printf "bash       %s\n" "{{.Names}}\t{{.Image}}" "v\d+"' >> found
cat found
diff - found <<'W' || { echo "another answer than before"; exit 1; }
shlex      "{{.Names}}\t{{.Image}}": ["{{.Names}}t{{.Image}}"] <nil>
shellwords "{{.Names}}\t{{.Image}}": ["{{.Names}}\t{{.Image}}"] <nil>
shellquote "{{.Names}}\t{{.Image}}": ["{{.Names}}\\t{{.Image}}"] <nil>
shlex      "v\d+": ["vd+"] <nil>
shellwords "v\d+": ["vd+"] <nil>
shellquote "v\d+": ["v\\d+"] <nil>
shlex      'a\tb': ["a\\tb"] <nil>
shellwords 'a\tb': ["a\\tb"] <nil>
shellquote 'a\tb': ["a\\tb"] <nil>
bash       {{.Names}}\t{{.Image}}
bash       v\d+
W
