#!/usr/bin/env bash
# Question: do the Python and the JavaScript package-url libraries read the qualifier
#   `vcs_url=git+https://…` of one and the same purl alike?
# Guess: yes. A canonical purl has %2B there, but decoding is percent-decoding only, so a
#   plus that a person or a script left as it is stays a plus.
# What happens (packageurl-python 0.17.6, packageurl-js 2.0.1, November 2026): Python keeps
#   the plus and writes it back as %2B. JavaScript reads the qualifiers as a web form:
#   `git https://…`, and writes the space back as %20.
# Why it matters: an SBOM made by one tool and checked by another names no repository that
#   can be cloned, and comparing purls as text fails for the same build.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m pip install -q --target py packageurl-python==0.17.6 2>pip.log || { cat pip.log; exit 1; }
npm install --silent --no-audit --no-fund --prefix . packageurl-js@2.0.1 >npm.log 2>&1 || { cat npm.log; exit 1; }
export PURL='pkg:generic/app@1.0?vcs_url=git+https://code.example/x/app.git'
py=$(PYTHONPATH=py python3 -c '
import os
from packageurl import PackageURL
p = PackageURL.from_string(os.environ["PURL"])
print(p.qualifiers["vcs_url"], p.to_string().split("=")[1].split("http")[0])')
js=$(node -e '
const { PackageURL } = require("packageurl-js");
const p = PackageURL.fromString(process.env.PURL);
console.log(p.qualifiers.vcs_url, p.toString().split("=")[1].split("http")[0]);')
echo "python:     $py"; echo "javascript: $js"
[ "$py" = 'git+https://code.example/x/app.git git%2B' ] || { echo "changed: packageurl-python"; exit 1; }
[ "$js" = 'git https://code.example/x/app.git git%20' ] || { echo "changed: packageurl-js"; exit 1; }
