#!/usr/bin/env bash
# Question: an Aliyun RPC call gets a list with an empty place, ["i-1", None, "i-3"]. Under
#   which names are the elements sent?
# Guess: what is left is numbered through, `Server.1`, `Server.2` (None is dropped from
#   maps too), or the call is refused.
# What happens (alibabacloud-tea-openapi 0.4.6 for Python, @alicloud/openapi-util 0.3.3 for
#   JavaScript, November 2026): the place keeps its number and is not sent: `Server.1` and
#   `Server.3`. An empty list is not sent at all, so "no servers" looks like "not said".
# Why it matters: what a server makes of a list with a gap is not written anywhere, and a
#   test double that counts up from 1 sees one host of three. Filter lists before the call.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m pip install -q --target py alibabacloud-tea-openapi==0.4.6 2>pip.log || { cat pip.log; exit 1; }
npm install --silent --no-audit --no-fund --prefix . @alicloud/openapi-util@0.3.3 >npm.log 2>&1 || { cat npm.log; exit 1; }
py=$(PYTHONPATH=py python3 -W ignore -c '
from alibabacloud_tea_openapi.utils import Utils
q = Utils.query({"Server": ["i-1", None, "i-3"], "Empty": []})
print(*sorted(f"{k}={v}" for k, v in q.items()))')
js=$(node -e '
const U = require("@alicloud/openapi-util").default;
const q = U.query({ Server: ["i-1", null, "i-3"], Empty: [] });
console.log(Object.entries(q).map(([k, v]) => `${k}=${v}`).sort().join(" "));')
echo "python:     $py"; echo "javascript: $js"
[ "$py" = 'Server.1=i-1 Server.3=i-3' ] || { echo "changed: tea-openapi"; exit 1; }
[ "$js" = 'Server.1=i-1 Server.3=i-3' ] || { echo "changed: openapi-util"; exit 1; }
