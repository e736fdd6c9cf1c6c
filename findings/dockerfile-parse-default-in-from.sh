#!/usr/bin/env bash
# Question: what base image does Python's dockerfile-parse report for
#   `ARG V=1.0` / `FROM reg.example/base:${V:-2.0}`?
# Guess: `reg.example/base:1.0`; or, if it knew no defaults, the text left as it is.
# What happens (dockerfile-parse 2.0.1, November 2026): `reg.example/base:1.0:-2.0}`. The
#   name is replaced and the rest of the expression stays behind it. Where V has no value
#   the answer is `reg.example/base::-2.0}`. Nothing is raised.
# Why it matters: bots that list or pin base images from a Dockerfile get a name that no
#   registry has, for a form that the builder itself has always taken.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m pip install -q --target py dockerfile-parse==2.0.1 2>pip.log || { cat pip.log; exit 1; }
seen=$(PYTHONPATH=py python3 -c '
import io
from dockerfile_parse import DockerfileParser
for arg in ("ARG V=1.0", "ARG V"):
    for ref in ("${V}", "${V:-2.0}"):
        p = DockerfileParser(fileobj=io.BytesIO())
        p.content = f"{arg}\nFROM reg.example/base:{ref}\n"
        print(f"{arg:9} {ref:9} {p.baseimage}")')
echo "$seen"
want='ARG V=1.0 ${V}      reg.example/base:1.0
ARG V=1.0 ${V:-2.0} reg.example/base:1.0:-2.0}
ARG V     ${V}      reg.example/base:
ARG V     ${V:-2.0} reg.example/base::-2.0}'
[ "$seen" = "$want" ] || { echo "changed: dockerfile-parse expands defaults otherwise"; exit 1; }
