#!/usr/bin/env bash
# Question: a server line has `slowstart 60s`. A rollout takes the server out and brings it
#   back through the runtime socket. Does it come back slowly?
# Guess: yes, in whichever of the three ways it went (weight 0 and 100, `state drain` and
#   `state ready`, `state maint` and `state ready`): it had no traffic in between.
# What happens (HAProxy 2.6.12 of Debian 12, November 2026): only after `maint`. From weight
#   0 and from drain the full weight is there at once, with health checks or without. (The
#   manual's words are "previously seen as failed"; maint, which is no failure, counts.)
# Why it matters: drain is the gentle way out, so rollouts use it; the cold service that
#   slowstart was written down for then takes its whole share in the first second.
set -euo pipefail
v=$(dpkg-query -W -f '${Version}' haproxy) || v=none
case $v in 2.6.12-1+deb12u*) ;; *) echo "needs haproxy 2.6.12 of Debian 12, found $v"; exit 1;; esac
d=$(mktemp -d); pids=
trap 'for p in $pids; do kill "$p" 2>/dev/null || true; done; rm -rf "$d"' EXIT; cd "$d"
cat > app.py <<'M'
import http.server
class App(http.server.BaseHTTPRequestHandler):
    def do_OPTIONS(self): self.send_response(200); self.end_headers()
    def log_message(self, *a): pass
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), App)
open("port.tmp", "w").write(str(s.server_port))
__import__("os").rename("port.tmp", "port")
s.serve_forever()
M
python3 app.py & pids=$!
for _ in $(seq 50); do [ -e port ] && break; sleep 0.1; done
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
  server checked 127.0.0.1:$(cat port) weight 100 slowstart 60s check inter 200ms
  server plain 127.0.0.1:$(cat port) weight 100 slowstart 60s
M
haproxy -f cfg -db >log 2>&1 & pids="$pids $!"
cat > say.py <<'M'
import socket, sys, time
for _ in range(50):
    try:
        s = socket.socket(socket.AF_UNIX); s.connect("s"); break
    except OSError:
        time.sleep(0.1)
s.sendall(sys.argv[1].encode() + b"\n")
print(b"".join(iter(lambda: s.recv(65536), b"")).decode())
M
both() { for s in checked plain; do python3 say.py "set $1 b/$s $2" >/dev/null; done; sleep 1; }
weights() { python3 say.py "show stat" | awk -F, '/^b,(checked|plain),/ { print $2, ($19 == 100 ? "full" : $19 == 0 ? "none" : "slow") }' | paste -sd ' '; }
sleep 1
{
  echo "start: $(weights)"
  both weight 0; both weight 100; echo "weight 0, 100: $(weights)"
  both server "state drain"; both server "state ready"; echo "drain, ready: $(weights)"
  both server "state maint"; both server "state ready"; echo "maint, ready: $(weights)"
} > seen
cat seen
diff - seen <<'M' || { echo "changed: after what slowstart applies"; exit 1; }
start: checked full plain full
weight 0, 100: checked full plain full
drain, ready: checked full plain full
maint, ready: checked slow plain slow
M
