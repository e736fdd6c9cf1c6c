#!/usr/bin/env bash
# Question: Alibaba's SDKs for ALB and NLB call AddServersToServerGroup and
#   RemoveServersFromServerGroup with a list of servers. Does the list travel in the query or
#   in the form, and is it the same place for both calls and both products?
# Guess: one place; they are twins, generated from one kind of description.
# What happens (alibabacloud-alb20200616 1.3.3, alibabacloud-nlb20220430 4.1.3 for Python,
#   November 2026): NLB sends all in the form. ALB sends the group's id in the query and the
#   servers of Add and Update in the form, but those of Remove in the query.
# Why it matters: a test double that reads one of the two places finds no servers in some
#   calls; and signing covers the form by its hash only, so moving a parameter by hand breaks it.
# Talks to a server of its own on the loopback interface only.
set -euo pipefail
d=$(mktemp -d); pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$d"' EXIT; cd "$d"
python3 -m pip install -q --target py alibabacloud-alb20200616==1.3.3 alibabacloud-nlb20220430==4.1.3 \
  2>pip.log || { cat pip.log; exit 1; }
cat > server.py <<'M'
import http.server, os, urllib.parse
class Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        form = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        query = urllib.parse.urlsplit(self.path).query
        names = lambda text: sorted({n.split(".")[0] for n, _ in urllib.parse.parse_qsl(text)})
        host = self.headers["x-acs-version"]
        print(host, self.headers["x-acs-action"], "query:", *names(query), "form:", *names(form),
              file=open("seen", "a"))
        body = b'{"RequestId": "r", "JobId": "j"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
open("port.tmp", "w").write(str(server.server_port)); os.rename("port.tmp", "port")
server.serve_forever()
M
cat > probe.py <<'M'
import importlib, sys
from alibabacloud_tea_openapi.utils_models import Config
for package in ("alibabacloud_alb20200616", "alibabacloud_nlb20220430"):
    client = importlib.import_module(package + ".client").Client(Config(
        access_key_id="id", access_key_secret="secret", protocol="http",
        endpoint=f"127.0.0.1:{sys.argv[1]}", region_id="cn-hangzhou"))
    models = importlib.import_module(package + ".models")
    for call, name in (("update_server_group_servers_attribute", "UpdateServerGroupServersAttribute"),
                       ("add_servers_to_server_group", "AddServersToServerGroup"),
                       ("remove_servers_from_server_group", "RemoveServersFromServerGroup")):
        server = getattr(models, name + "RequestServers")(server_id="i-1", server_type="Ecs", port=80)
        getattr(client, call)(getattr(models, name + "Request")(server_group_id="sgp-1", servers=[server]))
M
python3 server.py & pid=$!
for _ in $(seq 50); do [ -e port ] && break; sleep 0.1; done
NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 PYTHONPATH=py python3 -W ignore probe.py "$(cat port)"
cat seen
diff - seen <<'M' || { echo "changed: where the servers of a call travel"; exit 1; }
2020-06-16 UpdateServerGroupServersAttribute query: ServerGroupId form: Servers
2020-06-16 AddServersToServerGroup query: ServerGroupId form: Servers
2020-06-16 RemoveServersFromServerGroup query: ServerGroupId Servers form:
2022-04-30 UpdateServerGroupServersAttribute query: form: ServerGroupId Servers
2022-04-30 AddServersToServerGroup query: form: ServerGroupId Servers
2022-04-30 RemoveServersFromServerGroup query: form: ServerGroupId Servers
M
