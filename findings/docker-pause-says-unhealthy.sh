#!/usr/bin/env bash
# Question: a healthy container is paused for a moment (`docker pause`, to copy its files).
#   What does its health status say meanwhile, and after `docker unpause`?
# Guess: healthy, the last answer, as no check is run in a paused container; or starting.
# What happens (engine 20.10.24 of Debian 12, November 2026): unhealthy, at once, though no
#   check has failed: FailingStreak is 0 and every logged check returned 0. So it stays
#   after unpause until the next check, which is a whole interval away. `docker stop` does
#   the same.
# Why it matters: a gate or a watcher that acts on "unhealthy" restarts, or takes out of the
#   balancer, each service that a snapshot pauses; look at FailingStreak as well.
# Needs a running engine (Debian's) and busybox-static.
set -euo pipefail
v=$(docker version -f '{{.Server.Version}}' 2>&1) || { echo "needs a running engine"; exit 1; }
case $v in 20.10.24*) ;; *) echo "needs engine 20.10.24, found $v"; exit 1;; esac
d=$(mktemp -d); mark=pauseprobe$$
clean() {
  docker unpause "$mark" >/dev/null 2>&1 || true
  docker rm -f "$mark" >/dev/null 2>&1 || true
  docker rmi -f "$mark:1" >/dev/null 2>&1 || true
  rm -rf "$d"
}
trap clean EXIT; cd "$d"
mkdir -p root/bin; cp "$(command -v busybox)" root/bin/busybox; ln -s busybox root/bin/sh
tar -C root -c . | docker import - "$mark:1" >/dev/null
docker run -d --name "$mark" --network none --health-cmd 'exit 0' --health-interval 8s "$mark:1" /bin/busybox sleep 100 >/dev/null
state() { docker inspect -f '{{.State.Health.Status}}, {{.State.Health.FailingStreak}} in a row failed{{range .State.Health.Log}}{{if .ExitCode}}, one failed{{end}}{{end}}' "$mark"; }
healthy() {
  for _ in $(seq 150); do case $(state) in healthy*) return;; esac; sleep 0.1; done
}
healthy
{
  echo "running: $(state)"
  docker pause "$mark" >/dev/null; echo "paused: $(state)"
  docker unpause "$mark" >/dev/null; sleep 1; echo "unpaused: $(state)"
  healthy; echo "an interval later: $(state)"
} > seen
cat seen
diff - seen <<'M' || { echo "changed: the health of a paused container"; exit 1; }
running: healthy, 0 in a row failed
paused: unhealthy, 0 in a row failed
unpaused: unhealthy, 0 in a row failed
an interval later: healthy, 0 in a row failed
M
