#!/usr/bin/env bash
# Question: a stack file publishes 53:53/tcp and 53:53/udp. A second file (`docker stack
#   deploy -c base.yml -c more.yml`) adds 8080:80 to the service. Which ports are there?
# Guess: all three. The lists are joined, and one port of two protocols is two entries, as
#   in a file read alone.
# What happens (Go github.com/docker/cli v29.9.3, the loader of `docker stack`, against
#   github.com/compose-spec/compose-go v2.16.2, November 2026): 53/udp and 8080. In joining,
#   the published number alone is the key and the last entry wins; of several ports without
#   a published number only one is left. compose-go keeps them all.
# Why it matters: an override file that only adds a port takes DNS over TCP, or HTTP/3's
#   twin, off the service; nothing is printed.
set -euo pipefail
export GOTOOLCHAIN=local GOFLAGS=-mod=mod
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"; mkdir stack compose
cat > stack/go.mod <<'M'
module probe

go 1.26.0

require github.com/docker/cli v29.9.3+incompatible

require (
	dario.cat/mergo v1.0.2 // indirect
	github.com/Microsoft/go-winio v0.6.2 // indirect
	github.com/containerd/errdefs v1.0.0 // indirect
	github.com/containerd/errdefs/pkg v0.3.0 // indirect
	github.com/distribution/reference v0.6.0 // indirect
	github.com/docker/go-connections v0.8.2 // indirect
	github.com/docker/go-units v0.5.0 // indirect
	github.com/felixge/httpsnoop v1.0.4 // indirect
	github.com/go-logr/logr v1.4.2 // indirect
	github.com/go-logr/stdr v1.2.2 // indirect
	github.com/go-viper/mapstructure/v2 v2.5.0 // indirect
	github.com/google/shlex v0.0.0-20191202100458-e7afc7fbc510 // indirect
	github.com/moby/docker-image-spec v1.3.1 // indirect
	github.com/moby/moby/api v1.56.1 // indirect
	github.com/moby/moby/client v0.6.2 // indirect
	github.com/opencontainers/go-digest v1.0.0 // indirect
	github.com/opencontainers/image-spec v1.1.1 // indirect
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.3 // indirect
	github.com/sirupsen/logrus v1.10.2 // indirect
	go.opentelemetry.io/auto/sdk v1.1.0 // indirect
	go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp v0.60.0 // indirect
	go.opentelemetry.io/otel v1.35.0 // indirect
	go.opentelemetry.io/otel/metric v1.35.0 // indirect
	go.opentelemetry.io/otel/trace v1.35.0 // indirect
	go.yaml.in/yaml/v3 v3.0.6 // indirect
	golang.org/x/sys v0.33.0 // indirect
	golang.org/x/text v0.44.0 // indirect
)
M
cat > stack/main.go <<'M'
package main

import (
	"fmt"
	"os"

	"github.com/docker/cli/cli/compose/loader"
	"github.com/docker/cli/cli/compose/types"
)

func main() {
	d := types.ConfigDetails{WorkingDir: "."}
	for _, f := range os.Args[1:] {
		text, err := os.ReadFile(f)
		if err != nil {
			panic(err)
		}
		c, err := loader.ParseYAML(text)
		if err != nil {
			panic(err)
		}
		d.ConfigFiles = append(d.ConfigFiles, types.ConfigFile{Filename: f, Config: c})
	}
	c, err := loader.Load(d)
	if err != nil {
		panic(err)
	}
	for _, p := range c.Services[0].Ports {
		fmt.Printf("%d:%d/%s\n", p.Published, p.Target, p.Protocol)
	}
}
M
cat > compose/go.mod <<'M'
module probe
go 1.24
require github.com/compose-spec/compose-go/v2 v2.16.2
M
cat > compose/main.go <<'M'
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	o, err := cli.NewProjectOptions(os.Args[1:], cli.WithName("p"))
	if err != nil {
		panic(err)
	}
	p, err := o.LoadProject(context.Background())
	if err != nil {
		panic(err)
	}
	for _, port := range p.Services["dns"].Ports {
		published := port.Published
		if published == "" {
			published = "0"
		}
		fmt.Printf("%s:%d/%s\n", published, port.Target, port.Protocol)
	}
}
M
printf 'version: "3.7"\nservices:\n  dns: {image: x, ports: ["53:53/tcp", "53:53/udp"]}\n' > base.yml
printf 'version: "3.7"\nservices:\n  dns: {image: x, ports: ["80", "443"]}\n' > free.yml
printf 'version: "3.7"\nservices:\n  dns: {ports: ["8080:80"]}\n' > more.yml
for w in stack compose; do (cd $w && go build -o ../$w.bin . 2>../build.log) || { tail -5 build.log; exit 1; }; done
for w in stack compose; do
  for files in base.yml "base.yml more.yml" "free.yml more.yml"; do
    echo "$w $files: $(./$w.bin $files 2>err | LC_ALL=C sort | xargs)"
  done
done > seen
cat seen
diff - seen <<'M' || { echo "changed: how ports of two files are joined"; exit 1; }
stack base.yml: 53:53/tcp 53:53/udp
stack base.yml more.yml: 53:53/udp 8080:80/tcp
stack free.yml more.yml: 0:443/tcp 8080:80/tcp
compose base.yml: 53:53/tcp 53:53/udp
compose base.yml more.yml: 53:53/tcp 53:53/udp 8080:80/tcp
compose free.yml more.yml: 0:443/tcp 0:80/tcp 8080:80/tcp
M
