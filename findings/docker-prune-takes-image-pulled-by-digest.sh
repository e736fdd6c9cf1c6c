#!/usr/bin/env bash
# Question: a host has pulled `app@sha256:…` ahead of a rollout and runs nothing of it yet.
#   Does `docker image prune -f` (without -a) leave it alone?
# Guess: yes. Without -a only dangling images go, those without a name; this one has the
#   name under which it was pulled, and `docker image inspect app@sha256:…` finds it.
# What happens (engine 20.10.24 of Debian 12, November 2026): it is deleted. For the engine
#   an image is dangling when it has no *tag*; `docker images -f dangling=true` lists it.
#   Any tag protects it.
# Why it matters: the nightly prune of a host empties what a release has pulled in advance
#   (or keeps for going back), and the swap waits for the registry, or fails without it.
# Needs a running engine (Debian's), docker-registry and busybox-static. It prunes
# only images that carry a label of its own.
set -euo pipefail
v=$(docker version -f '{{.Server.Version}}' 2>&1) || { echo "needs a running engine"; exit 1; }
case $v in 20.10.24*) ;; *) echo "needs engine 20.10.24, found $v"; exit 1;; esac
r=$(dpkg-query -W -f '${Version}' docker-registry) || r=none
[ "$r" = 2.8.2+ds1-1 ] || { echo "needs docker-registry 2.8.2+ds1-1, found $r"; exit 1; }
d=$(mktemp -d); pid=; repo=
clean() {
  if [ -n "$repo" ]; then
    docker image ls -q --filter "label=pruneprobe=$$" | sort -u | xargs -r docker rmi -f >/dev/null 2>&1 || true
  fi
  [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
  rm -rf "$d"
}
trap clean EXIT; cd "$d"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: "%s/data"}}\nhttp: {addr: "127.0.0.1:%s"}\nlog: {level: error}\n' \
  "$d" "$port" > c.yml
docker-registry serve c.yml >log 2>&1 & pid=$!
for _ in $(seq 50); do python3 -c 'import socket, sys; socket.create_connection(("127.0.0.1", int(sys.argv[1])))' "$port" 2>/dev/null && break; sleep 0.1; done
repo=127.0.0.1:$port/app
mkdir -p root/bin; cp "$(command -v busybox)" root/bin/busybox
tar -C root -c . | docker import -c "LABEL pruneprobe=$$" - "$repo:1" >/dev/null
docker push -q "$repo:1" >/dev/null
name=$(docker image inspect -f '{{index .RepoDigests 0}}' "$repo:1")
docker rmi "$repo:1" >/dev/null
there() { if docker image inspect "$name" >/dev/null 2>&1; then echo there; else echo gone; fi; }
prune() { docker image prune -f --filter "label=pruneprobe=$$" >/dev/null; }
{
  docker pull -q "$name" >/dev/null; docker tag "$name" "$repo:keep"
  prune; echo "with a tag, after prune: $(there)"
  docker rmi "$repo:keep" >/dev/null 2>&1
  docker pull -q "$name" >/dev/null; echo "pulled by digest only: $(there)"
  echo "listed as dangling: $(docker image ls -q -f dangling=true -f "label=pruneprobe=$$" | wc -l)"
  prune; echo "by digest only, after prune: $(there)"
} > seen
cat seen
diff - seen <<'M' || { echo "changed: what counts as dangling"; exit 1; }
with a tag, after prune: there
pulled by digest only: there
listed as dangling: 1
by digest only, after prune: gone
M
