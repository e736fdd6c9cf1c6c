#!/usr/bin/env bash
# Question: a container with `--restart always` gets `docker kill -s HUP`, to make its
#   program read its configuration again, and goes on running. Later it fails. Restarted?
# Guess: yes. A signal that did not end it changes nothing; only `docker stop`, or a kill
#   that kills, counts as the operator's wish.
# What happens (engine 20.10.24 of Debian 12, November 2026): it stays down, "Exited (1)".
#   Any signal sent through the engine switches the policy off for the rest of that run,
#   unless the image or the container names a stop signal and it is another one.
# Why it matters: after the usual "reload without a restart" of a proxy the next crash is
#   final; sending the signal with `docker exec … kill -HUP 1` keeps the policy.
# Needs a running engine (Debian's) and busybox-static.
set -euo pipefail
v=$(docker version -f '{{.Server.Version}}' 2>&1) || { echo "needs a running engine"; exit 1; }
case $v in 20.10.24*) ;; *) echo "needs engine 20.10.24, found $v"; exit 1;; esac
d=$(mktemp -d); mark=hupprobe$$
clean() {
  docker ps -aq --filter "label=$mark" | xargs -r docker rm -f >/dev/null 2>&1 || true
  docker rmi -f "$mark:1" >/dev/null 2>&1 || true
  rm -rf "$d"
}
trap clean EXIT; cd "$d"
mkdir -p root/bin; cp "$(command -v busybox)" root/bin/busybox
tar -C root -c . | docker import - "$mark:1" >/dev/null
# Each counts the signals it got, and fails when /stop is there.
start() {
  name=$1; shift
  docker run -d --name "$mark-$name" --label "$mark" --network none --restart always "$@" "$mark:1" /bin/busybox sh -c '
    trap "echo got HUP" HUP; echo ready
    while [ ! -e /stop ]; do /bin/busybox sleep 0.2; done; /bin/busybox rm /stop; exit 1' >/dev/null
  for _ in $(seq 50); do docker logs "$mark-$name" | grep -q ready && break; sleep 0.1; done
}
start nothing; start hup; start hup-inside; start hup-stop-signal --stop-signal SIGTERM
docker kill -s HUP "$mark-hup" "$mark-hup-stop-signal" >/dev/null
docker exec "$mark-hup-inside" /bin/busybox kill -HUP 1
sleep 1
for name in nothing hup hup-inside hup-stop-signal; do
  got=$(docker logs "$mark-$name" | grep -c HUP || true)
  before=$(docker inspect -f '{{.State.Status}}' "$mark-$name")
  docker exec "$mark-$name" /bin/busybox touch /stop
  sleep 3
  echo "$name: signals $got, $before; after its own failure $(docker inspect -f '{{.State.Status}}, restarts {{.RestartCount}}' "$mark-$name")"
done > seen
cat seen
diff - seen <<'M' || { echo "changed: what a signal does to the restart policy"; exit 1; }
nothing: signals 0, running; after its own failure running, restarts 1
hup: signals 1, running; after its own failure exited, restarts 0
hup-inside: signals 1, running; after its own failure running, restarts 1
hup-stop-signal: signals 1, running; after its own failure running, restarts 1
M
