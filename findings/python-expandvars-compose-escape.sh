#!/usr/bin/env bash
# Question: a template of a compose file has `$$NAME`, the escape by which Compose leaves a dollar for the container. A
#   script fills in its other variables first, with one of Python's packages for `${NAME:-default}`. What is left?
# Guess: `$$NAME`, or `$NAME`; or, as in a shell, the process id and the text NAME.
# What happens (expandvars 1.1.2, envsubst 0.1.5 from PyPI, November 2026): expandvars makes `a$$NAME` into `a`, all of it
#   gone, whether NAME is set or not, though a `$$` with nothing behind it becomes the process id. envsubst makes it `a$`,
#   or `a$` with the value.
# Why it matters: what a container's own shell should have expanded is gone before Compose reads the file, with no error.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m pip install -q --target py expandvars==1.1.2 envsubst==0.1.5 2>pip.log || { cat pip.log; exit 1; }
SET=x PYTHONPATH=py python3 - > found <<'M'
import os
import envsubst, expandvars
def shown(text):
    return text.replace(str(os.getpid()), "PID")
for text in ("a$$NAME", "a$$SET", "$$", "${SET}${NAME:-y}"):
    print(text, "->", *(f"[{shown(expand(text))}]" for expand in (expandvars.expand, envsubst.envsubst)))
M
cat found
diff - found <<'W' || { echo "another answer than before"; exit 1; }
a$$NAME -> [a] [a$]
a$$SET -> [a] [a$x]
$$ -> [PID] [$$]
${SET}${NAME:-y} -> [xy] [xy]
W
