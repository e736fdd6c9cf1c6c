#!/usr/bin/env bash
# Question: a migration runs by `docker compose run -d`, and somebody types `down` for the project. What becomes of it?
# Guess: `down` removes all that the project has; so does the first generation.
# What happens (docker-compose 1.29.2 of Debian 12, docker-compose 2.26.1-4 of Debian 13, engine 20.10.24, November
#   2026): the first generation kills and removes the container. The second leaves it running, says that the network
#   is still in use, and exits 0. It is an orphan for `down --remove-orphans`, which kills it, and none for
#   `up --remove-orphans`, which leaves it.
# Why it matters: a script whose next step believes that nothing of the project runs any more (a backup of the
#   volume, say) meets a migration at work; with the other generation the same line kills the migration.
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
d=$(mktemp -d); mark=oneoffprobe$$
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
look() { # GENERATION PROGRAM WORDS...
  local name=$1 program=$2; shift 2
  "$program" -p "$mark" -f compose.yml up -d >/dev/null 2>&1
  "$program" -p "$mark" -f compose.yml run -d app >/dev/null 2>&1
  "$program" -p "$mark" -f compose.yml "$@" -t 0 >log 2>&1 && code=0 || code=$?
  echo "$name, $*: exit $code, $(docker ps -q --filter "label=com.docker.compose.project=$mark" | wc -l) running"
  rest | xargs -r docker rm -f >/dev/null
}
{
  printf 'version: "2.4"\nservices:\n  app: {image: "%s:1"}\n' "$mark" > compose.yml
  for words in "stop" "down" "down --remove-orphans"; do
    # shellcheck disable=SC2086 # words
    look first /usr/bin/docker-compose $words
    # shellcheck disable=SC2086
    look second "$clients/docker-compose" $words
  done
  look second "$clients/docker-compose" up -d --remove-orphans
} > found
cat found
diff - found <<'W' || { echo "another answer than before"; exit 1; }
first, stop: exit 0, 1 running
second, stop: exit 0, 1 running
first, down: exit 0, 0 running
second, down: exit 0, 1 running
first, down --remove-orphans: exit 0, 0 running
second, down --remove-orphans: exit 0, 0 running
second, up -d --remove-orphans: exit 0, 2 running
W
