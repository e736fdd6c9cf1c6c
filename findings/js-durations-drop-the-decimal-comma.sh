#!/usr/bin/env bash
# Question: somebody who writes decimals with a comma sets a time limit to `1,5h`, and another one subtracts, in
#   `2h -15m`. What do the npm packages parse-duration and timestring make of it?
# Guess: an hour and a half, or an error; an hour and three quarters, or an error.
# What happens (parse-duration 2.1.9, timestring 7.0.0, November 2026): fifteen hours, for both: a comma is dropped, as
#   one between thousands. And two hours and a quarter, for both: a minus in the middle is dropped, too.
# Why it matters: a limit that is ten times what was meant, or a margin with the wrong sign, is taken with no error.
set -euo pipefail
command -v npm >/dev/null || { echo "needs npm"; exit 1; }
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
{ npm init -y && npm install --silent --no-audit --no-fund parse-duration@2.1.9 timestring@7.0.0; } >npm.log 2>&1 || { cat npm.log; exit 1; }
cat > probe.mjs <<'M'
import parse from "parse-duration";
import timestring from "timestring";
for (const text of ["1.5h", "1,5h", "0,5s", "2h -15m"])
  console.log(`${text}: parse-duration ${parse(text) / 1000} s, timestring ${timestring(text)} s`);
M
node probe.mjs > found
cat found
diff - found <<'W' || { echo "another answer than before"; exit 1; }
1.5h: parse-duration 5400 s, timestring 5400 s
1,5h: parse-duration 54000 s, timestring 54000 s
0,5s: parse-duration 5 s, timestring 5 s
2h -15m: parse-duration 8100 s, timestring 8100 s
W
