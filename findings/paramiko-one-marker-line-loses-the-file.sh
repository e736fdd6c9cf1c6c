#!/usr/bin/env bash
# Question: known_hosts has a line for the host and, elsewhere, one `@cert-authority` line.
#   What does paramiko's HostKeys make of it?
# Guess: it skips the marker line, as it skips a line with too few fields or an unknown
#   key type, and knows the host.
# What happens (paramiko 5.1.0, November 2026): loading raises InvalidHostKey ("Incorrect
#   padding": it takes the key's type for the key), and the lines after it are not read.
# Why it matters: the day somebody adds a host certificate authority, every Python tool
#   on that account stops connecting, also to hosts that have a line of their own.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m pip install -q --target py paramiko==5.1.0 2>pip.log || { cat pip.log; exit 1; }
ssh-keygen -q -t ed25519 -N '' -C x -f k
key=$(cut -d' ' -f1,2 k.pub)
printf 'one.example %s\nbad.example short\ntwo.example %s\n' "$key" "$key" > short
printf 'one.example %s\n@cert-authority *.ca.example %s\ntwo.example %s\n' "$key" "$key" "$key" > marker
seen=$(PYTHONPATH=py python3 -W ignore -c '
import paramiko
for name in ("short", "marker"):
    keys = paramiko.HostKeys()
    try:
        keys.load(name); how = "loaded"
    except Exception as e:
        how = type(e).__name__
    print(name, how, *sorted(keys.keys()))' 2>err)
echo "$seen"
n=$(ssh-keygen -F two.example -f marker | grep -vc '^#' || true)
[ "$n" = 1 ] || { echo "changed: OpenSSH"; exit 1; }
want='short loaded one.example two.example
marker InvalidHostKey one.example'
[ "$seen" = "$want" ] || { echo "changed: paramiko reads marker lines otherwise"; exit 1; }
