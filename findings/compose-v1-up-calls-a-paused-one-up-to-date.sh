#!/usr/bin/env bash
# Question: a service was paused, for a snapshot of its disk, say, and nobody let it go on. What does
#   `docker-compose up -d` do?
# Guess: it lets the container go on, or it says that it cannot.
# What happens (docker-compose 1.29.2 of Debian 12, docker-compose 2.26.1-4 of Debian 13, engine 20.10.24, November
#   2026): the first generation says "is up-to-date", exits 0, and the service stays paused, answering nobody. The
#   second takes it for one that has ended, tries to start it, and exits 1 with the engine's advice.
# Why it matters: a script that believes `up -d` and its exit code calls a service up that answers nobody. Ask
#   `docker inspect` for `.State.Status`: `.State.Running` is true for a paused container.
# Needs a running engine (Debian's), busybox-static, Debian 12's docker-compose, and the program docker-compose of
# Debian 13 in the folder CLIENTS.
set -euo pipefail
clients=${CLIENTS:-/usr/libexec/docker/cli-plugins}
v=$(docker version -f "{{.Server.Version}}" 2>&1) || { echo "needs a running engine"; exit 1; }
case $v in 20.10.24*) ;; *) echo "needs engine 20.10.24, found $v"; exit 1;; esac
two=$("$clients/docker-compose" version --short 2>&1) || two=none
[ "$two" = 2.26.1-4 ] || { echo "needs docker-compose 2.26.1-4 in $clients, found $two"; exit 1; }
one=$(/usr/bin/docker-compose version --short 2>&1) || one=none
[ "$one" = 1.29.2 ] || { echo "needs docker-compose 1.29.2, found $one"; exit 1; }
d=$(mktemp -d); mark=pauseprobe$$
rest() { docker ps -aq --filter "label=com.docker.compose.project=$mark"; }
clean() {
  rest | xargs -r docker rm -f >/dev/null
  docker network rm "${mark}_default" >/dev/null 2>&1 || true
  docker rmi -f "$mark:1" >/dev/null 2>&1 || true
  rm -rf "$d"
}
trap clean EXIT; cd "$d"
mkdir root; cp "$(command -v busybox)" root/busybox
tar -C root -c . | docker import -c 'CMD ["/busybox", "sleep", "100"]' - "$mark:1" >/dev/null
printf 'version: "2.4"\nservices:\n  app: {image: "%s:1"}\n' "$mark" > compose.yml
look() { # GENERATION PROGRAM
  local name=$1 program=$2
  "$program" -p "$mark" -f compose.yml up -d >/dev/null 2>&1
  "$program" -p "$mark" -f compose.yml pause >/dev/null 2>&1
  "$program" -p "$mark" -f compose.yml up -d >log 2>&1 && code=0 || code=$?
  echo "$name: exit $code, $(docker inspect -f '{{.State.Status}}, running {{.State.Running}}' "$(rest)"), $(grep -oE 'up-to-date|paused container' log)"
  rest | xargs -r docker rm -f >/dev/null
}
{ look first /usr/bin/docker-compose; look second "$clients/docker-compose"; } > found
cat found
diff - found <<'W' || { echo "another answer than before"; exit 1; }
first: exit 0, paused, running true, up-to-date
second: exit 1, paused, running true, paused container
W
