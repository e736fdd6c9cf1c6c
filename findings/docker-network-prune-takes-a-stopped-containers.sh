#!/usr/bin/env bash
# Question: a stopped container is the only member of a network. Does `docker network prune`
#   leave the network alone?
# Guess: yes. "Not referenced by any container" is the rule in its documentation, and prune
#   leaves a stopped container's volume and image alone.
# What happens (engine 20.10.24 of Debian 12, November 2026): the network goes as soon as no
#   container in it is running. The container stays and cannot be started any more
#   ("network … not found"): it must be created anew.
# Why it matters: the nightly clean-up while a service is stopped for maintenance, or the old
#   colour of a rollout kept stopped as the way back, turns `docker start` into a failure.
# Needs a running engine (Debian's) and busybox-static. It prunes only what carries a label
# of its own.
set -euo pipefail
v=$(docker version -f '{{.Server.Version}}' 2>&1) || { echo "needs a running engine"; exit 1; }
case $v in 20.10.24*) ;; *) echo "needs engine 20.10.24, found $v"; exit 1;; esac
d=$(mktemp -d); mark=netprobe$$
clean() {
  docker rm -f "$mark" >/dev/null 2>&1 || true
  docker network rm "$mark" >/dev/null 2>&1 || true
  docker volume rm "$mark" >/dev/null 2>&1 || true
  docker rmi -f "$mark:1" >/dev/null 2>&1 || true
  rm -rf "$d"
}
trap clean EXIT; cd "$d"
mkdir -p root/bin; cp "$(command -v busybox)" root/bin/busybox
tar -C root -c . | docker import - "$mark:1" >/dev/null
docker network create --label "$mark" "$mark" >/dev/null
docker volume create --label "$mark" "$mark" >/dev/null
docker run -d --name "$mark" --network "$mark" -v "$mark:/data" "$mark:1" /bin/busybox sleep 60 >/dev/null
prune() {
  for kind in volume network; do
    docker $kind prune -f --filter "label=$mark" >/dev/null
    if docker $kind inspect "$mark" >/dev/null 2>&1; then echo "$1: $kind there"; else echo "$1: $kind gone"; fi
  done
}
{
  prune running
  docker stop -t 0 "$mark" >/dev/null
  prune stopped
  if docker start "$mark" >/dev/null 2>err; then echo "started again"; else echo "not started: $(grep -o 'not found' err | head -1)"; fi
} > seen
cat seen
diff - seen <<'M' || { echo "changed: what counts as a network in use"; exit 1; }
running: volume there
running: network there
stopped: volume there
stopped: network gone
not started: not found
M
