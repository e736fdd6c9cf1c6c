# What dockmaster does to a compose project, on the production host itself: read by `sh -s` from
# its standard input, so nothing is installed here. Every line it answers with begins with
# "dockmaster"; anything else (a login script's greeting) is ignored by the reader.
#
#   look  DIRECTORY PROJECT DOCKER_ROOT       what an onlooker needs
#   find                                      which Compose there is
#   check DIRECTORY                           could it be switched?
#   health DIRECTORY SERVICE COMMAND...       has the service a health check of its own in the files?
#   await PROJECT ATTEMPT SECONDS             waits for what is under way; tells how ATTEMPT ended
#   start DIRECTORY PROJECT ATTEMPT SECONDS TEXT COMMAND...
#                                             writes the override and runs COMMAND, detached
#
# An attempt's folder holds pid, log, rc (once it has ended) and the override it replaced. The lock
# beside it is held by the detached command for as long as it runs, whoever watches.
set -u
umask 077

answer() { printf 'dockmaster %s\n' "$*"; }

runs() { printf '%s/.cache/dockmaster/%s' "$HOME" "$1"; }

look() {
    answer "time $(date +%s.%N)"
    answer "free $(df -Pk "$3" | awk 'NR == 2 { print $4 }')"
    lock=$(runs "$2")/lock
    # Shared, so that onlookers do not take each other for somebody at work.
    if [ -e "$lock" ] && ! flock -sn "$lock" true; then answer "switching"; fi
}

# `docker-compose` may be either generation, and so may be missing: it is asked.
find() {
    if version=$(docker compose version --short 2>/dev/null); then
        answer "compose $version docker compose"
    fi
    if version=$(docker-compose version --short 2>/dev/null); then
        answer "compose $version docker-compose"
    fi
}

# Compose reads the first base file and the first override file of its list, unless .env names
# others. Only docker-compose.override.yml is ours, and only with our mark.
check() {
    directory=$1
    base=
    for name in compose.yaml compose.yml docker-compose.yml docker-compose.yaml; do
        if [ -f "$directory/$name" ]; then base=$directory/$name; break; fi
    done
    if [ -z "$base" ]; then answer "refuse no-project $directory"; return 1; fi
    for name in compose.override.yml compose.override.yaml docker-compose.override.yaml; do
        if [ -e "$directory/$name" ]; then answer "refuse foreign $directory/$name"; return 1; fi
    done
    override=$directory/docker-compose.override.yml
    if [ -e "$override" ] && ! head -n 1 "$override" | grep -q '^# Written by dockmaster'; then
        answer "refuse foreign $override"
        return 1
    fi
    if grep -qs '^[[:space:]]*COMPOSE_FILE[[:space:]]*=' "$directory/.env"; then
        answer "refuse own-files $directory/.env"
        return 1
    fi
    if ! [ -w "$directory" ]; then answer "refuse unwritable $directory"; return 1; fi
}

# COMMAND prints all files as one, two spaces a level, in every generation. Nothing but the answer leaves
# the host: what it prints may hold secrets.
health() {
    directory=$1 service=$2
    shift 2
    cd "$directory" || return 1
    "$@" 2>/dev/null | awk -v service="$service" '
        /^[^ ]/ { in_services = ($1 == "services:") }
        in_services && /^  [^ ]/ {
            name = $1
            gsub(/[:"\047]/, "", name)
            is_service = (name == service)
            if (is_service) { seen = 1 }
            in_check = 0
        }
        in_services && is_service && /^    [^ ]/ { in_check = ($1 == "healthcheck:"); if (in_check) { has = 1 } }
        in_check && ($0 ~ /disable: true/ || $0 ~ /- "?NONE"?$/) { off = 1 }
        END { if (seen) { print "dockmaster health-check " ((has && !off) ? "true" : "false") } }
    '
}

# Tells how an attempt ended, if it has.
report() {
    run=$1
    if [ -f "$run/rc" ]; then
        answer "ended $(cat "$run/rc")"
        tail -n 15 "$run/log" | sed 's/^/dockmaster log /'
        return 0
    fi
    return 1
}

await() {
    project=$1 attempt=$2 seconds=$3
    run=$(runs "$project")/$attempt
    if ! mkdir -p "$(runs "$project")"; then answer "refuse unwritable $HOME/.cache"; return; fi
    if ! flock -w "$seconds" "$(runs "$project")/lock" true; then answer "busy"; return; fi
    report "$run" || answer "free-to-start"
}

write_override() {
    directory=$1 run=$2 text=$3
    override=$directory/docker-compose.override.yml
    if [ -e "$override" ]; then cp "$override" "$run/previous.yml"; fi
    new=$directory/.docker-compose.override.yml.$$
    # Compose before 1.27 wants the same version in both files, later ones ignore it.
    {
        printf '%s\n' "$text" | sed -n 1p
        sed -n '/^version:/p' "$base" | head -n 1
        printf '%s\n' "$text" | sed 1d
    } >"$new" && chmod 644 "$new" && sync "$new" && mv "$new" "$override"
}

start() {
    directory=$1 project=$2 attempt=$3 seconds=$4 text=$5
    shift 5
    runs=$(runs "$project")
    run=$runs/$attempt
    mkdir -p "$run"
    exec 9>"$runs/lock"
    if ! flock -w "$seconds" 9; then answer "busy"; return; fi
    if report "$run"; then return; fi
    check "$directory" || return
    if ! write_override "$directory" "$run" "$text"; then
        answer "refuse unwritable $directory"
        return
    fi
    # Of its own session, with no tie to this connection but the lock it inherits.
    (
        cd "$directory" || exit
        setsid sh -c '
            run=$1
            shift
            "$@" >"$run/log" 2>&1
            echo $? >"$run/rc.new"
            mv "$run/rc.new" "$run/rc"
        ' dockmaster-switch "$run" "$@" </dev/null >/dev/null 2>&1 &
        echo $! >"$run/pid"
    )
    exec 9>&-
    if ! flock -w "$seconds" "$runs/lock" true; then answer "busy"; return; fi
    report "$run" || answer "died"
    ls -1dt "$runs"/*/ | tail -n +21 | while read -r old; do rm -rf "$old"; done
}

verb=$1
shift
"$verb" "$@" </dev/null
exit 0
