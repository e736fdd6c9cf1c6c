#!/usr/bin/env bash
# Question: known_hosts has `*.prod.example KEY`. Does paramiko find the key of
#   `a.prod.example`?
# Guess: yes; patterns are part of the file's format, and asyncssh and OpenSSH's own
#   `ssh-keygen -F` find it.
# What happens (paramiko 5.1.0, asyncssh 2.24.1, November 2026): paramiko loads the line
#   without a word and then knows only the host literally called `*.prod.example`;
#   names that are spelt in capitals in the file are not found in small letters either.
# Why it matters: a fleet with one pattern line works with ssh and is "unknown host" in a
#   Python deploy script, where the quick fix is to accept any key.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m pip install -q --target py paramiko==5.1.0 asyncssh==2.24.1 2>pip.log || { cat pip.log; exit 1; }
ssh-keygen -q -t ed25519 -N '' -C x -f k
key=$(cut -d' ' -f1,2 k.pub)
printf '*.prod.example %s\nDB.example %s\nplain.example %s\n' "$key" "$key" "$key" > known
seen=$(for h in plain.example a.prod.example db.example; do
  n=$(ssh-keygen -F "$h" -f known | grep -vc '^#' || true)
  echo "$h openssh=$n $(PYTHONPATH=py python3 -W ignore -c '
import sys, paramiko, asyncssh
h = sys.argv[1]
p = paramiko.HostKeys("known").lookup(h)
a = asyncssh.read_known_hosts("known").match(h, "127.0.0.1", 22)[0]
print(f"asyncssh={len(a)} paramiko={len(p.keys()) if p else 0}")' "$h")"
done)
echo "$seen"
want='plain.example openssh=1 asyncssh=1 paramiko=1
a.prod.example openssh=1 asyncssh=1 paramiko=0
db.example openssh=1 asyncssh=0 paramiko=0'
[ "$seen" = "$want" ] || { echo "changed: known_hosts patterns are read otherwise"; exit 1; }
