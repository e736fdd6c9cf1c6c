#!/usr/bin/env bash
# Question: an Aliyun endpoint answers HTTP 200 with {"Code": "Throttling", …} in the body.
#   Do the vendor's SDKs raise an error?
# Guess: all or none; they are generations of one thing and the rule is the vendor's.
# What happens (aliyun-python-sdk-core 2.16.1, alibabacloud-tea-openapi 0.4.6 for Python,
#   npm @alicloud/pop-core 1.8.0, November 2026): both Python ones return the body as a
#   success; pop-core throws. It throws as well for a Code it does not list among its good
#   ones: "OK" passes, "Accepted" does not.
# Why it matters: code carried from one language to the other either misses a refused
#   weight change or fails on a good answer; look at Code yourself.
# Talks to a server of its own on the loopback interface only.
set -euo pipefail
d=$(mktemp -d); pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$d"' EXIT; cd "$d"
python3 -m pip install -q --target py aliyun-python-sdk-core==2.16.1 alibabacloud-tea-openapi==0.4.6 \
  alibabacloud-tea-util==0.3.15 2>pip.log || { cat pip.log; exit 1; }
npm install --silent --no-audit --no-fund --prefix . @alicloud/pop-core@1.8.0 >npm.log 2>&1 || { cat npm.log; exit 1; }
cat > server.py <<'M'
import http.server, json, os, re
class Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = self.path + self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        code = re.search(r"Action=Say([A-Za-z]+)", asked).group(1)
        body = json.dumps({"RequestId": "r", "Code": code, "Message": "m"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self): self.do_POST()
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
open("port.tmp", "w").write(str(server.server_port)); os.rename("port.tmp", "port")
server.serve_forever()
M
cat > probe.py <<'M'
import sys
port, codes = sys.argv[1], sys.argv[2:]
from aliyunsdkcore.client import AcsClient
from aliyunsdkcore.request import CommonRequest
from alibabacloud_tea_openapi import models as m
from alibabacloud_tea_openapi.client import Client
from alibabacloud_tea_util.models import RuntimeOptions
def core(code):
    r = CommonRequest(domain=f"127.0.0.1:{port}", version="2014-05-15", action_name="Say" + code)
    r.set_method("POST")
    AcsClient("id", "secret", "cn-hangzhou").do_action_with_exception(r)
def tea(code):
    c = Client(m.Config(access_key_id="id", access_key_secret="secret", endpoint=f"127.0.0.1:{port}", region_id="cn-hangzhou"))
    p = m.Params(action="Say" + code, version="2014-05-15", protocol="HTTP", method="POST", auth_type="AK",
                 style="RPC", pathname="/", req_body_type="formData", body_type="json")
    c.call_api(p, m.OpenApiRequest(query={"Action": "Say" + code}), RuntimeOptions())
for name, call in (("python core", core), ("python tea-openapi", tea)):
    said = []
    for code in codes:
        try:
            call(code); said.append(code + "=returned")
        except Exception as e:
            said.append(code + "=raised")
    print(name + ":", *said)
M
cat > probe.js <<'M'
const Core = require("@alicloud/pop-core");
const [port, ...codes] = process.argv.slice(2);
const c = new Core({ accessKeyId: "id", accessKeySecret: "secret", endpoint: `http://127.0.0.1:${port}`, apiVersion: "2014-05-15" });
(async () => {
  const said = [];
  for (const code of codes)
    said.push(await c.request("Say" + code, {}, { method: "POST" }).then(() => code + "=returned", () => code + "=raised"));
  console.log("npm pop-core:", ...said);
})();
M
python3 server.py & pid=$!
for _ in $(seq 50); do [ -e port ] && break; sleep 0.1; done
export NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
{
  PYTHONPATH=py python3 -W ignore probe.py "$(cat port)" Throttling OK Accepted
  node probe.js "$(cat port)" Throttling OK Accepted
} > seen
cat seen
diff - seen <<'M' || { echo "changed: what an error in a 200 body does"; exit 1; }
python core: Throttling=returned OK=returned Accepted=returned
python tea-openapi: Throttling=returned OK=returned Accepted=returned
npm pop-core: Throttling=raised OK=returned Accepted=raised
M
