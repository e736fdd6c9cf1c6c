#!/usr/bin/env bash
# Question: an ssh config says `User deploy # shared account`. Whom does paramiko log in as?
# Guess: deploy. OpenSSH (9.2 here) reads it so, and paramiko's SSHConfig exists to read
#   the same file.
# What happens (paramiko 5.1.0, November 2026): the user is `deploy # shared account`, the
#   port is the text `2222 # behind the balancer`; int() of it is an error only later.
# Why it matters: a deploy script in Python fails with "authentication failed" for a host
#   on which `ssh` from the same account works.
# Needs OpenSSH's client of 8.5 or newer.
set -euo pipefail
d=$(mktemp -d); trap 'rm -rf "$d"' EXIT; cd "$d"
python3 -m pip install -q --target py paramiko==5.1.0 2>pip.log || { cat pip.log; exit 1; }
cat > config <<'M'
Host web
  User deploy # shared account
  Port 2222 # behind the balancer
M
ssh_seen=$(ssh -G -F config web </dev/null 2>err | sed -n 's/^user //p; s/^port //p' | paste -sd '|')
py_seen=$(PYTHONPATH=py python3 -W ignore -c '
import paramiko
o = paramiko.SSHConfig.from_path("config").lookup("web")
print(o["user"], o["port"], sep="|")')
echo "ssh:      $ssh_seen"; echo "paramiko: $py_seen"
[ "$ssh_seen" = 'deploy|2222' ] || { echo "changed: OpenSSH"; exit 1; }
[ "$py_seen" = 'deploy # shared account|2222 # behind the balancer' ] || { echo "changed: paramiko"; exit 1; }
