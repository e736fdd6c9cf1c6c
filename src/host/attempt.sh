# What both scripts begin with: how they answer, and how an attempt is known and told. An attempt's folder holds pid,
# log and, once it has ended, rc.
set -u

answer() { printf 'dockmaster %s\n' "$*"; }

runs() { printf '%s/.cache/dockmaster/%s' "$HOME" "$1"; }

# No room, or no right.
no_room() { answer "refuse unwritten $1"; }

has_room() { head -c 65536 /dev/zero 2>/dev/null >"$1/room" && rm -f "$1/room"; }

report() {
    run=$1
    # Empty where a full disk let nothing be written.
    if [ -s "$run/rc" ]; then
        answer "ended $(cat "$run/rc")"
        tail -n 15 "$run/log" | sed 's/^/dockmaster log /'
        return 0
    fi
    return 1
}

await() {
    project=$1 attempt=$2 seconds=$3
    run=$(runs "$project")/$attempt
    if ! { mkdir -p "$(runs "$project")" && true >>"$(runs "$project")/lock"; }; then
        no_room "$HOME/.cache"
        return
    fi
    if ! flock -w "$seconds" "$(runs "$project")/lock" true; then answer "busy"; return; fi
    report "$run" || answer "free-to-start"
}

# How the attempt ended that was started just now.
told() {
    if ! flock -w "$2" "$(dirname "$1")/lock" true; then answer "busy"; return 1; fi
    if ! report "$1"; then
        if has_room "$1"; then answer "died"; else no_room "$1"; fi
    fi
}
