#!/usr/bin/env bash
# Question: job schedulers for Node.js take "3 hours" by way of the npm package human-interval. What is "an hour", "half
#   an hour", "one and a half hours"?
# Guess: 60, 30 and 90 minutes, or NaN, as for a text that is no time.
# What happens (human-interval 2.0.1, November 2026): 0, 0 and 60 minutes. A word that it does not know counts as nothing,
#   and nothing times an hour is 0, which is a number. "one hour" and "hour" are 60 minutes.
# Why it matters: an interval of 0 is "always" for a scheduler, or "at once" for a time limit.
set -euo pipefail
command -v npm >/dev/null || { echo "needs npm"; exit 1; }
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
{ npm init -y && npm install --silent --no-audit --no-fund human-interval@2.0.1; } >npm.log 2>&1 || { cat npm.log; exit 1; }
node -e '
const interval = require("human-interval");
for (const text of ["one hour", "hour", "an hour", "half an hour", "every hour", "one and a half hours", "soon"])
  console.log(`${text}: ${interval(text) / 60000} minutes`);
' > found
cat found
diff - found <<'W' || { echo "another answer than before"; exit 1; }
one hour: 60 minutes
hour: 60 minutes
an hour: 0 minutes
half an hour: 0 minutes
every hour: 0 minutes
one and a half hours: 60 minutes
soon: NaN minutes
W
