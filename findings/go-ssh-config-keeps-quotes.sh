#!/usr/bin/env bash
# Question: a program in Go reads an OpenSSH client configuration with ssh_config, the package that most of them
#   use. The file has values and host names in double quotes, as a path with a space needs them. What does the
#   program get?
# Guess: what ssh itself takes: the text without the quotes.
# What happens (kevinburke/ssh_config 1.4.0, OpenSSH 9.2, November 2026): the quotes are part of the value, for
#   a path and for an address, and no error says so. On a `Host` line `"app 2"` becomes two patterns, `"app` and
#   `2"`: the block holds for neither `app 2` nor `app`, and its user is empty.
# Why it matters: a key file "is not there", and an address does not resolve, though ssh connects with the same
#   file. Quote only what has a space, and strip one pair of quotes from what the package gives.
set -euo pipefail
command -v go >/dev/null || { echo "needs go"; exit 1; }
command -v ssh >/dev/null || { echo "needs ssh"; exit 1; }
d=$(mktemp -d); trap 'chmod -R u+w "$d"; rm -rf "$d"' EXIT; cd "$d"
export GOPATH=$d/go GOFLAGS=-mod=mod GOCACHE=$d/cache
cat > config <<'C'
Host app-1
  HostName "192.0.2.1"
  IdentityFile "/srv/my keys/id"
Host "app 2"
  User deploy
C
cat > main.go <<'M'
package main

import (
	"fmt"
	"os"

	"github.com/kevinburke/ssh_config"
)

func main() {
	file, err := os.Open("config")
	if err != nil {
		panic(err)
	}
	config, err := ssh_config.Decode(file)
	if err != nil {
		panic(err)
	}
	for _, ask := range [][2]string{{"app-1", "HostName"}, {"app-1", "IdentityFile"}, {"app 2", "User"}, {`"app`, "User"}} {
		value, err := config.Get(ask[0], ask[1])
		fmt.Printf("%s of %s: [%s] %v\n", ask[1], ask[0], value, err)
	}
}
M
{ go mod init probe && go get github.com/kevinburke/ssh_config@v1.4.0; } >go.log 2>&1 || { cat go.log; exit 1; }
go run . > found
ssh -F config -G app-1 | grep -E '^(hostname|identityfile) ' | sed 's/^/ssh: /' >> found
cat found
diff - found <<'W' || { echo "another answer than before"; exit 1; }
HostName of app-1: ["192.0.2.1"] <nil>
IdentityFile of app-1: ["/srv/my keys/id"] <nil>
User of app 2: [] <nil>
User of "app: [deploy] <nil>
ssh: hostname 192.0.2.1
ssh: identityfile /srv/my keys/id
W
