"""Runs the calls of tests/golden/gate/calls through a gate with the clients of several Debian releases.

matrix.py run ENGINE BINARY WORK   opens a gate beside the engine that answers here, runs the calls, writes WORK/results
matrix.py table FOLDER             prints the table of all results, and what did not pass
"""
import glob
import json
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
CALLS = os.path.join(HERE, "../../tests/golden/gate/calls")
REGISTRY = "127.0.0.1:5099"
ENGINES = ["20.10", "26.1", "26.1+containerd", "28.5", "28.5+containerd", "29"]
# Name, release ("" is this machine), section, command of the compose client.
CLIENTS = [
    ("docker 20.10", "", "docker", ""),
    ("docker 26.1", "trixie", "docker", ""),
    ("docker 28.5", "forky", "docker", ""),
    ("buildx 0.13", "trixie", "buildx", ""),
    ("buildx 0.29", "forky", "buildx", ""),
    ("compose 1.29", "", "compose", "docker-compose"),
    ("compose 2.26", "trixie", "compose", "docker compose"),
    ("compose 2.40", "forky", "compose", "docker compose"),
    ("docker-py 7.1", "trixie", "python", ""),
    ("docker-py 7.2", "forky", "python", ""),
    ("testcontainers 4.15", "forky", "container", ""),
]
# A client that says so of a call does not know it, or knows that the engine does not.
UNKNOWN = ["unknown flag: --", "unknown command", "requires API version", "unsupported frontend capability", "Compose does not support"]
PRELUDE = """
up() { docker run -d --name "$N" "$@" "$B" sleep 100 >/dev/null; }
dock() { docker build -t "$N:1" "$@" context; }
"""
PYTHON = "import docker; from os import environ as e; B, N, H = e['B'], e['N'], e['DOCKER_HOST']; client = docker.from_env(version='auto')\n"
SERVICE = "services:\n  app:\n    image: {B}\n    command: sleep 100\n    stop_grace_period: 0s\n"


def files(base):
    """What the calls find in their folder."""
    test = "  test:\n    image: %s\n" % base
    service = SERVICE.format(B=base)
    head = 'version: "3.7"\n'
    return {
        "context/Dockerfile": f"FROM {base}\nARG A=0\nRUN true\nCOPY hello /\n",
        "context/Dockerfile.two": f"FROM {base} AS one\nRUN echo 1 >/tmp/one\nFROM {base}\nCOPY --from=one /tmp/one /one\nCOPY hello /\n",
        "context/Dockerfile.secret": f"FROM {base}\nRUN --mount=type=secret,id=s test -s /run/secrets/s\n",
        "context/Dockerfile.ssh": f'FROM {base}\nRUN --mount=type=ssh test -S "$SSH_AUTH_SOCK"\n',
        "context/Dockerfile.other": f"FROM {base}\nCOPY --from=other hello /other\n",
        "context/hello": "hello\n",
        "context/docker-bake.hcl": 'variable "N" {}\ntarget "default" {\n  tags = ["${N}:1"]\n}\n',
        "other/hello": "other\n",
        "docker-compose.yml": head + service,
        "code.yml": head + service + test + "    command: sh -c 'exit 7'\n",
        "health.yml": 'version: "2.4"\n' + service + "    healthcheck: {test: [CMD, 'true'], interval: 1s}\n" + test
        + "    command: 'true'\n    depends_on: {app: {condition: service_healthy}}\n",
        "links.yml": head + service + test + "    command: sleep 100\n    links: ['app:db']\n",
        "ipam.yml": head + service + "    networks: [n]\nnetworks:\n  n:\n    ipam: {config: [{subnet: 10.213.8.0/24}]}\n",
        "profile.yml": head + service + test + "    command: 'true'\n    profiles: [more]\n",
        "secret.yml": head + service + "    secrets: [s]\nsecrets:\n  s: {file: ./secret}\n",
        "config.yml": head + service + "    configs: [{source: c, target: /etc/conf}]\nconfigs:\n  c: {file: ./secret}\n",
        "secret": "secret\n",
        "build.yml": head + "services:\n  app:\n    build: context\n    command: sleep 100\n",
        "port.yml": head + service + "    ports: ['8080:80']\n",
        "volume.yml": head + service + "    volumes: ['data:/data']\nvolumes:\n  data: {}\n",
    }


def calls():
    section, found = "", []
    for line in open(CALLS):
        line = line.rstrip("\n")
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            name, _, snippet = line.partition(" | ")
            found.append((section, name, snippet))
    return found


def job_image(root):
    """An image for the job's own container, with what its programs need of a root file system beside /usr."""
    subprocess.run(
        f"cd {root} && tar -c bin sbin lib lib64 etc | docker import - matrix-job:1", shell=True, check=True, stdout=subprocess.DEVNULL)
    return "matrix-job:1"


