#!/usr/bin/env bash
# Question: with Aliyun's older Python SDK, what is sent for a parameter set to None, and
#   for one set to a list?
# Guess: None is left out (the newer SDK does so), a list becomes JSON or Name.1, Name.2.
# What happens (aliyun-python-sdk-core 2.16.1, November 2026): the call carries
#   `Port=None`, and the list as Python prints it, quotes and spaces: `['i-1', None]`. Both
#   are signed and sent without an error.
# Why it matters: an option that a script leaves empty arrives at the server as a value, the
#   text "None", and no error on the client's side says so.
# Talks to a server of its own on the loopback interface only.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m pip install -q --target py aliyun-python-sdk-core==2.16.1 2>pip.log || { cat pip.log; exit 1; }
cat > probe.py <<'M'
import http.server, threading, urllib.parse
class Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        query = urllib.parse.urlsplit(self.path).query
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        for where, text in (("query", query), ("body", body)):
            for name, value in urllib.parse.parse_qsl(text, keep_blank_values=True):
                if name in ("Port", "Servers", "Empty"):
                    print(f"{where} {name}={value}")
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
    def log_message(self, *args):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
threading.Thread(target=server.serve_forever, daemon=True).start()
from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.request import CommonRequest
request = CommonRequest(domain=f"127.0.0.1:{server.server_port}", version="2014-05-15", action_name="Probe")
request.set_method("POST")
for name, value in (("Port", None), ("Servers", ["i-1", None]), ("Empty", "")):
    request.add_query_param(name, value)
request.add_body_params("Port", None)
AcsClient("id", "secret", "cn-hangzhou").do_action_with_exception(request)
M
env -u http_proxy -u HTTP_PROXY NO_PROXY=127.0.0.1 PYTHONPATH=py python3 -W ignore probe.py > seen
cat seen
diff - seen <<'M' || { echo "changed: how None and lists are sent"; exit 1; }
query Port=None
query Servers=['i-1', None]
query Empty=
body Port=None
M
