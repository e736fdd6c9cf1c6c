# Sourced by the scripts that run what other Debian releases have; needs machine.sh. Fetched once, and kept.
# shellcheck shell=sh

# fetch_suite SUITE ROOT: a root file system of another release with its engine and its clients.
fetch_suite() {
    if [ ! -e "$2/usr/sbin/dockerd" ]; then
        say "Fetching Debian $1"
        recipe=/usr/share/debootstrap/scripts/$1
        [ -e "$recipe" ] || recipe=/usr/share/debootstrap/scripts/sid
        # In one move, so that nobody takes a half for the whole.
        three_times bootstrap "$1" "$2.half" "$recipe" || return 1
        mv "$2.half" "$2"
    fi
    # Static, or of this machine's own C library, which is older.
    cp --remove-destination /usr/bin/busybox /usr/bin/docker-registry "$2/usr/bin/"
}

bootstrap() {
    rm -rf "$2"
    apt_run debootstrap --variant=minbase --include=iptables,ca-certificates,iproute2,procps,docker.io,docker-cli,docker-buildx,docker-compose,containerd,runc,git,python3-docker \
        "$1" "$2" "" "$3"
}

# fetch_python FOLDER: what the Python calls need beside Debian's own packages.
fetch_python() {
    [ ! -e "$1/testcontainers" ] || return 0
    say "Fetching testcontainers"
    rm -rf "$1.half"
    three_times apt_run python3 -m pip install --quiet --target "$1.half" testcontainers==4.15.0 || return 1
    mv "$1.half" "$1"
}

# A mirror that does not answer at once may answer a moment later.
three_times() {
    for pause in 5 20 0; do
        "$@" && return 0
        sleep "$pause"
    done
    return 1
}

# Builds the tests of the gate and says where they are.
gate_tests() {
    built=$(cargo test --no-run --test gate --message-format=json 2>/dev/null |
        sed -n 's/.*"executable":"\([^"]*\/gate-[^"]*\)".*/\1/p' | tail -n 1)
    if [ ! -x "$built" ]; then
        say "The tests of the gate do not build: cargo test --no-run --test gate"
        return 1
    fi
    echo "$built"
}
