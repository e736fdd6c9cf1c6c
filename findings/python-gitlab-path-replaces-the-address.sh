#!/usr/bin/env bash
# Question: what does python-gitlab ask for with project.commits.list(path="src/app.c"), the
#   filter that GitLab's commits API calls `path`?
# Guess: `…/repository/commits?path=src/app.c`; repository_tree(path=…) works like that.
# What happens (python-gitlab 8.6.0, November 2026): the request goes to
#   `/api/v4src/app.c`: `path` is the name of an argument further in, the address to call.
#   No error is raised here. query_parameters={"path": …} sends the filter.
# Why it matters: "which commits since the last release touched this service" is answered
#   by whatever lies at that address, as a rule a 404 that does not name the argument.
# Talks to a server of its own on the loopback interface only.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m pip install -q --target py python-gitlab==8.6.0 2>pip.log || { cat pip.log; exit 1; }
cat > probe.py <<'M'
import http.server, threading, urllib.parse
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print(urllib.parse.unquote(self.path))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"[]")
    def log_message(self, *args):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
threading.Thread(target=server.serve_forever, daemon=True).start()
import gitlab
project = gitlab.Gitlab(f"http://127.0.0.1:{server.server_port}", private_token="x").projects.get(1, lazy=True)
project.commits.list(ref_name="main", get_all=False)
project.commits.list(path="src/app.c", ref_name="main", get_all=False)
project.commits.list(query_parameters={"path": "src/app.c"}, get_all=False)
M
env -u http_proxy -u HTTP_PROXY NO_PROXY=127.0.0.1 PYTHONPATH=py python3 -W ignore probe.py > seen
cat seen
diff - seen <<'M' || { echo "changed: what path means to list()"; exit 1; }
/api/v4/projects/1/repository/commits?ref_name=main
/api/v4src/app.c?ref_name=main
/api/v4/projects/1/repository/commits?path=src/app.c
M
