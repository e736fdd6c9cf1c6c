#!/usr/bin/env bash
# Question: a server line in HAProxy gives no weight. What does `set weight b/app 50%` on
#   the runtime socket do?
# Guess: the server gets half the traffic of its neighbours, as it would with weight 100.
# What happens (HAProxy 2.6.12-1+deb12u4 of Debian 12, November 2026): the default weight
#   is 1, half of it is rounded down to 0: the server gets no new requests at all. The
#   command succeeds and prints nothing. 200% gives 2. On a server with weight 100 it is 50.
# Why it matters: a rollout that brings a host back in steps of 25%, 50%, 100% sends it
#   nothing until the last step; steps by per cent need a weight of 100 in the file.
set -euo pipefail
v=$(dpkg-query -W -f '${Version}' haproxy) || v=none
case $v in 2.6.12-1+deb12u*) ;; *) echo "needs haproxy 2.6.12 of Debian 12, found $v"; exit 1;; esac
d=$(mktemp -d); pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null || true; rm -rf "$d"' EXIT; cd "$d"
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
  server app 127.0.0.1:1
  server hundred 127.0.0.1:1 weight 100
M
haproxy -f cfg -db >log 2>&1 & pid=$!
say() { python3 - "$1" <<'M'
import socket, sys, time
for _ in range(50):
    try:
        s = socket.socket(socket.AF_UNIX); s.connect("s"); break
    except OSError:
        time.sleep(0.1)
s.sendall(sys.argv[1].encode() + b"\n")
print(b"".join(iter(lambda: s.recv(4096), b"")).decode().strip())
M
}
seen=$(for w in 25% 50% 99% 200%; do
  for s in app hundred; do echo "$s $w: $(say "set weight b/$s $w")$(say "get weight b/$s")"; done; done)
echo "$seen"
want='app 25%: 0 (initial 1)
hundred 25%: 25 (initial 100)
app 50%: 0 (initial 1)
hundred 50%: 50 (initial 100)
app 99%: 0 (initial 1)
hundred 99%: 99 (initial 100)
app 200%: 2 (initial 1)
hundred 200%: 200 (initial 100)'
[ "$seen" = "$want" ] || { echo "changed: weights in per cent are worked out otherwise"; exit 1; }
