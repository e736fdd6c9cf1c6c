#!/bin/sh
# nested-engine.sh ROOT STATE WORK REPOSITORY CONFIG COMMAND…: in new namespaces, starts the Docker Engine of another root
# file system, runs the command beside it, and ends with its code. WORK and REPOSITORY are at their own paths there, and
# this machine's own root file system, with its clients, at /matrix.
set -eu
root=$1 state=$2 work=$3 repository=$4 config=$5
shift 5
mount --make-rprivate /
ip link set lo up
mount --bind "$root" "$root"
mount --bind / "$root/matrix"
mount -t proc proc "$root/proc"
for folder in tmp run; do mount -t tmpfs tmpfs "$root/$folder"; done
mount --rbind /dev "$root/dev"
mount -t sysfs sys "$root/sys"
mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
mount --bind "$state/docker" "$root/var/lib/docker"
for folder in "$work" "$repository"; do
    mkdir -p "$root$folder"
    mount --rbind "$folder" "$root$folder"
done
cd "$root"
pivot_root . mnt
umount -l /mnt
# What the gate mounts must be seen by the engine's containers.
mount --make-rshared /
mkdir -p /etc/docker
printf '%s\n' "$config" >/etc/docker/daemon.json
dockerd --cgroup-parent=/docker/matrix >/tmp/dockerd.log 2>&1 &
engine=$!
tries=0
until docker version >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || { tail -n 20 /tmp/dockerd.log >&2; exit 1; }
    sleep 0.2
done
code=0
"$@" || code=$?
kill "$engine"
wait "$engine" || true
exit "$code"
