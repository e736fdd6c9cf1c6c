#!/usr/bin/env bash
# Question: no release on a Chinese holiday: a pipeline asks the npm package chinese-days whether the day is a workday. The
#   days off and the Saturdays worked for them are decreed each autumn. What does it say of a year not decreed yet?
# Guess: the dates fixed by law, such as National Day, are holidays; or an error, as from Python's chinesecalendar.
# What happens (chinese-days 1.5.7, chinesecalendar 1.11.0, November 2026): every weekday is a workday, 1 October 2027
#   and New Year's Day too, and nothing tells it from an answer that is known. chinesecalendar raises NotImplementedError.
# Why it matters: from 1 January on, an installation that was not updated releases on New Year's Day.
set -euo pipefail
command -v npm >/dev/null || { echo "needs npm"; exit 1; }
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
{ npm init -y && npm install --silent --no-audit --no-fund chinese-days@1.5.7; } >npm.log 2>&1 || { cat npm.log; exit 1; }
python3 -m pip install -q --target py chinesecalendar==1.11.0 2>pip.log || { cat pip.log; exit 1; }
node -e '
const days = require("chinese-days");
for (const day of ["2026-10-01", "2026-10-10", "2027-10-01", "2027-01-01"])
  console.log(`chinese-days ${day}: workday ${days.isWorkday(day)}, holiday ${days.isHoliday(day)}`);
' > found
PYTHONPATH=py python3 - >> found <<'M'
import datetime
import chinese_calendar
for day in ("2026-10-01", "2026-10-10", "2027-10-01"):
    try:
        print(f"chinesecalendar {day}: workday {chinese_calendar.is_workday(datetime.date.fromisoformat(day))}")
    except NotImplementedError:
        print(f"chinesecalendar {day}: NotImplementedError")
M
cat found
diff - found <<'W' || { echo "another answer than before"; exit 1; }
chinese-days 2026-10-01: workday false, holiday true
chinese-days 2026-10-10: workday true, holiday false
chinese-days 2027-10-01: workday true, holiday false
chinese-days 2027-01-01: workday true, holiday false
chinesecalendar 2026-10-01: workday False
chinesecalendar 2026-10-10: workday True
chinesecalendar 2027-10-01: NotImplementedError
W
