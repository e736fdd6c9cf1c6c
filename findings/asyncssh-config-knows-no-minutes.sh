#!/usr/bin/env bash
# Question: asyncssh takes keepalive_interval="1m" and connect_timeout="1m30s" in Python.
#   Does it take `ServerAliveInterval 1m` from an ssh config file?
# Guess: yes; it has the parser for such times, and the file's own program takes them
#   (OpenSSH 9.2 reads 90 from `1m30s`).
# What happens (asyncssh 2.24.1, November 2026): the file is refused with ConfigParseError
#   ("Invalid ServerAliveInterval integer value"), for every host that the block matches.
# Why it matters: one line in ~/.ssh/config, right for ssh, stops each asyncssh tool of
#   that account before it connects.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m pip install -q --target py asyncssh==2.24.1 2>pip.log || { cat pip.log; exit 1; }
printf 'Host *\n  ServerAliveInterval 1m\n' > alive
printf 'Host *\n  ConnectTimeout 1m30s\n' > timeout
printf 'Host *\n  ServerAliveInterval 60\n  ConnectTimeout 90\n' > plain
{
  for f in alive timeout; do
    echo "openssh $f: $(ssh -G -F $f web </dev/null 2>err | grep -E '^(serveraliveinterval|connecttimeout) [1-9]')"
  done
  PYTHONPATH=py python3 -W ignore -c '
import asyncssh
def show(name, **options):
    try:
        o = asyncssh.SSHClientConnectionOptions(host="web", **options)
        print(name, int(o.keepalive_interval), int(o.connect_timeout or 0))
    except Exception as e:
        print(name, type(e).__name__)
show("asyncssh arguments:", config=None, keepalive_interval="1m", connect_timeout="1m30s")
for f in ("plain", "alive", "timeout"):
    show(f"asyncssh {f}:", config=[f])'
} > seen
cat seen
diff - seen <<'M' || { echo "changed: times in an ssh config"; exit 1; }
openssh alive: serveraliveinterval 60
openssh timeout: connecttimeout 90
asyncssh arguments: 60 90
asyncssh plain: 60 90
asyncssh alive: ConfigParseError
asyncssh timeout: ConfigParseError
M
