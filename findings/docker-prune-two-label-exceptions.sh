#!/usr/bin/env bash
# Question: `docker container prune -f --filter label!=keep --filter label!=hold`. What of a
#   stopped container that has the label keep and not hold?
# Guess: it stays; each exception protects what it names. A list of things to leave alone
#   gets longer so that more is left alone.
# What happens (engine 20.10.24 of Debian 12, November 2026): it is deleted. With one
#   exception the label protects; with two, only a container that has both is protected.
# Why it matters: adding a second "not these" to a nightly clean-up ends the protection of
#   everything that the first one covered, on every host, without a word.
# Needs a running engine (Debian's) and busybox-static. It prunes only containers that carry
# a label of its own.
set -euo pipefail
v=$(docker version -f '{{.Server.Version}}' 2>&1) || { echo "needs a running engine"; exit 1; }
case $v in 20.10.24*) ;; *) echo "needs engine 20.10.24, found $v"; exit 1;; esac
d=$(mktemp -d); mark=notprobe$$
clean() {
  docker ps -aq --filter "label=$mark" | xargs -r docker rm -f >/dev/null 2>&1 || true
  docker rmi -f "$mark:1" >/dev/null 2>&1 || true
  rm -rf "$d"
}
trap clean EXIT; cd "$d"
mkdir -p root/bin; cp "$(command -v busybox)" root/bin/busybox
tar -C root -c . | docker import - "$mark:1" >/dev/null
make() {
  for name in keep hold both neither; do
    case $name in
      both) labels="--label keep --label hold";;
      neither) labels=;;
      *) labels="--label $name";;
    esac
    docker create --name "$mark-$name" --label "$mark" $labels --network none "$mark:1" /bin/busybox true >/dev/null
  done
}
prune() {
  docker container prune -f --filter "label=$mark" "$@" >/dev/null
  docker ps -a --filter "label=$mark" --format '{{.Names}}' | sed "s/^$mark-//" | sort | xargs
  docker ps -aq --filter "label=$mark" | xargs -r docker rm -f >/dev/null
}
{
  make; echo "not keep, left: $(prune --filter 'label!=keep')"
  make; echo "not hold, left: $(prune --filter 'label!=hold')"
  make; echo "not keep, not hold, left: $(prune --filter 'label!=keep' --filter 'label!=hold')"
} > seen
cat seen
diff - seen <<'M' || { echo "changed: what two exceptions protect"; exit 1; }
not keep, left: both keep
not hold, left: both hold
not keep, not hold, left: both
M
