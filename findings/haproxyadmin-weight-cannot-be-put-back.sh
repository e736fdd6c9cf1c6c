#!/usr/bin/env bash
# Question: a script remembers `w = server.weight`, takes the server out with
#   server.setweight(0) and later calls server.setweight(w). Does haproxyadmin take it?
# Guess: yes; requests, lastchg and the other numbers of the same object are integers.
# What happens (haproxyadmin 0.2.4 for Python, HAProxy 2.6.12 of Debian 12, November 2026):
#   weight is the text "100", and setweight takes integers, or text with a per cent sign;
#   "100" raises ValueError ("need to be passed as integers").
# Why it matters: the error comes in the last step, when the server stands at 0, and a test
#   with a fixed number never shows it. Write setweight(int(w)).
set -euo pipefail
v=$(dpkg-query -W -f '${Version}' haproxy) || v=none
case $v in 2.6.12-1+deb12u*) ;; *) echo "needs haproxy 2.6.12 of Debian 12, found $v"; exit 1;; esac
d=$(mktemp -d); pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$d"' EXIT; cd "$d"
python3 -m pip install -q --target py haproxyadmin==0.2.4 2>pip.log || { cat pip.log; exit 1; }
cat > cfg <<M
global
  stats socket $d/s level admin
defaults
  mode http
  timeout connect 1s
  timeout client 1s
  timeout server 1s
backend b
  balance roundrobin
  server app 127.0.0.1:1 weight 100
M
haproxy -f cfg -db >log 2>&1 & pid=$!
for _ in $(seq 50); do [ -S s ] && break; sleep 0.1; done
sleep 0.5
PYTHONPATH=py python3 -W ignore -c '
from haproxyadmin import haproxy
server = haproxy.HAProxy(socket_file="s").server("app")[0]
before = server.weight
print("weight", repr(before), "requests", repr(server.requests))
server.setweight(0)
try:
    server.setweight(before)
    print("put back")
except ValueError:
    print("refused, the weight is", repr(server.weight))
server.setweight("100%")
print("per cent", repr(server.weight))' > seen
cat seen
diff - seen <<'M' || { echo "changed: the type of a weight"; exit 1; }
weight '100' requests 0
refused, the weight is '0'
per cent '100'
M
