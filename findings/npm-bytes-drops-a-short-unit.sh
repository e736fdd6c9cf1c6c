#!/usr/bin/env bash
# Question: what does npm's `bytes` make of "512m" and "1.5g", as Docker writes sizes?
# Guess: 536870912 and 1610612736; or null, its answer to what it does not understand.
# What happens (bytes 3.1.2, November 2026): 512 and 1. Only units with a b are known
#   ("512mb" is 536870912); anything else is read as far as it is a whole number, and the
#   rest, fraction and unit, is dropped. "1.5gib" is 1 as well.
# Why it matters: a limit copied from a compose file into a Node tool (an upload or log
#   limit) becomes a few bytes, and what is over it is refused or cut.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
npm install --silent --no-audit --no-fund --prefix . bytes@3.1.2 >npm.log 2>&1 || { cat npm.log; exit 1; }
node -e '
const bytes = require("bytes");
for (const s of ["512mb", "512m", "1.5gb", "1.5g", "1.5gib", "2 parsecs", "much"]) console.log(s, bytes.parse(s));' > seen
cat seen
diff - seen <<'M' || { echo "changed: which units bytes knows"; exit 1; }
512mb 536870912
512m 512
1.5gb 1610612736
1.5g 1
1.5gib 1
2 parsecs 2
much null
M
