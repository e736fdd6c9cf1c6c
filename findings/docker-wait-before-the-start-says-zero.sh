#!/usr/bin/env bash
# Question: what does `docker wait job` do for a container that is created and not started?
# Guess: it waits until the container has run, and prints its exit code; that is what it is
#   for, and a script may start it a moment later.
# What happens (engine 20.10.24 of Debian 12 and docker 7.2.0 for Python, November 2026): it
#   returns at once with 0. "Not running" is the condition, the exit code of what never ran
#   is 0, and inspect says ExitCode 0 too. In the SDK, condition="next-exit" does wait.
# Why it matters: `create`, `wait &`, `start`, written so that no exit is missed, reports a
#   migration as done before it began, whatever it then returns.
# Needs a running engine (Debian's) and busybox-static.
set -euo pipefail
v=$(docker version -f '{{.Server.Version}}' 2>&1) || { echo "needs a running engine"; exit 1; }
case $v in 20.10.24*) ;; *) echo "needs engine 20.10.24, found $v"; exit 1;; esac
d=$(mktemp -d); mark=waitprobe$$
clean() {
  docker ps -aq --filter "label=$mark" | xargs -r docker rm -f >/dev/null 2>&1 || true
  docker rmi -f "$mark:1" >/dev/null 2>&1 || true
  rm -rf "$d"
}
trap clean EXIT; cd "$d"
python3 -m pip install -q --target py docker==7.2.0 2>pip.log || { cat pip.log; exit 1; }
mkdir -p root/bin; cp "$(command -v busybox)" root/bin/busybox
tar -C root -c . | docker import - "$mark:1" >/dev/null
for name in cli sdk next; do
  docker create --name "$mark-$name" --label "$mark" --network none "$mark:1" /bin/busybox sh -c 'exit 7' >/dev/null
done
{
  echo "docker wait: $(timeout 20 docker wait "$mark-cli"), $(docker inspect -f '{{.State.Status}}, ExitCode {{.State.ExitCode}}' "$mark-cli")"
  docker start -a "$mark-cli" || true
  echo "docker wait after it ran: $(timeout 20 docker wait "$mark-cli")"
  MARK=$mark PYTHONPATH=py python3 -W ignore -c '
import docker, os, threading
c = docker.from_env(version="1.41")
print("sdk wait:", c.containers.get(os.environ["MARK"] + "-sdk").wait(timeout=20)["StatusCode"])
job = c.containers.get(os.environ["MARK"] + "-next")
threading.Timer(2, job.start).start()
print("sdk next-exit:", job.wait(timeout=20, condition="next-exit")["StatusCode"])'
} > seen
cat seen
diff - seen <<'M' || { echo "changed: waiting for what has not started"; exit 1; }
docker wait: 0, created, ExitCode 0
docker wait after it ran: 7
sdk wait: 0
sdk next-exit: 7
M
