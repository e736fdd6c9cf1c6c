# Sourced by the scripts that need a whole machine: installs what is missing from Debian's packages and checks for
# a Rust toolchain. Starts a Docker Engine where none answers, and ends it again; the testbed starts the rest.
# shellcheck shell=sh

# package:file that shows it is installed
machine_packages="
docker.io:/usr/sbin/dockerd
docker-compose:/usr/bin/docker-compose
docker-registry:/usr/bin/docker-registry
openssh-server:/usr/sbin/sshd
openssh-client:/usr/bin/ssh
haproxy:/usr/sbin/haproxy
debootstrap:/usr/sbin/debootstrap
iproute2:/usr/sbin/ip
iptables:/usr/sbin/iptables
procps:/usr/bin/pgrep
git:/usr/bin/git
curl:/usr/bin/curl
busybox-static:/usr/bin/busybox
openssl:/usr/bin/openssl
ca-certificates:/usr/sbin/update-ca-certificates
debian-archive-keyring:/usr/share/keyrings/debian-archive-keyring.gpg
gcc:/usr/bin/cc
libc6-dev:/usr/include/stdio.h
nodejs:/usr/bin/node
shellcheck:/usr/bin/shellcheck
"

say() {
    printf '%s\n' "$*" >&2
}

# Installs missing packages; needs root and a Debian, and says so.
install_packages() {
    missing=
    for entry in $machine_packages; do
        [ -e "${entry#*:}" ] || missing="$missing ${entry%%:*}"
    done
    # The dynamic busybox has the same path, but does not run in an image of its own.
    if [ -e /usr/bin/busybox ] && ldd /usr/bin/busybox >/dev/null 2>&1; then
        missing="$missing busybox-static"
    fi
    # The testbed makes a host's root file system from the same source, so apt has to know one.
    if [ -z "$missing" ] && ! ls /var/lib/apt/lists/*Packages* >/dev/null 2>&1; then
        apt_run apt-get update
    fi
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ]; then
        say "These packages are missing:$missing"
        say "Run this as root, or install them: apt-get install --no-install-recommends$missing"
        return 1
    fi
    if ! command -v apt-get >/dev/null; then
        say "These packages are missing, and this is no Debian that could install them:$missing"
        return 1
    fi
    say "Installing$missing"
    without_starting_services apt_install "$missing"
}

apt_install() {
    # Word splitting is wanted: $1 is a list.
    # shellcheck disable=SC2086
    apt_run apt-get update && DEBIAN_FRONTEND=noninteractive apt_run apt-get install --yes --no-install-recommends $1
}

# Runs a command of apt, which is told of only when it fails.
apt_run() {
    log=$(mktemp)
    if "$@" >"$log" 2>&1; then
        rm -f "$log"
        return 0
    fi
    tail -n 20 "$log" >&2
    say "$* has failed; all of its words are in $log"
    return 1
}

# Debian starts a service as soon as it is installed, unless this file says not to.
without_starting_services() {
    policy=/usr/sbin/policy-rc.d
    if [ -e "$policy" ]; then
        "$@"
        return
    fi
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    result=0
    "$@" || result=$?
    rm -f "$policy"
    return "$result"
}

# Fetches a Docker client and its plugins buildx and compose of Debian's next release, which this one does not have. They are
# kept out of the way of the machine's own, and the testbed finds them by DOCKMASTER_TEST_CLIENTS.
install_clients() {
    DOCKMASTER_TEST_CLIENTS=/var/cache/dockmaster-tests/clients
    export DOCKMASTER_TEST_CLIENTS
    if [ -x "$DOCKMASTER_TEST_CLIENTS/docker-buildx" ] && [ -x "$DOCKMASTER_TEST_CLIENTS/docker-compose" ]; then
        return 0
    fi
    say "Fetching a newer Docker client"
    site=$(apt-get indextargets --format '$(CODENAME) $(ORIGIN) $(SITE)' 'Created-By: Packages' |
        sed -n 's/^bookworm Debian //p' | head -n 1)
    if [ -z "$site" ]; then
        say "apt knows no source of Debian 12 (bookworm), so there is no newer client: tests that need one are left out, or fail where CI is set."
        return 0
    fi
    work=$(mktemp -d)
    mkdir -p "$work/lists/partial" "$work/archives/partial" "$DOCKMASTER_TEST_CLIENTS"
    chmod 755 "$work"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site trixie main" >"$work/sources.list"
    next="-o Dir::Etc::SourceList=$work/sources.list -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists=$work/lists"
    # Word splitting is wanted: $next is a list.
    # shellcheck disable=SC2086
    (
        cd "$work"
        apt_run apt-get $next -o APT::Sandbox::User=root -o Dir::Cache="$work" update
        apt_run apt-get $next -o APT::Sandbox::User=root -o Dir::Cache="$work" download docker-cli docker-buildx docker-compose
        for package in ./*.deb; do dpkg -x "$package" root; done
        mv root/usr/bin/docker root/usr/libexec/docker/cli-plugins/docker-* "$DOCKMASTER_TEST_CLIENTS"
    )
    rm -rf "$work"
}

# Finds cargo, also where rustup puts it and no login shell has said so.
require_cargo() {
    wanted=$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)
    if ! command -v cargo >/dev/null && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
        PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
        export PATH
    fi
    if ! command -v cargo >/dev/null; then
        say "There is no Rust toolchain here. dockmaster needs Rust $wanted or newer; Debian 12's own is too old."
        say "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal -c clippy,rustfmt"
        say "Then open a new shell and run this again."
        return 1
    fi
    # rustup fetches the version that rust-toolchain.toml names. A stable one that is here and new enough needs no fetch.
    if command -v rustup >/dev/null && ! rustup toolchain list | grep -q "^$wanted-"; then
        stable=$(rustc +stable --version 2>/dev/null | cut -d ' ' -f 2)
        if [ -n "$stable" ] && [ "$(printf '%s\n%s\n' "$wanted" "$stable" | sort -V | head -n 1)" = "$wanted" ]; then
            RUSTUP_TOOLCHAIN=stable
            export RUSTUP_TOOLCHAIN
        fi
    fi
    version=$(rustc --version | cut -d ' ' -f 2)
    if [ "$(printf '%s\n%s\n' "$wanted" "$version" | sort -V | head -n 1)" != "$wanted" ]; then
        say "Rust $version is too old: dockmaster needs $wanted or newer. Try: rustup update"
        return 1
    fi
}

# Starts a Docker Engine if none answers, for as long as this script lives; one that runs is used as it is.
start_engine() {
    if docker_answers; then
        return 0
    fi
    say "Starting a Docker Engine"
    engine_log=$(mktemp)
    setsid dockerd >"$engine_log" 2>&1 </dev/null &
    engine_pid=$!
    trap stop_engine EXIT
    tries=0
    until docker_answers; do
        tries=$((tries + 1))
        if [ "$tries" -gt 150 ] || ! kill -0 "$engine_pid" 2>/dev/null; then
            tail -n 20 "$engine_log" >&2
            say "The Docker Engine did not start."
            return 1
        fi
        sleep 0.2
    done
}

docker_answers() {
    [ -S /var/run/docker.sock ] && curl -fs --max-time 5 --unix-socket /var/run/docker.sock http://localhost/_ping >/dev/null
}

# Ends the engine that start_engine started, and waits for it.
stop_engine() {
    [ -n "${engine_pid:-}" ] || return 0
    kill "$engine_pid" 2>/dev/null || true
    wait "$engine_pid" 2>/dev/null || true
    rm -f "$engine_log"
    engine_pid=
}
