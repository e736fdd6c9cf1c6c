#!/usr/bin/env bash
# Question: what does `GET /v2/app/tags/list?n=2` answer on a registry 2.8 with five tags?
# Guess: two tags and a Link header to the next page: so says the distribution specification,
#   and `_catalog?n=` of the same server pages.
# What happens (docker-registry 2.8.2+ds1-1 of Debian 12, November 2026): all five tags, no
#   Link; `last=` does nothing, so a client that pages by it gets the whole list each time.
#   `_catalog?n=1` does page.
# Why it matters: a client that pages counts the same tags again and again, and one that asks
#   for n=1 as a cheap probe reads the list of a repository of years.
set -euo pipefail
v=$(dpkg-query -W -f '${Version}' docker-registry) || v=none
[ "$v" = 2.8.2+ds1-1 ] || { echo "needs docker-registry 2.8.2+ds1-1, found $v"; exit 1; }
d=$(mktemp -d); pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$d"' EXIT; cd "$d"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: "%s/data"}}\nhttp: {addr: "127.0.0.1:%s"}\nlog: {level: error}\n' \
  "$d" "$port" > c.yml
docker-registry serve c.yml >log 2>&1 & pid=$!
cat > probe.py <<'M'
import hashlib, http.client, json, sys, time
def call(method, path, body=None, **headers):
    for _ in range(50):
        try:
            c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
            c.request(method, path, body, headers)
            r = c.getresponse()
            return r.status, r.headers, r.read()
        except ConnectionRefusedError:
            time.sleep(0.1)
    raise SystemExit("the registry did not start")
kind = "application/vnd.oci.image."
for repo in ("app", "other"):
    where = call("POST", f"/v2/{repo}/blobs/uploads/")[1]["Location"]
    digest = "sha256:" + hashlib.sha256(b"{}").hexdigest()
    call("PUT", where[where.index("/v2/"):] + "&digest=" + digest, b"{}")
    manifest = json.dumps({"schemaVersion": 2, "mediaType": kind + "manifest.v1+json", "layers": [],
        "config": {"mediaType": kind + "config.v1+json", "size": 2, "digest": digest}})
    for tag in ("v1", "v2", "v9", "v10", "latest"):
        h = {"Content-Type": kind + "manifest.v1+json"}
        assert call("PUT", f"/v2/{repo}/manifests/{tag}", manifest, **h)[0] == 201
for path in ("app/tags/list", "app/tags/list?n=2", "app/tags/list?n=2&last=v1", "_catalog?n=1"):
    status, headers, body = call("GET", "/v2/" + path)
    print(path, status, *sorted(json.loads(body).get("tags") or json.loads(body)["repositories"]),
          "link" if headers["Link"] else "no-link")
M
python3 probe.py "$port" > seen; cat seen
diff - seen <<'M' || { echo "changed: how the registry pages"; exit 1; }
app/tags/list 200 latest v1 v10 v2 v9 no-link
app/tags/list?n=2 200 latest v1 v10 v2 v9 no-link
app/tags/list?n=2&last=v1 200 latest v1 v10 v2 v9 no-link
_catalog?n=1 200 app link
M
