#!/usr/bin/env bash
# Question: a predicate with {"jobId": 42, "size": 9007199254740993} goes into
#   in-toto-attestation's Statement and out again as JSON. What are the numbers?
# Guess: 42 and 9007199254740993. They are Python integers, and JSON has no other kind.
# What happens (in-toto-attestation 0.9.3 with protobuf 7.36.2 for Python, November 2026):
#   `42.0` and `9007199254740992.0`. The predicate is a protobuf Struct, whose numbers are
#   all doubles; validate() finds nothing to say. Reading JSON back gives 42.0 as well.
# Why it matters: a reader with typed fields (Go's int, Rust's u64) refuses `42.0`, a number
#   over 2^53 is another number, and parse-and-write-again changes the digest.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m pip install -q --target py in-toto-attestation==0.9.3 protobuf==7.36.2 2>pip.log || { cat pip.log; exit 1; }
PYTHONPATH=py python3 -W ignore -c '
import json
from google.protobuf import json_format
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement
subject = ResourceDescriptor(name="app", digest={"sha256": "0" * 64}).pb
given = {"jobId": 42, "size": 2**53 + 1, "ok": True, "name": "42"}
s = Statement([subject], "https://example.org/predicate/v1", given)
s.validate()
text = json_format.MessageToJson(s.pb)
print("written:", json.dumps(json.loads(text)["predicate"], sort_keys=True))
whole = json.loads(text); whole["predicate"] = given
again = json_format.Parse(json.dumps(whole), type(s.pb)())
print("read:", json.dumps(json_format.MessageToDict(again)["predicate"], sort_keys=True))' > seen
cat seen
diff - seen <<'M' || { echo "changed: numbers in a predicate"; exit 1; }
written: {"jobId": 42.0, "name": "42", "ok": true, "size": 9007199254740992.0}
read: {"jobId": 42.0, "name": "42", "ok": true, "size": 9007199254740992.0}
M
