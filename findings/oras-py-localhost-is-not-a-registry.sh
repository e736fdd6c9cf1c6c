#!/usr/bin/env bash
# Question: which registry does the Python oras client ask for `localhost/app:1`?
# Guess: the one on this machine. Docker's grammar treats `localhost` as a host even
#   without a dot or a port, and every client copies that rule.
# What happens (oras 0.2.43, November 2026): `localhost` becomes the namespace and the
#   registry is the same public default as for the bare name `app`. With a port
#   (`localhost:80/app:1`) it is a host again.
# Why it matters: a smoke test that pushes to a registry on port 80 of the CI machine
#   talks to the public hub instead, with whatever login is stored for it.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m pip install -q --target py oras==0.2.43 2>pip.log || { cat pip.log; exit 1; }
seen=$(PYTHONPATH=py python3 -c '
from oras.container import Container
default = Container("app:1").registry
for ref in ("localhost/app:1", "localhost:80/app:1", "127.0.0.1/app:1"):
    c = Container(ref)
    where = "the default registry" if c.registry == default else c.registry
    print(f"{ref}: registry={where} namespace={c.namespace} repository={c.repository}")')
echo "$seen"
want='localhost/app:1: registry=the default registry namespace=localhost repository=app
localhost:80/app:1: registry=localhost:80 namespace=None repository=app
127.0.0.1/app:1: registry=127.0.0.1 namespace=None repository=app'
[ "$seen" = "$want" ] || { echo "changed: oras reads localhost otherwise"; exit 1; }
