#!/usr/bin/env bash
# Question: `docker compose build` makes an image, and somebody starts it with plain `docker run`, as one
#   does to look into it. Does `docker ps --filter label=com.docker.compose.project=NAME` show that container?
# Guess: no. Compose puts its labels on the containers that it makes, and did not make this one.
# What happens (Compose 2.26.1-4 and buildx 0.13.1 of Debian 13 on engine 20.10.24, November 2026): with
#   BuildKit the image itself has the labels project, service and version, and every container has those of
#   its image: the filter shows it, on any host that the image is pulled to, while `docker compose ps -a` does
#   not and `down` leaves it. With the classic builder the image has another label instead, and no project.
# Why it matters: scripts that count, watch or remove a project's containers by that label take containers of
#   other projects, and of people, for the project's. Ask for com.docker.compose.oneoff=False, too: only Compose
#   writes that, on containers.
# Needs a running engine (Debian's), busybox-static, and the programs docker-compose and docker-buildx of Debian
# 13 in the folder CLIENTS.
set -euo pipefail
clients=${CLIENTS:-/usr/libexec/docker/cli-plugins}
v=$(docker version -f '{{.Server.Version}}' 2>&1) || { echo "needs a running engine"; exit 1; }
case $v in 20.10.24*) ;; *) echo "needs engine 20.10.24, found $v"; exit 1;; esac
c=$("$clients/docker-compose" version --short 2>&1) || c=none
[ "$c" = 2.26.1-4 ] || { echo "needs docker-compose 2.26.1-4 in $clients, found $c"; exit 1; }
d=$(mktemp -d); mark=labelprobe$$
clean() {
  docker rm -f "$mark" >/dev/null 2>&1 || true
  "$clients/docker-compose" -p "$mark" -f "$d/compose.yml" down >/dev/null 2>&1 || true
  docker rmi -f "$mark-app" >/dev/null 2>&1 || true
  rm -rf "$d"
}
trap clean EXIT; cd "$d"
export DOCKER_CONFIG=$d/config
mkdir -p root config/cli-plugins; cp "$(command -v busybox)" root/busybox
ln -s "$clients/docker-buildx" config/cli-plugins/docker-buildx
printf 'FROM scratch\nCOPY root/busybox /busybox\nENTRYPOINT ["/busybox", "sleep", "100"]\n' > Dockerfile
printf 'services:\n  app: {build: .}\n' > compose.yml
compose() { "$clients/docker-compose" -p "$mark" "$@"; }
look() {
  DOCKER_BUILDKIT=$1 compose build >build.log 2>&1 || { cat build.log; exit 1; }
  docker inspect -f '{{range $k, $v := .Config.Labels}}{{$k}}={{$v}} {{end}}' "$mark-app" | sed "s/$mark/NAME/; s/ $//"
  docker run -d --name "$mark" --network none "$mark-app" >/dev/null
  echo "by the label: $(docker ps -q --filter "label=com.docker.compose.project=$mark" | wc -l)"
  echo "by Compose: $(compose ps -aq | wc -l)"
  compose down >/dev/null 2>&1
  echo "after down: $(docker ps -q --filter "name=$mark" | wc -l)"
  docker rm -f "$mark" >/dev/null
}
{ echo "BuildKit"; look 1; echo "classic"; look 0; } > seen
cat seen
diff - seen <<'M' || { echo "changed: which labels an image that Compose builds has"; exit 1; }
BuildKit
com.docker.compose.project=NAME com.docker.compose.service=app com.docker.compose.version=2.26.1
by the label: 1
by Compose: 0
after down: 1
classic
com.docker.compose.image.builder=classic
by the label: 0
by Compose: 0
after down: 1
M
