#!/bin/sh
# The first process of a production host. /testbed holds what is particular to this one.
set -e
install -m 600 /testbed/host_key /etc/ssh/ssh_host_ed25519_key
install -m 644 /testbed/host_key.pub /etc/ssh/ssh_host_ed25519_key.pub
install -d -m 700 -o deploy -g deploy /home/deploy/.ssh
install -m 600 -o deploy -g deploy /testbed/authorized_keys /home/deploy/.ssh/authorized_keys
install -d -m 755 /run/sshd "/etc/docker/certs.d/$REGISTRY"
install -m 644 /testbed/ca.crt "/etc/docker/certs.d/$REGISTRY/ca.crt"
install -d -m 755 -o deploy -g deploy /srv/test_server1
install -m 644 -o deploy -g deploy /testbed/docker-compose.yml /srv/test_server1/docker-compose.yml
if [ -f /testbed/docker-compose-v2 ]; then
    install -D -m 755 /testbed/docker-compose-v2 /usr/libexec/docker/cli-plugins/docker-compose
fi
mount -o remount,rw /proc/sys
/usr/sbin/sshd -E /var/log/sshd.log
start_engine() { setsid dockerd --cgroup-parent="/docker/$NAME-inner" >>/var/log/dockerd.log 2>&1 & }
start_engine
trap start_engine USR1
# Children of ended sessions become this process's own: wait for them, and stay.
while :; do
    sleep 3600 &
    wait || :
done
