#!/usr/bin/env bash
# Question: what are the Action fields of the engine's events for `docker exec app CMD` and
#   for a health check that turns good?
# Guess: exec_create, exec_start and health_status, the names in Docker's list of events and
#   what `--filter event=` takes; the command and the state are in Actor.Attributes.
# What happens (engine 20.10.24 of Debian 12, November 2026): the filter takes the short
#   names, the events say `exec_create: CMD`, with every argument, and `health_status:
#   healthy`, a colon and a space. exec_die alone is bare; each health check is an exec too.
# Why it matters: a watcher that compares Action with health_status never sees one, and a
#   log of "event names" holds command lines, and the passwords in them.
# Needs a running engine (Debian's) and busybox-static.
set -euo pipefail
v=$(docker version -f '{{.Server.Version}}' 2>&1) || { echo "needs a running engine"; exit 1; }
case $v in 20.10.24*) ;; *) echo "needs engine 20.10.24, found $v"; exit 1;; esac
d=$(mktemp -d); mark=eventprobe$$; since=$(date +%s)
clean() {
  docker rm -f "$mark" >/dev/null 2>&1 || true
  docker rmi -f "$mark:1" >/dev/null 2>&1 || true
  rm -rf "$d"
}
trap clean EXIT; cd "$d"
mkdir -p root/bin; cp "$(command -v busybox)" root/bin/busybox; ln -s busybox root/bin/sh
tar -C root -c . | docker import - "$mark:1" >/dev/null
docker run -d --name "$mark" --network none --health-cmd 'exit 0' --health-interval 1s "$mark:1" /bin/busybox sleep 60 >/dev/null
for _ in $(seq 100); do
  [ "$(docker inspect -f '{{.State.Health.Status}}' "$mark")" = healthy ] && break; sleep 0.1
done
docker exec "$mark" /bin/busybox echo --token abc >/dev/null
sleep 1
for name in health_status exec_create exec_start exec_die; do
  docker events --since "$since" --until "$(date +%s)" --filter "container=$mark" --filter "event=$name" \
    --format "asked for $name: {{.Action}}" | sort -u
done > seen
cat seen
diff - seen <<'M' || { echo "changed: what Action holds"; exit 1; }
asked for health_status: health_status: healthy
asked for exec_create: exec_create: /bin/busybox echo --token abc
asked for exec_create: exec_create: /bin/sh -c exit 0
asked for exec_start: exec_start: /bin/busybox echo --token abc
asked for exec_start: exec_start: /bin/sh -c exit 0
asked for exec_die: exec_die
M
