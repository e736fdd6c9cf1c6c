#!/usr/bin/env bash
# Question: containers.run(…, stdout=True, stderr=True, remove=True) of the Docker SDK for
#   Python runs a program that writes "3 tests failed" to standard output and exits with 3.
#   Where is the text?
# Guess: in the ContainerError that is raised, as output is in subprocess's
#   CalledProcessError; on exit 0 the call returns both streams.
# What happens (docker 7.2.0 for Python, engine 20.10.24 of Debian 12, November 2026): nowhere.
#   The exception has standard error alone, also in its message, and the container that held
#   the rest is removed before it is raised.
# Why it matters: test runners and compilers report on standard output; the one run whose log
#   is wanted is the one that loses it. Run detached, wait, read logs(), then remove.
# Needs a running engine (Debian's) and busybox-static.
set -euo pipefail
v=$(docker version -f '{{.Server.Version}}' 2>&1) || { echo "needs a running engine"; exit 1; }
case $v in 20.10.24*) ;; *) echo "needs engine 20.10.24, found $v"; exit 1;; esac
d=$(mktemp -d); mark=outprobe$$
clean() {
  docker ps -aq --filter "ancestor=$mark:1" | xargs -r docker rm -f >/dev/null 2>&1 || true
  docker rmi -f "$mark:1" >/dev/null 2>&1 || true
  rm -rf "$d"
}
trap clean EXIT; cd "$d"
python3 -m pip install -q --target py docker==7.2.0 2>pip.log || { cat pip.log; exit 1; }
mkdir -p root/bin; cp "$(command -v busybox)" root/bin/busybox
tar -C root -c . | docker import - "$mark:1" >/dev/null
IMAGE=$mark:1 PYTHONPATH=py python3 -W ignore -c '
import docker, os
c = docker.from_env(version="1.41")
for code in (0, 3):
    script = f"echo to-stdout; echo to-stderr >&2; exit {code}"
    try:
        text = c.containers.run(os.environ["IMAGE"], ["/bin/busybox", "sh", "-c", script], network_mode="none",
                                stdout=True, stderr=True, remove=True).decode()
        how = "returned"
    except docker.errors.ContainerError as e:
        text = str(e) + " ".join(str(v) for v in vars(e).values() if not hasattr(v, "attrs"))
        text = text.replace(script, "")
        how = "raised"
    print(f"exit {code}: {how};", *(f"{s} {'"'there'"' if s in text else '"'lost'"'};" for s in ("to-stdout", "to-stderr")))
print("containers left:", len(c.containers.list(all=True, filters={"ancestor": os.environ["IMAGE"]})))' > seen
cat seen
diff - seen <<'M' || { echo "changed: what the error holds"; exit 1; }
exit 0: returned; to-stdout there; to-stderr there;
exit 3: raised; to-stdout lost; to-stderr there;
containers left: 0
M
