#!/usr/bin/env bash
# Question: a service has a container of the old release and, after `up --scale app=2
#   --no-recreate` with the new image, one of the new. `up --scale app=1 --no-recreate` then
#   takes one away. Which?
# Guess: the old one; its configuration is out of date, it was there first, and compose marks
#   each container with a hash of its configuration to know that.
# What happens (docker-compose 1.29.2-3 of Debian 12 on engine 20.10.24, November 2026): the
#   new one. The container with the highest number goes, whatever it runs.
# Why it matters: this is the usual way to a swap without a gap (two up, wait until the new
#   one is healthy, one down); done so, each deploy ends well and leaves the old release
#   running. Remove the old container by its id instead.
# Needs a running engine (Debian's), docker-compose and busybox-static.
set -euo pipefail
v=$(docker version -f '{{.Server.Version}}' 2>&1) || { echo "needs a running engine"; exit 1; }
case $v in 20.10.24*) ;; *) echo "needs engine 20.10.24, found $v"; exit 1;; esac
c=$(dpkg-query -W -f '${Version}' docker-compose) || c=none
[ "$c" = 1.29.2-3 ] || { echo "needs docker-compose 1.29.2-3, found $c"; exit 1; }
d=$(mktemp -d); mark=scaleprobe$$
clean() {
  docker ps -aq --filter "label=com.docker.compose.project=$mark" | xargs -r docker rm -f >/dev/null 2>&1 || true
  docker rmi -f "$mark:old" "$mark:new" >/dev/null 2>&1 || true
  rm -rf "$d"
}
trap clean EXIT; cd "$d"
mkdir -p root/bin; cp "$(command -v busybox)" root/bin/busybox
for tag in old new; do tar -C root -c . | docker import -c "LABEL release=$tag" - "$mark:$tag" >/dev/null; done
export COMPOSE_API_VERSION=1.41
up() {
  printf 'version: "3.7"\nservices:\n  app: {image: "%s:%s", network_mode: none, stop_grace_period: 0s, command: ["/bin/busybox", "sleep", "100"]}\n' \
    "$mark" "$1" > docker-compose.yml
  docker-compose -p "$mark" up -d --no-recreate --scale "app=$2" >up.log 2>&1 || { cat up.log; exit 1; }
  docker ps --filter "label=com.docker.compose.project=$mark" --format '{{.Label "release"}}' | sort | xargs
}
{
  echo "old release: $(up old 1)"
  echo "new release beside it: $(up new 2)"
  echo "down to one: $(up new 1)"
} > seen
cat seen
diff - seen <<'M' || { echo "changed: which container goes"; exit 1; }
old release: old
new release beside it: new old
down to one: old
M
