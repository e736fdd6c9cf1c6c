#!/bin/sh
# nested-engine.sh ROOT STATE WORK REPOSITORY STORE COMMAND…: in new namespaces, starts the Docker Engine of another root
# file system, or a second one of this machine (/), runs the command beside it, and ends with its code. STORE is overlay2 or
# containerd. WORK and REPOSITORY are at their own paths there, and this machine's own root file system, with its
# clients, at /matrix.
set -eu
root=$1 state=$2 work=$3 repository=$4 store=$5
shift 5
mount --make-rprivate /
ip link set lo up
if [ "$root" = / ]; then
    # What the second one writes is gone with it.
    layer=$state/layer
    mkdir -p "$layer"
    mount -t tmpfs tmpfs "$layer"
    mkdir "$layer/upper" "$layer/work" "$layer/root"
    root=$layer/root
    mount -t overlay overlay -o "lowerdir=/,upperdir=$layer/upper,workdir=$layer/work" "$root"
    mkdir -p "$root/matrix"
else
    mkdir -p "$root/matrix"
    mount --bind "$root" "$root"
fi
mount --bind / "$root/matrix"
mount -t proc proc "$root/proc"
for folder in tmp run; do mount -t tmpfs tmpfs "$root/$folder"; done
mount --rbind /dev "$root/dev"
mount -t sysfs sys "$root/sys"
mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
# An engine that was never started has no folder yet.
mkdir -p "$root/var/lib/docker"
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
is_containerd=false driver=overlay2
[ "$store" = overlay2 ] || { is_containerd=true; driver=overlayfs; }
# Not in /etc: two engines may share a root file system.
printf '{"features": {"containerd-snapshotter": %s}, "storage-driver": "%s"}\n' "$is_containerd" "$driver" >/run/daemon.json
PATH=$state/bin:$PATH dockerd --config-file /run/daemon.json --cgroup-parent=/docker/matrix >/tmp/dockerd.log 2>&1 &
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
