#!/usr/bin/env bash
# Question: does `docker build --network none` prove that a Dockerfile builds without a network, after an
#   ordinary build of it on the same host?
# Guess: yes. How a step may reach the network changes what it can do, so it is run again.
# What happens (engine 20.10.24 of Debian 12, November 2026): the classic builder compares the container's
#   configuration and the network is no part of it: every step is "Using cache", and the build passes. BuildKit
#   on the same engine runs the steps again.
# Why it matters: a job that checks for offline builds passes on a warm runner and fails on a cold one; add
#   `--no-cache` there.
# Needs a running engine (Debian's) and busybox-static.
set -euo pipefail
v=$(docker version -f '{{.Server.Version}}' 2>&1) || { echo "needs a running engine"; exit 1; }
case $v in 20.10.24*) ;; *) echo "needs engine 20.10.24, found $v"; exit 1;; esac
d=$(mktemp -d); mark=netlessprobe$$
clean() {
  docker rmi -f "$mark:built" "$mark:1" >/dev/null 2>&1 || true
  docker image prune -f --filter "label=$mark" >/dev/null 2>&1 || true
  rm -rf "$d"
}
trap clean EXIT; cd "$d"
mkdir -p root/bin context; cp "$(command -v busybox)" root/bin/busybox; ln -s busybox root/bin/sh
tar -C root -c . | docker import -c "LABEL $mark=1" - "$mark:1" >/dev/null
# How many interfaces the step sees: lo alone without a network.
printf 'FROM %s:1\nRUN busybox ls /sys/class/net | busybox wc -l >/seen\n' "$mark" > context/Dockerfile
seen() {
  DOCKER_BUILDKIT=$1 /usr/bin/docker build -q --network "$2" -t "$mark:built" context >/dev/null
  docker run --rm "$mark:built" busybox cat /seen
}
{
  ordinary=$(seen 0 default)
  [ "$(seen 0 none)" = "$ordinary" ] && echo "classic: the step of the ordinary build" || echo "classic: run again"
  ordinary=$(seen 1 default)
  [ "$(seen 1 none)" = "$ordinary" ] && echo "BuildKit: the step of the ordinary build" || echo "BuildKit: run again"
} > seen
cat seen
diff - seen <<'M' || { echo "changed: whether a build without network takes the cache"; exit 1; }
classic: the step of the ordinary build
BuildKit: run again
M