def command(release, work, folder, snippet, section):
    """The call in the client's own root file system, where the gate's folder has its own path."""
    if section == "container":
        # Beside the job's other containers, as its script is.
        mounts = [f"{folder['socket']}:/var/run/docker.sock", f"{work}/{release}/usr:/usr:ro", f"{work}/python:/python:ro"]
        return ["docker", "run", "--rm", "--network", folder["network"], *(f"-v{mount}" for mount in mounts), "-eB", "-eN", "-ePYTHONPATH=/python",
                # dockmaster gives the first; the image of the second is in no registry here.
                "-eTESTCONTAINERS_CONNECTION_MODE=bridge_ip", "-eTESTCONTAINERS_RYUK_DISABLED=true",
                job_image(os.path.join(work, release)), "python3", "-c", "from os import environ as e; B, N = e['B'], e['N']\n" + snippet]
    if section == "python":
        inner = ["python3", "-c", PYTHON + snippet]
    else:
        inner = ["sh", "-c", PRELUDE + snippet]
    # Beside an engine of another release, this machine is at /matrix.
    here = "/matrix" if os.path.exists("/matrix/usr/bin/docker") else ""
    root = os.path.join(work, release) if release else here
    # The checkout is where the job has it.
    builds = f"mkdir -p {root}/builds && mount --bind {folder['workspace']} {root}/builds && "
    if root:
        places = [os.path.dirname(folder["socket"])]
        mounts = "".join(f"mkdir -p {root}{p} && mount --bind {p} {root}{p} && " for p in places)
        mounts += f"for f in proc dev; do mount --rbind /$f {root}/$f; done && "
        return ["unshare", "--mount", "sh", "-c", f'{builds}{mounts}exec chroot {root} sh -c \'cd "$W" && exec "$@"\' x "$@"', "x", *inner]
    return ["unshare", "--mount", "sh", "-c", builds + 'cd "$W" && exec "$@"', "x", *inner]


def run(engine, binary, work):
    temp = tempfile.mkdtemp(prefix="dmgate-matrix-")
    told = os.path.join(temp, "gate")
    registry = serve_registry(temp)
    env = dict(os.environ, DOCKMASTER_TEST_OPEN_GATE=told, DOCKMASTER_TEST_REGISTRY=REGISTRY, TMPDIR=temp)
    gate = subprocess.Popen([binary], stdin=subprocess.PIPE, env=env)
    while not os.path.exists(told):
        if gate.poll() is not None:
            sys.exit("the gate did not open")
        time.sleep(0.1)
    folder = json.load(open(told))
    recorder = None
    if recorded := os.environ.get("DOCKMASTER_RECORD"):
        # The requests of every client, as material for tests/golden/gate/requests.
        between = folder["socket"] + ".recorder"
        recorder = subprocess.Popen([sys.executable, os.path.join(HERE, "record-requests.py"), between, folder["socket"], recorded])
        folder["socket"] = between
        time.sleep(0.5)
    only = os.environ.get("DOCKMASTER_MATRIX_CLIENTS", "")
    only_call = os.environ.get("DOCKMASTER_MATRIX_CALLS", "")
    kept = f"{work}/results/{engine}.json"
    # What is not run again stays.
    before = json.load(open(kept)) if only and os.path.exists(kept) else {"passed": {}, "failed": []}
    passed, failed = before["passed"], before["failed"]
    for number, (client, release, section, compose) in enumerate(CLIENTS):
        if only and client not in only.split(","):
            continue
        passed[client] = [0, 0]
        failed = [one for one in failed if one[0] != client]
        place = os.path.join(folder["workspace"], f"c{number}")
        for name, text in files(folder["base"]).items():
            path = os.path.join(place, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            open(path, "w").write(text)
        os.makedirs(os.path.join(place, "real"), exist_ok=True)
        if not os.path.lexists(os.path.join(place, "link")):
            os.symlink("real", os.path.join(place, "link"))
        for index, (kind, name, snippet) in enumerate(calls()):
            if kind != section or only_call not in name:
                continue
            variables = {
                "DOCKER_HOST": "unix://" + folder["socket"], "DOCKER_CONFIG": f"/builds/c{number}/.docker", "B": folder["base"],
                "N": f"dmcall{number}x{index}", "R": REGISTRY, "W": f"/builds/c{number}", "C": compose, "HOME": "/tmp",
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            }
            if section == "container":
                variables["DOCKER_HOST"] = "unix:///var/run/docker.sock"
            asked = command(release, work, folder, snippet, section)
            try:
                done = subprocess.run(asked, env=variables, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
                code, words = done.returncode, (done.stdout + done.stderr).decode(errors="replace")
            except subprocess.TimeoutExpired:
                code, words = 124, "it took more than a minute"
            if code != 0 and any(text in words for text in UNKNOWN):
                continue
            passed[client][0] += code == 0
            passed[client][1] += 1
            if code != 0:
                failed.append([client, name, words.strip()[-400:]])
            # After each call: a run that is cut off tells what it came to.
            json.dump({"engine": engine, "passed": passed, "failed": failed}, open(kept, "w"), indent=1)
            subprocess.run(["docker", "-H", "unix://" + folder["socket"], "rm", "-fv", variables["N"]], capture_output=True)
    if recorder:
        recorder.kill()
        recorder.wait()
    gate.stdin.close()
    gate.wait(600)
    registry.kill()
    registry.wait()


def serve_registry(temp):
    config = os.path.join(temp, "registry.yml")
    open(config, "w").write(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {temp}/registry}}}}\nhttp: {{addr: '{REGISTRY}'}}\n")
    return subprocess.Popen(["docker-registry", "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def table(folder):
    found = {r["engine"]: r for r in (json.load(open(path)) for path in glob.glob(folder + "/*.json"))}
    results = [found[engine] for engine in ENGINES if engine in found]
    print("| client | " + " | ".join(r["engine"] for r in results) + " |")
    print("|---|" + "---|" * len(results))
    for client, *_ in CLIENTS:
        row([client] + [r["passed"].get(client) for r in results])
    row(["all"] + [[sum(cell[n] for cell in r["passed"].values()) for n in (0, 1)] for r in results])
    for result in results:
        for client, name, words in result["failed"]:
            print(f"\n{result['engine']}: {client}: {name}\n    " + words.replace("\n", "\n    "), file=sys.stderr)


def row(cells):
    name, *cells = cells
    if any(cells):
        print(f"| {name} | " + " | ".join(f"{c[0]} of {c[1]}" if c else "–" for c in cells) + " |")


if __name__ == "__main__":
    run(*sys.argv[2:]) if sys.argv[1] == "run" else table(sys.argv[2])
