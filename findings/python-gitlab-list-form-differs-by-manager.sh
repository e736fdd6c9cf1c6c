#!/usr/bin/env bash
# Question: how does python-gitlab send scope=["failed", "success"] when it lists the jobs
#   of a pipeline, and its bridges (the jobs that start other pipelines)?
# Guess: alike, as `scope[]=failed&scope[]=success`, the form GitLab's API pages give for
#   both.
# What happens (python-gitlab 8.6.0, November 2026): jobs get `scope[]=`; bridges, and the
#   filter `not`, get the bare name twice (`scope=failed&scope=success`). The library knows
#   per class which names are arrays and sends every other list without brackets.
# Why it matters: a Rails server reads a bare name twice as its last value only, so "failed
#   or success" can silently become "success". Write the brackets into query_parameters.
# Talks to a server of its own on the loopback interface only.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m pip install -q --target py python-gitlab==8.6.0 2>pip.log || { cat pip.log; exit 1; }
cat > probe.py <<'M'
import http.server, threading, urllib.parse
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = urllib.parse.urlsplit(self.path)
        print(path.path.rsplit("/", 1)[1], urllib.parse.unquote(path.query))
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
pipeline = project.pipelines.get(5, lazy=True)
states = ["failed", "success"]
pipeline.jobs.list(scope=states, get_all=False)
pipeline.bridges.list(scope=states, get_all=False)
pipeline.bridges.list(query_parameters={"scope[]": states}, get_all=False)
project.issues.list(**{"not": {"labels": ["a", "b"]}}, get_all=False)
M
env -u http_proxy -u HTTP_PROXY NO_PROXY=127.0.0.1 PYTHONPATH=py python3 -W ignore probe.py > seen
cat seen
diff - seen <<'M' || { echo "changed: how lists are sent"; exit 1; }
jobs scope[]=failed&scope[]=success
bridges scope=failed&scope=success
bridges scope[]=failed&scope[]=success
issues not[labels]=a&not[labels]=b
M
