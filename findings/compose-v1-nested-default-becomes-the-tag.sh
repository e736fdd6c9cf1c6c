#!/usr/bin/env bash
# Question: `image: app:${TAG:-${FALLBACK:-stable}}` with neither variable set, read by
#   docker-compose 1.29.2, which knows no nested defaults. What does it say?
# Guess: "Invalid interpolation format", as it does say for `${TAG:+x}`.
# What happens (docker-compose 1.29.2-3 of Debian 12, November 2026): no error and no
#   warning. The first closing brace ends the expression, so the default is the text
#   `${FALLBACK:-stable` and the image is literally `app:${FALLBACK:-stable}`; with TAG=v1
#   the left-over brace stays: `app:v1}`.
# Why it matters: the file is right for every newer compose; `config -q` passes on the
#   old host too, and only the pull, later, says that the reference is not valid.
# Needs Debian 12's docker-compose; no engine.
set -euo pipefail
v=$(dpkg-query -W -f '${Version}' docker-compose) || v=none
[ "$v" = 1.29.2-3 ] || { echo "needs docker-compose 1.29.2-3, found $v"; exit 1; }
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
unset TAG FALLBACK
cat > docker-compose.yml <<'M'
version: "3.7"
services:
  a:
    image: app:${TAG:-${FALLBACK:-stable}}
M
docker-compose config -q 2>err || { echo "changed: now refused"; cat err; exit 1; }
image() { docker-compose config 2>>err | sed -n 's/^ *image: //p' | sed 's/\$\$/$/g'; }
unset_=$(image); set_=$(TAG=v1 image); both=$(TAG=v1 FALLBACK=f image)
printf 'neither set: %s\nTAG=v1:      %s\nboth:        %s\nwarnings:    %s\n' \
  "$unset_" "$set_" "$both" "$(wc -c <err)"
[ "$unset_" = 'app:${FALLBACK:-stable}' ] && [ "$set_" = 'app:v1}' ] && [ "$both" = 'app:v1}' ] &&
  [ ! -s err ] || { echo "changed: docker-compose 1.29.2 reads nested defaults otherwise"; exit 1; }
