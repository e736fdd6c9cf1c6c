#!/usr/bin/env bash
# Question: a RUN step reads /etc/hosts. It was built with `--add-host db:10.0.0.1`, and is built again with
#   `--add-host db:10.0.0.2`. Does BuildKit run the step again?
# Guess: yes, its input changed; or no, add-hosts are no part of the cache key at all, like proxies.
# What happens (engine 20.10.24 of Debian 12, November 2026): neither. The *name* is part of the key and the
#   *address* is not: db with another address takes the old layer, with the old address in it; the same address
#   under another name runs the step again.
# Why it matters: a build that fetches from `--add-host mirror:ADDRESS` keeps what the old mirror gave after the
#   address moved, and says CACHED; renaming the host is the way to build anew.
# Needs a running engine (Debian's) and busybox-static.
set -euo pipefail
v=$(docker version -f '{{.Server.Version}}' 2>&1) || { echo "needs a running engine"; exit 1; }
case $v in 20.10.24*) ;; *) echo "needs engine 20.10.24, found $v"; exit 1;; esac
d=$(mktemp -d); mark=hostprobe$$
clean() {
  docker rmi -f "$mark:built" "$mark:1" >/dev/null 2>&1 || true
  docker image prune -f --filter "label=$mark" >/dev/null 2>&1 || true
  rm -rf "$d"
}
trap clean EXIT; cd "$d"
mkdir -p root/bin context; cp "$(command -v busybox)" root/bin/busybox; ln -s busybox root/bin/sh
tar -C root -c . | docker import -c "LABEL $mark=1" - "$mark:1" >/dev/null
printf 'FROM %s:1\nRUN busybox grep -o "^10.*" /etc/hosts >/seen\n' "$mark" > context/Dockerfile
seen() {
  # The client of the engine's own package: it speaks to the engine's BuildKit without a plugin.
  DOCKER_BUILDKIT=1 /usr/bin/docker build -q --add-host "$1" -t "$mark:built" context >/dev/null
  docker run --rm "$mark:built" busybox cat /seen | tr '\t' ' '
}
{
  echo "db:10.0.0.1 gives: $(seen db:10.0.0.1)"
  echo "db:10.0.0.2 gives: $(seen db:10.0.0.2)"
  echo "store:10.0.0.2 gives: $(seen store:10.0.0.2)"
} > seen
cat seen
diff - seen <<'M' || { echo "changed: what of an added host is part of the cache key"; exit 1; }
db:10.0.0.1 gives: 10.0.0.1 db
db:10.0.0.2 gives: 10.0.0.1 db
store:10.0.0.2 gives: 10.0.0.2 store
M
