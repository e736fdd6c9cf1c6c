#!/usr/bin/env bash
# Question: securesystemslib (under in-toto and TUF) has encode_canonical, "canonical JSON".
#   What does it write for a text with a line end, {"cmd": "make\ninstall"}?
# Guess: {"cmd":"make\ninstall"}: JSON with sorted keys and no spaces, as the Python
#   packages rfc8785 and canonicaljson write it.
# What happens (securesystemslib 1.6.0, rfc8785 0.1.4, canonicaljson 2.0.0, November 2026): the
#   line end stands in the string as it is, and tabs too; only `\` and `"` are escaped. The
#   result is not JSON and json.loads refuses it. A fraction (1.5) is refused on writing.
# Why it matters: a hash over "the canonical JSON" of one record (a log line, a link in a
#   chain) differs between tools as soon as a message has two lines; name the variant, and
#   do not store this output as a .json or .jsonl file.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m pip install -q --target py securesystemslib==1.6.0 rfc8785==0.1.4 canonicaljson==2.0.0 2>pip.log || { cat pip.log; exit 1; }
PYTHONPATH=py python3 -W ignore -c '
import json, canonicaljson, rfc8785
from securesystemslib.formats import encode_canonical
ways = {"securesystemslib": lambda o: encode_canonical(o).encode(), "rfc8785": rfc8785.dumps,
        "canonicaljson": canonicaljson.encode_canonical_json}
for record in ({"n": 1, "cmd": "make"}, {"cmd": "make\ninstall\tx"}, {"t": 1.5}):
    for name, write in ways.items():
        try:
            text = write(record)
        except Exception as e:
            print(name, "raises", type(e).__name__); continue
        try:
            json.loads(text); how = "is JSON"
        except ValueError:
            how = "is not JSON"
        print(name, text, how)' > seen
cat seen
diff - seen <<'M' || { echo "changed: what canonical JSON is"; exit 1; }
securesystemslib b'{"cmd":"make","n":1}' is JSON
rfc8785 b'{"cmd":"make","n":1}' is JSON
canonicaljson b'{"cmd":"make","n":1}' is JSON
securesystemslib b'{"cmd":"make\ninstall\tx"}' is not JSON
rfc8785 b'{"cmd":"make\\ninstall\\tx"}' is JSON
canonicaljson b'{"cmd":"make\\ninstall\\tx"}' is JSON
securesystemslib raises FormatError
rfc8785 b'{"t":1.5}' is JSON
canonicaljson b'{"t":1.5}' is JSON
M
