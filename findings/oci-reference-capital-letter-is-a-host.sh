#!/usr/bin/env bash
# Question: what is `Team/app:1` as an image name?
# Guess: an error ("repository name must be lowercase"), or `team/app` on the default
#   registry after all.
# What happens (Go github.com/distribution/reference v0.6.0, which Docker uses, and Rust
#   oci-spec 0.10.0, November 2026): Go takes the capital letter as proof that `Team` is a
#   registry host, without dot or port. Rust keeps `Team/app` as a repository of the
#   default registry, a name that no registry can have. Neither refuses it.
# Why it matters: a group name with a capital letter in a CI variable ends in a name lookup
#   for a host `Team`, an error that names neither the case nor the variable.
set -euo pipefail
export GOTOOLCHAIN=local GOFLAGS=-mod=mod
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"; mkdir go rs rs/src
cat > go/go.mod <<'M'
module probe
go 1.24
require github.com/distribution/reference v0.6.0
M
cat > go/main.go <<'M'
package main

import (
	"fmt"
	"github.com/distribution/reference"
)

func main() {
	plain, _ := reference.ParseNormalizedNamed("app")
	for _, s := range []string{"team/app", "Team/app", "reg.example/Team/app"} {
		n, err := reference.ParseNormalizedNamed(s)
		if err != nil {
			fmt.Println(s, "refused")
			continue
		}
		d := reference.Domain(n)
		if d == reference.Domain(plain) {
			d = "DEFAULT"
		}
		fmt.Println(s, d, reference.Path(n))
	}
}
M
cat > rs/Cargo.toml <<'M'
[package]
name = "probe"
version = "0.0.0"
edition = "2021"
[dependencies]
oci-spec = { version = "=0.10.0", default-features = false, features = ["distribution"] }
M
cat > rs/src/main.rs <<'M'
use oci_spec::distribution::Reference;
fn main() {
    let default = "app".parse::<Reference>().unwrap().registry().to_string();
    for s in ["team/app", "Team/app", "reg.example/Team/app"] {
        match s.parse::<Reference>() {
            Err(_) => println!("{s} refused"),
            Ok(r) if r.registry() == default => println!("{s} DEFAULT {}", r.repository()),
            Ok(r) => println!("{s} {} {}", r.registry(), r.repository()),
        }
    }
}
M
go=$(cd go && go run . 2>../build.log) || { tail -5 build.log; exit 1; }
rs=$(cd rs && cargo run -q 2>../build.log) || { tail -5 build.log; exit 1; }
printf 'go:\n%s\nrust:\n%s\n' "$go" "$rs"
[ "$go" = 'team/app DEFAULT team/app
Team/app Team app
reg.example/Team/app refused' ] || { echo "changed: distribution/reference"; exit 1; }
[ "$rs" = 'team/app DEFAULT team/app
Team/app DEFAULT Team/app
reg.example/Team/app refused' ] || { echo "changed: oci-spec"; exit 1; }
