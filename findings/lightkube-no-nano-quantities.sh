#!/usr/bin/env bash
# Question: what does lightkube's parse_quantity make of "250000n", the CPU use of a
#   container as Kubernetes' metrics API gives it, and of "1E3"?
# Guess: 0.00025 and 1000; the function says that it reads Kubernetes quantities, and the
#   official Python client reads both.
# What happens (lightkube 1.0.1, kubernetes 37.0.2 for Python, November 2026): ValueError,
#   "Invalid unit suffix". It knows no n and no u, and takes the exponent with a small e
#   only; it takes Z and Y, which the format lacks. What is below a thousandth is rounded up
#   to one, so "0.1m" and "1m" are equal.
# Why it matters: comparing limits works for years, and the first reader of live metrics
#   (a check of a host's load before a rollout) raises on nearly every value.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m pip install -q --target py lightkube==1.0.1 kubernetes==37.0.2 2>pip.log || { cat pip.log; exit 1; }
PYTHONPATH=py python3 -W ignore -c '
from kubernetes.utils import parse_quantity as official
from lightkube.utils.quantity import parse_quantity as lightkube
def said(parse, text):
    try:
        return format(parse(text).normalize(), "f")
    except ValueError as e:
        return "ValueError"
for text in ("250m", "1.5Gi", "1e3", "1E3", "250000n", "15u", "0.1m", "1Z"):
    print(text, "kubernetes", said(official, text), "lightkube", said(lightkube, text))' > seen
cat seen
diff - seen <<'M' || { echo "changed: which quantities are read"; exit 1; }
250m kubernetes 0.25 lightkube 0.25
1.5Gi kubernetes 1610612736 lightkube 1610612736
1e3 kubernetes 1000 lightkube 1000
1E3 kubernetes 1000 lightkube ValueError
250000n kubernetes 0.00025 lightkube ValueError
15u kubernetes 0.000015 lightkube ValueError
0.1m kubernetes 0.0001 lightkube 0.001
1Z kubernetes ValueError lightkube 1000000000000000000000
M
