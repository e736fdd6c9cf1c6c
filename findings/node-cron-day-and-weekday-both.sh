#!/usr/bin/env bash
# Question: on which days does npm's node-cron run `0 0 13 * 5`?
# Guess: on the 13th and on every Friday. If both day fields are given, one is enough: so say
#   crontab(5), and npm's cron-parser and croner and Python's croniter do so.
# What happens (node-cron 4.6.0, cron-parser 5.10.5, croner 11.0.0, croniter 7.0.0, November
#   2026): only on a Friday the 13th, one to three times a year. No warning.
# Why it matters: a job moved out of a crontab or a GitLab schedule ("on the 1st, and each
#   Monday") is accepted and then runs a few times a year.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
npm install --silent --no-audit --no-fund --prefix . node-cron@4.6.0 cron-parser@5.10.5 croner@11.0.0 >npm.log 2>&1 || { cat npm.log; exit 1; }
python3 -m pip install -q --target py croniter==7.0.0 2>pip.log || { cat pip.log; exit 1; }
cat > probe.mjs <<'M'
import { createRequire } from "node:module";
const require = createRequire(import.meta.url);
const rule = "0 0 13 * 5";
const { CronExpressionParser } = require("cron-parser");
const { Cron } = await import("croner");
const nodeCron = require("node-cron");
const parsed = CronExpressionParser.parse(rule, { tz: "UTC" });
const runs = {
  "cron-parser": Array.from({ length: 200 }, () => parsed.next().toDate()),
  croner: new Cron(rule, { timezone: "UTC" }).nextRuns(200),
  "node-cron": nodeCron.createTask(rule, () => {}, { timezone: "UTC" }).getNextRuns(40),
};
for (const [name, list] of Object.entries(runs)) {
  const kinds = new Set(list.map((t) => {
    const friday = t.getUTCDay() === 5, thirteenth = t.getUTCDate() === 13;
    return friday && thirteenth ? "Friday the 13th" : friday ? "another Friday" : thirteenth ? "another 13th" : "?";
  }));
  console.log(`${name}: ${[...kinds].sort().join(", ")}`);
}
M
node probe.mjs > seen
PYTHONPATH=py python3 -W ignore -c '
from datetime import datetime
from croniter import croniter
runs = croniter("0 0 13 * 5", datetime(2026, 11, 1))
kinds = set()
for _ in range(200):
    t = runs.get_next(datetime)
    kinds.add({(True, True): "Friday the 13th", (True, False): "another Friday",
               (False, True): "another 13th"}[t.weekday() == 4, t.day == 13])
print("croniter:", ", ".join(sorted(kinds)))' >> seen
cat seen
diff - seen <<'M' || { echo "changed: how the two day fields go together"; exit 1; }
cron-parser: Friday the 13th, another 13th, another Friday
croner: Friday the 13th, another 13th, another Friday
node-cron: Friday the 13th
croniter: Friday the 13th, another 13th, another Friday
M
