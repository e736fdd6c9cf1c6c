#!/usr/bin/env bash
# Question: `--log-opt max-size=1m` bounds a file of a container's log. How many bytes is 1m, and how many is 1MiB?
# Guess: 1,048,576 for both, as `--memory 8m` and `--shm-size 1m` of the same command count.
# What happens (engine 20.10.24, November 2026): 1,000,000 for both. `1MiB` is taken without a word, and is a
#   decimal megabyte, too.
# Why it matters: the same letter in one compose file counts by 1,024 under `mem_limit` and by 1,000 under `logging`;
#   whoever adds up what logs may take of a small tmpfs is 5 % off with m, and 7 % with g.
# Needs a running engine (Debian's) and busybox-static.
set -euo pipefail
v=$(docker version -f "{{.Server.Version}}" 2>&1) || { echo "needs a running engine"; exit 1; }
case $v in 20.10.24*) ;; *) echo "needs engine 20.10.24, found $v"; exit 1;; esac
d=$(mktemp -d); mark=logprobe$$
clean() {
  docker rm -f "$mark" >/dev/null 2>&1 || true
  docker rmi -f "$mark:1" >/dev/null 2>&1 || true
  rm -rf "$d"
}
trap clean EXIT; cd "$d"
mkdir root; cp "$(command -v busybox)" root/busybox
tar -C root -c . | docker import - "$mark:1" >/dev/null
# A line is about 100 bytes in the log: some 2 MB in all.
write='i=0; while [ $i -lt 20000 ]; do echo "line $i 0123456789012345678901234567890123456789"; i=$((i+1)); done; sleep 100'
for size in 1m 1MiB; do
  docker run -d --name "$mark" --network none --memory 8m --log-driver json-file --log-opt "max-size=$size" \
    --log-opt max-file=2 "$mark:1" /busybox sh -c "$write" >/dev/null
  full=$(docker inspect -f '{{.LogPath}}' "$mark").1
  for _ in $(seq 100); do [ ! -f "$full" ] || break; sleep 0.1; done
  bytes=$(stat -c %s "$full")
  # The line that reaches the bound is still written.
  echo "max-size=$size: $((bytes - bytes % 1000)) bytes; --memory 8m: $(docker inspect -f '{{.HostConfig.Memory}}' "$mark")"
  docker rm -f "$mark" >/dev/null
done > found
cat found
diff - found <<'W' || { echo "another answer than before"; exit 1; }
max-size=1m: 1000000 bytes; --memory 8m: 8388608
max-size=1MiB: 1000000 bytes; --memory 8m: 8388608
W
