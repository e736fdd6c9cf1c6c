#!/usr/bin/env bash
# Question: an image has `ENV LEVEL=info`. A container is started with `-e LEVEL` while the
#   caller has no LEVEL, with compose `environment: [LEVEL]`, or from the SDK for Python
#   with environment={"LEVEL": None}. What is LEVEL inside?
# Guess: info. Nothing was given, so the image's default stands (or, at worst, it is empty).
# What happens (engine 20.10.24 and docker-compose 1.29.2 of Debian 12, docker 7.2.0 for
#   Python, November 2026): the variable is gone. A name without `=` goes to the engine,
#   which takes the image's value away. An empty LEVEL is passed on as empty.
# Why it matters: "pass it on if it is set" in a job or a compose file strips defaults such
#   as JAVA_HOME or NODE_ENV on the one machine where the caller does not have them.
# Needs a running engine (Debian's), docker-compose and busybox-static.
set -euo pipefail
v=$(docker version -f '{{.Server.Version}}' 2>&1) || { echo "needs a running engine"; exit 1; }
case $v in 20.10.24*) ;; *) echo "needs engine 20.10.24, found $v"; exit 1;; esac
c=$(dpkg-query -W -f '${Version}' docker-compose) || c=none
[ "$c" = 1.29.2-3 ] || { echo "needs docker-compose 1.29.2-3, found $c"; exit 1; }
d=$(mktemp -d); image=envprobe$$:1
trap 'docker rmi -f "$image" >/dev/null 2>&1 || true; rm -rf "$d"' EXIT; cd "$d"
python3 -m pip install -q --target py docker==7.2.0 2>pip.log || { cat pip.log; exit 1; }
mkdir -p root/bin; cp "$(command -v busybox)" root/bin/busybox
tar -C root -c . | docker import -c 'ENV LEVEL=info' -c 'CMD ["/bin/busybox","env"]' - "$image" >/dev/null
printf 'version: "3.7"\nservices:\n  a: {image: "%s", network_mode: none, environment: [LEVEL]}\n' "$image" > docker-compose.yml
unset LEVEL
run() { docker run --rm --network none "$@" "$image"; }
level() { grep '^LEVEL' || echo "(no LEVEL)"; }
{
  echo "nothing said: $(run | level)"
  echo "-e LEVEL, caller has none: $(run -e LEVEL | level)"
  echo "-e LEVEL, caller's is empty: $(LEVEL= run -e LEVEL | level)"
  echo "compose: $(COMPOSE_API_VERSION=1.41 docker-compose -p "envprobe$$" run --rm a 2>err | level)"
  echo "python: $(IMAGE=$image PYTHONPATH=py python3 -W ignore -c '
import docker, os
c = docker.from_env(version="1.41")
print(c.containers.run(os.environ["IMAGE"], environment={"LEVEL": None}, network_mode="none", remove=True).decode())' | level)"
} > seen
cat seen
diff - seen <<'M' || { echo "changed: what a name without a value does"; exit 1; }
nothing said: LEVEL=info
-e LEVEL, caller has none: (no LEVEL)
-e LEVEL, caller's is empty: LEVEL=
compose: (no LEVEL)
python: (no LEVEL)
M
