#!/usr/bin/env bash
# Question: crane's Save writes an image named `reg.example/app:1@sha256:…` into a tarball.
#   Which name does it have there, and after `docker load`?
# Guess: app:1. The tag is in the reference, and tarballs have room for tags only.
# What happens (Go github.com/google/go-containerregistry v0.22.1, November 2026): the tag is
#   `i-was-a-digest`, for `app:1@sha256:…` as for `app@sha256:…`: the parser drops the tag
#   where there is a digest. Two releases saved so have one and the same name.
# Why it matters: an offline copy made from pinned references loads without app:1, the name
#   that the compose file asks for, and each load takes the name from the release before.
# Needs Go; no engine.
set -euo pipefail
export GOTOOLCHAIN=local GOFLAGS=-mod=mod
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
cat > go.mod <<'M'
module probe
go 1.25.0
require github.com/google/go-containerregistry v0.22.1
M
cat > main.go <<'M'
package main

import "github.com/google/go-containerregistry/pkg/crane"

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	for _, release := range []string{"1", "2"} {
		image, err := crane.Image(map[string][]byte{"app/version": []byte(release)})
		must(err)
		digest, err := image.Digest()
		must(err)
		must(crane.Save(image, "reg.example/app:"+release, "tag."+release))
		must(crane.Save(image, "reg.example/app:"+release+"@"+digest.String(), "both."+release))
	}
}
M
go build -o probe . 2>build.log || { tail -5 build.log; exit 1; }
./probe
for f in tag both; do
  for r in 1 2; do
    echo "$f, release $r: $(tar -xOf $f.$r manifest.json | python3 -c 'import json, sys; print(*json.load(sys.stdin)[0]["RepoTags"])')"
  done
done > seen
cat seen
diff - seen <<'M' || { echo "changed: the name in the tarball"; exit 1; }
tag, release 1: reg.example/app:1
tag, release 2: reg.example/app:2
both, release 1: reg.example/app:i-was-a-digest
both, release 2: reg.example/app:i-was-a-digest
M
