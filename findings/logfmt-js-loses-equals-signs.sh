#!/usr/bin/env bash
# Question: a line of a log in logfmt, as HAProxy's and Go's tools write them, has a value with an equals sign in it and
#   no quotes: a query, a digest in base64. What does the npm package logfmt read?
# Guess: the first equals sign ends the key, and the others belong to the value.
# What happens (logfmt 1.4.0, November 2026): every further sign is dropped: `url=http://app/?a=b` becomes
#   `http://app/?ab`, and `token=YWI=` becomes `YWI`. In quotes they stay, and the package's own writer quotes them.
# Why it matters: what is looked up by such a value is not found, and the padding of base64 is gone, with no error.
set -euo pipefail
command -v npm >/dev/null || { echo "needs npm"; exit 1; }
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
{ npm init -y && npm install --silent --no-audit --no-fund logfmt@1.4.0; } >npm.log 2>&1 || { cat npm.log; exit 1; }
node -e '
const logfmt = require("logfmt");
for (const line of ["url=http://app/?a=b&c=d", "token=YWI=", "token=\"YWI=\"", logfmt.stringify({ token: "YWI=" })])
  console.log(line, "->", JSON.stringify(logfmt.parse(line)));
' > found
cat found
diff - found <<'W' || { echo "another answer than before"; exit 1; }
url=http://app/?a=b&c=d -> {"url":"http://app/?ab&cd"}
token=YWI= -> {"token":"YWI"}
token="YWI=" -> {"token":"YWI="}
token="YWI=" -> {"token":"YWI="}
W
