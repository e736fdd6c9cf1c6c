#!/bin/sh
# own-engine.sh COMMAND…: runs a command where the machine has no Docker Engine yet, so that it starts one of its own: in
# namespaces for mounts and network, with a data folder that is kept between runs. It reaches nothing but this host's
# own loopback. What it does to names, networks and the firewall, the machine's own engine does not see.
set -eu
state=${DOCKMASTER_OWN_ENGINE:-/var/cache/dockmaster-tests/own-engine}
if [ "${1-}" != --inside ]; then
    mkdir -p "$state/docker"
    exec flock "$state/lock" unshare --mount --net "$0" --inside "$@"
fi
shift
mount --make-rprivate /
ip link set lo up
mount -t tmpfs tmpfs /run
mkdir -p /run/lock /etc/docker
mount -t tmpfs tmpfs /etc/docker
mount --bind "$state/docker" /var/lib/docker
# What a gate mounts must be seen by the engine's containers.
mount --make-rshared /
exec "$@"
