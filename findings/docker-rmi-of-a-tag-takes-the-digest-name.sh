#!/usr/bin/env bash
# Question: a host has pulled `app@sha256:…`; later a job gives the image a passing tag,
#   `app:tmp`, and removes it again with `docker rmi app:tmp`. Is the image still there?
# Guess: yes. Two references, one removed: "Untagged: app:tmp", as with two tags.
# What happens (engine 20.10.24 of Debian 12, November 2026): the engine removes the last
#   tag, then the digest names of the same repository with it, then the image. With the
#   passing tag in another repository (`other:tmp`) the image and its digest name stay.
# Why it matters: a clean-up step that only takes back its own tag deletes the image that
#   the next rollout, or the way back, was to start from.
# Needs a running engine (Debian's), docker-registry and busybox-static.
set -euo pipefail
v=$(docker version -f '{{.Server.Version}}' 2>&1) || { echo "needs a running engine"; exit 1; }
case $v in 20.10.24*) ;; *) echo "needs engine 20.10.24, found $v"; exit 1;; esac
r=$(dpkg-query -W -f '${Version}' docker-registry) || r=none
[ "$r" = 2.8.2+ds1-1 ] || { echo "needs docker-registry 2.8.2+ds1-1, found $r"; exit 1; }
d=$(mktemp -d); pid=
clean() {
  docker image ls -q --filter "label=rmiprobe=$$" | sort -u | xargs -r docker rmi -f >/dev/null 2>&1 || true
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
tar -C root -c . | docker import -c "LABEL rmiprobe=$$" - "$repo:1" >/dev/null
docker push -q "$repo:1" >/dev/null
name=$(docker image inspect -f '{{index .RepoDigests 0}}' "$repo:1")
docker rmi "$repo:1" >/dev/null
there() { if docker image inspect "$name" >/dev/null 2>&1; then echo there; else echo gone; fi; }
{
  for tag in "127.0.0.1:$port/other:tmp" "$repo:tmp"; do
    docker pull -q "$name" >/dev/null
    docker tag "$name" "$tag"
    docker rmi "$tag" >rmi.log
    echo "${tag#*/} removed: $(there), $(grep -c '^Untagged' rmi.log) names taken away"
  done
} > seen
cat seen
diff - seen <<'M' || { echo "changed: what rmi of a tag takes away"; exit 1; }
other:tmp removed: there, 1 names taken away
app:tmp removed: gone, 2 names taken away
M
