#!/usr/bin/env bash
# Question: a TOML file has a table [a], an empty line, a comment about the next table, and
#   [b]. tomlkit, which keeps the style of a file, adds a key to [a]. Where does it go?
# Guess: behind the last key of [a], before the empty line.
# What happens (tomlkit 0.15.2, November 2026): behind the comment. What was said about [b]
#   now stands above the new key, and [b] follows without its comment or the empty line.
#   Deleting [b] leaves its comment behind, at the end of [a].
# Why it matters: a job that adds one setting to a config.toml moves the words "do not change,
#   see incident 12" from one table to a key that they were never about.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m pip install -q --target py tomlkit==0.15.2 2>pip.log || { cat pip.log; exit 1; }
PYTHONPATH=py python3 -c '
import tomlkit
text = "[a]\nx = 1\n\n# about b\n[b]\ny = 2\n"
doc = tomlkit.parse(text)
doc["a"]["new"] = 3
print("--- a key added to a"); print(tomlkit.dumps(doc), end="")
doc = tomlkit.parse(text)
del doc["b"]
print("--- b deleted"); print(tomlkit.dumps(doc), end="")' > seen
cat seen
diff - seen <<'M' || { echo "changed: where a new key goes"; exit 1; }
--- a key added to a
[a]
x = 1

# about b
new = 3
[b]
y = 2
--- b deleted
[a]
x = 1

# about b
M
