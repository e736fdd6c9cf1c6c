#!/usr/bin/env bash
# Question: containers.run(image, ["/nope"], name="job", remove=True) of the Docker SDK for
#   Python cannot start the container (no such program). Is anything left of it?
# Guess: no; remove=True is the SDK's `docker run --rm`, and that leaves nothing then.
# What happens (docker 7.2.0 for Python, engine 20.10.24 of Debian 12, November 2026): the
#   container stays, as "created", and has the name: the next try fails with 409, a conflict
#   of names, even where the program is there by then. With detach=True the same words do
#   leave nothing: only then is the engine asked to remove it; else the SDK does, at the end
#   of a run that went well up to the exit.
# Why it matters: one bad release makes every later run of a named job fail for another
#   reason than the first, until somebody removes the container by hand.
# Needs a running engine (Debian's) and busybox-static.
set -euo pipefail
v=$(docker version -f '{{.Server.Version}}' 2>&1) || { echo "needs a running engine"; exit 1; }
case $v in 20.10.24*) ;; *) echo "needs engine 20.10.24, found $v"; exit 1;; esac
d=$(mktemp -d); mark=leftprobe$$
clean() {
  docker ps -aq --filter "ancestor=$mark:1" | xargs -r docker rm -f >/dev/null 2>&1 || true
  docker rmi -f "$mark:1" >/dev/null 2>&1 || true
  rm -rf "$d"
}
trap clean EXIT; cd "$d"
python3 -m pip install -q --target py docker==7.2.0 2>pip.log || { cat pip.log; exit 1; }
mkdir -p root/bin; cp "$(command -v busybox)" root/bin/busybox
tar -C root -c . | docker import - "$mark:1" >/dev/null
{
  docker run --rm --name "$mark-cli" --network none "$mark:1" /nope >/dev/null 2>&1 || echo "docker run --rm: fails"
  echo "left: $(docker ps -a --filter "name=$mark-cli" --format '{{.State}}')"
  MARK=$mark PYTHONPATH=py python3 -W ignore -c '
import docker, os
c = docker.from_env(version="1.41")
mark = os.environ["MARK"]
def run(name, program, **options):
    try:
        c.containers.run(mark + ":1", program, name=f"{mark}-{name}", network_mode="none", remove=True, **options)
        how = "runs"
    except docker.errors.APIError as e:
        how = f"fails, {e.status_code}"
    left = [x.status for x in c.containers.list(all=True, filters={"name": f"{mark}-{name}"})]
    print(f"sdk {name} {program[0]}: {how}, left: {left}")
run("plain", ["/nope"])
run("plain", ["/bin/busybox", "true"])
run("detach", ["/nope"], detach=True)
run("fresh", ["/bin/busybox", "true"])'
} > seen
cat seen
diff - seen <<'M' || { echo "changed: what a failed start leaves"; exit 1; }
docker run --rm: fails
left: 
sdk plain /nope: fails, 400, left: ['created']
sdk plain /bin/busybox: fails, 409, left: ['created']
sdk detach /nope: fails, 400, left: []
sdk fresh /bin/busybox: runs, left: []
M
