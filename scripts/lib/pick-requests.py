"""Keeps one request of each kind of what record-requests.py wrote, without names and ids of the machine.

pick-requests.py FILE… >tests/golden/gate/requests.jsonl
"""
import json
import re
import sys

HEX = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}")
KNOWN = [
    (re.compile(r"dmgate-test/dmgate-(test-)?[\d-]+-matrix"), "base"),
    (re.compile(r"dmgate-test%2Fdmgate-(test-)?[\d-]+-matrix"), "base"),
    (re.compile(r"dmcall\d+x\d+"), "app"),
    (HEX, "1" * 64),
    (re.compile(r"\b[0-9a-z]{25}\b"), "session"),
    (re.compile(r"\b1[78]\d{8}(\.\d+)?\b"), "1700000000"),
]


def kind(client, request, body):
    """The same client's requests of one path, with the same parameters and the same fields that say something."""
    path, _, query = request.partition("?")
    if body is None:
        # The same of every version of a client.
        client, path = client.split("/")[0], re.sub(r"/v1\.\d+", "", path)
    names = tuple(sorted(part.partition("=")[0] for part in query.split("&")))
    return client, re.sub("app[^/?]*|1{64}", "", path), names, tuple(said(body))


def said(value, place=""):
    if isinstance(value, dict):
        for key in sorted(value):
            # Words of the job's own are no kinds.
            free = place.endswith(("Labels", "Volumes", "EndpointsConfig", "ExposedPorts", "PortBindings"))
            yield from said(value[key], place + "." + ("*" if free else key))
    elif value not in (None, False, 0, "", []):
        yield place


def brief(value):
    """Without what says nothing."""
    if isinstance(value, dict):
        return {key: brief(part) for key, part in value.items() if part not in (None, False, 0, "", [], {})}
    return value


kept = {}
for path in sys.argv[1:]:
    for line in open(path):
        for pattern, word in KNOWN:
            line = pattern.sub(word, line)
        recorded = json.loads(line)
        match = re.search(r"docker-sdk-python/[\d.]+|Docker-Client/[\d.]+|compose/[\d.]+|buildx/[\d.]+", recorded["agent"], re.I)
        client = match[0] if match else recorded["agent"].split(" ")[0] or "buildkit"
        request, body = recorded["request"], recorded.get("body")
        method, target = request.split(" ", 1)
        if "/session" in target or "/grpc" in target or "images/search" in target:
            continue
        kept.setdefault(kind(client, request, body), (client, request, body))
whole = set()
for client, request, body in sorted(kept.values(), key=lambda it: (it[1].split("/", 2)[-1], it[0])):
    line = {"client": client, "request": request}
    if body is not None:
        # One whole body of each client is enough to see what it writes out.
        path = (client, request.partition("?")[0])
        line["body"] = brief(body) if path in whole else body
        whole.add(path)
    print(json.dumps(line, separators=(",", ":")))
