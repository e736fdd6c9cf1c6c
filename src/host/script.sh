# What dockmaster does to a compose project, on the production host itself: read by `sh -s` from
# its standard input, so nothing is installed here. Every line it answers with begins with
# "dockmaster"; anything else (a login script's greeting) is ignored by the reader.
#
#   look  DIRECTORY PROJECT DOCKER_ROOT       what an onlooker needs
#   find                                      which Compose there is
#   place DIRECTORY KEY                       what the folder tells of a project that does not run, and what was
#                                             remembered under KEY
#   name  DIRECTORY LINE                      the project's name, as Compose says it (LINE prints the files as one)
#   there PATH...                             which of these files there are
#   show  PROJECT RUN PATH...                 what these files hold, and what RUN changed before
#   cut_off PROJECT                           the last attempt, if it was cut off
#   mend  PROJECT ATTEMPT KEY                 puts back what an attempt changed that was cut off
#   stage                                     keeps the files of a release, which `staged_files` before this text holds
#   swap  DIRECTORY SERVICE EDITS OLD OLD_HASHES NEW NEW_HASHES IMAGE RAW
#                                             what Compose makes of the files now, and of a release's in their place
#                                             (RAW prints that with no variable's value in it)
#   try   DIRECTORY SERVICE EDITS OLD NEW HASHES
#                                             what Compose makes of the files now, and after EDITS; changes nothing
#   hashes DIRECTORY HASHES                   what Compose compares a container's definition by
#   await PROJECT ATTEMPT SECONDS             waits for what is under way; tells how ATTEMPT ended
#   start DIRECTORY PROJECT ATTEMPT SECONDS EDITS FACTS PLACE KEY UP SERVICE KEEP HASHES MEMORY
#                                             makes EDITS and runs UP, detached; MEMORY is kept under KEY
#
# EDITS has a line for each change: the file's sum before, the way, a line's number, the change's mark, the file, the
# text, with tabs between. OLD, NEW, UP, KEEP and HASHES are command lines, quoted for a shell. What has several lines (EDITS, FACTS,
# PLACE, MEMORY) comes in base64: not every login shell passes a line's end on.
#
# An attempt's folder holds pid, log, rc (once it has ended), and in before/ the files that it changed. The lock
# beside it is held by the detached command for as long as it runs, whoever watches.
umask 077

memory() { printf '%s/.cache/dockmaster/.places/%s' "$HOME" "$1"; }

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

place() {
    directory=$1
    if real=$(cd "$directory" 2>/dev/null && pwd -P); then answer "real $real"; fi
    for name in compose docker-compose compose.override docker-compose.override; do
        there "$directory/$name.yml" "$directory/$name.yaml"
    done
    # All generations read `export NAME=`, the newest also `NAME: `.
    if grep -qsE '^[[:space:]]*(export[[:space:]]+)?COMPOSE_FILE[[:space:]]*[=:]' "$directory/.env"; then
        answer "own-files $directory/.env"
    fi
    name=$(sed -nE 's/^[[:space:]]*(export[[:space:]]+)?COMPOSE_PROJECT_NAME[[:space:]]*=[[:space:]]*//p' \
        "$directory/.env" 2>/dev/null | tail -n 1 | tr -d "\"'\r")
    if [ -n "$name" ]; then answer "name $name"; fi
    if [ -f "$(memory "$2")" ]; then sed 's/^/dockmaster remembered /' "$(memory "$2")"; fi
}

name() {
    cd "$1" || return 0
    sh -c "$2" 2>/dev/null | sed -n 's/^name: */dockmaster name /p' | tr -d "\"'" | head -n 1
}

there() {
    for path in "$@"; do
        if [ -f "$path" ]; then answer "there $path"; fi
    done
}

show() {
    project=$1 run=$2
    shift 2
    for path in "$@"; do
        if [ ! -f "$path" ]; then answer "gone $path"; continue; fi
        if [ ! -r "$path" ]; then answer "refuse unreadable $path"; continue; fi
        if [ "$(wc -c <"$path")" -gt 1048576 ]; then answer "refuse large $path"; continue; fi
        for folder in "$(dirname "$path")" "$(dirname "$(readlink -f "$path")")"; do
            if [ ! -w "$folder" ]; then answer "refuse unwritable $folder"; fi
        done
        answer "file $(sum "$path")$tab$(base64 -w 0 <"$path")$tab$path"
        if [ -e "$(released)/$(sum "$path")" ]; then answer "written $path"; fi
    done
    # The oldest attempt of the run: what was there before it is what was there before the run.
    first=$(ls -1d "$(runs "$project")/$run"-*/before/facts 2>/dev/null | sort -V | head -n 1)
    if [ -n "$first" ]; then
        before=$(dirname "$first")
        sed 's/^/dockmaster before-fact /' "$first"
        sed 's/^/dockmaster before-place /' "$before/place"
        while IFS=$tab read -r was is copy path; do
            answer "before-file $was$tab$is$tab$before/$copy$tab$path"
        done <"$before/list"
        hash=$(sed -n 's/^hash //p' "$first")
        if [ -n "$hash" ]; then
            for kept in "$(runs "$project")"/kept/*."$hash".yml; do
                if [ -f "$kept" ]; then answer "kept $kept"; fi
            done
        fi
    fi
}

# What Compose printed has two spaces a level, in every generation. Nothing but these answers leaves the host: what
# it prints may hold secrets.
facts() {
    awk -v service="$2" '
        /^[^ ]/ { in_services = ($1 == "services:") }
        in_services && /^  [^ ]/ {
            name = $1
            gsub(/[:"\047]/, "", name)
            is_service = (name == service)
            if (is_service) { seen = 1 }
        }
        !(in_services && is_service) { next }
        /^    [^ ]/ { part = $1 }
        /^    image:/ { image = $2; gsub(/["\047]/, "", image) }
        /^    scale:/ { scale = $2 }
        part == "deploy:" && /^      replicas:/ { replicas = $2 }
        part == "healthcheck:" { has = 1 }
        part == "healthcheck:" && ($0 ~ /disable: true/ || $0 ~ /- "?NONE"?$/) { off = 1 }
        END {
            if (!seen) { print "dockmaster no-service"; exit }
            print "dockmaster image " image
            print "dockmaster health-check " ((has && !off) ? "true" : "false")
            if (scale != "") { print "dockmaster scale " scale }
            if (replicas != "") { print "dockmaster replicas " replicas }
        }
    ' "$1"
}

# All but the image of the service.
rest() {
    awk -v service="$2" '
        /^[^ ]/ { in_services = ($1 == "services:") }
        in_services && /^  [^ ]/ { name = $1; gsub(/[:"\047]/, "", name); is_service = (name == service) }
        in_services && is_service && /^    image:/ { next }
        { print }
    ' "$1"
}

told_hashes() { sed -nE 's/^([^ ]+) ([0-9a-f]{64})$/dockmaster hash \1 \2/p'; }

# An attempt whose shell was killed has put nothing back.
cut_off() {
    lock=$(runs "$1")/lock
    last=$(ls -1td "$(runs "$1")"/*-*/before/facts 2>/dev/null | head -n 1)
    attempt=${last%/before/facts}
    if [ -n "$last" ] && [ ! -s "$attempt/rc" ] && flock -sn "$lock" true; then
        answer "cut-off $(basename "$attempt") $(sed -n 's/^image //p' "$last") $(sed -n 's/^hash //p' "$last")"
    fi
}

hashes() {
    cd "$1" || return 0
    sh -c "$2" 2>/dev/null | told_hashes
}

# Why Compose failed, unless it had no room to print into.
unreadable() {
    if ! has_room "$1"; then no_room "$1"; return; fi
    answer "unreadable"
    tail -n 8 "$1/log" | sed 's/^/dockmaster log /'
}

# Why Compose takes no file of a release. It quotes values where it stumbles over them: what it says of the files as they
# are written, too, holds none, and of anything else only that is told which can be none. RAW reads them as written.
unreadable_release() {
    if ! has_room "$1"; then no_room "$1"; return; fi
    answer "unreadable"
    sh -c "$2" >/dev/null 2>"$1/raw"
    without_values "$1/raw" "$1/log" | tail -n 8 | sed 's/^/dockmaster log /'
}

# A value may have several lines: nothing is told behind the first line that may hold the begin of one. What stands in env
# files is the host's in either way of reading.
without_values() {
    awk '
        FILENAME == ARGV[1] { if (!/\.env|variable name|unexpected character/) { is_raw[$0] = 1 } next }
        $0 in is_raw { print; next }
        {
            is_whole = 1
            # No quotation begins in `could not`.
            gsub(/n\047t /, " not ")
            cut = " is invalid| contains| duplicates from|[Pp]arsing|[Ii]nvalid [^:]*:|specified:| near"
            if ($0 !~ /is invalid because:$/ && match($0, cut)) {
                $0 = substr($0, 1, RSTART + RLENGTH - 1) " …"
                is_whole = 0
            }
            gsub(/\047.*\047|".*"|`.*`|\[.*\]|\{.*\}/, "…")
            if (match($0, /[\047"`\[{]/)) { $0 = substr($0, 1, RSTART - 1) "…"; is_whole = 0 }
            print
            if (!is_whole) { exit }
        }
    ' "$1" "$2"
}

# `The "TAG" variable is not set.`, with or without quotes, escaped or not.
told_unset() {
    sed -nE "s/.*[Tt]he [\\\"]*([A-Za-z_][A-Za-z0-9_]*)[\\\"]* variable is not set.*/dockmaster $2 \\1/p" "$1" | sort -u
}

try() {
    directory=$1 service=$2 edits=$(plain "$3") old=$4 new=$5 hashes=$6
    cd "$directory" || { answer "refuse no-project $directory"; return; }
    desk=$(mktemp -d) || { no_room "${TMPDIR:-/tmp}"; return; }
    trap 'rm -rf "$desk"; drop_copies "$edits"' EXIT
    trap 'exit 1' HUP INT TERM PIPE
    if ! has_room "$desk"; then no_room "$desk"; return; fi
    if ! sh -c "$old" >"$desk/old" 2>"$desk/log"; then unreadable "$desk"; return; fi
    told_unset "$desk/log" unset
    copies "$edits" || return
    sh -c "$hashes" 2>/dev/null | told_hashes
    if ! sh -c "$new" >"$desk/new" 2>"$desk/log"; then unreadable "$desk"; return; fi
    if ! { rest "$desk/old" "$service" >"$desk/old.rest" && rest "$desk/new" "$service" >"$desk/new.rest"; }; then
        no_room "$desk"
        return
    fi
    facts "$desk/new" "$service"
    if ! cmp -s "$desk/old.rest" "$desk/new.rest"; then answer "other-changes"; fi
}

stage() {
    if ! mkdir -p "$(released)"; then no_room "$HOME/.cache"; return; fi
    ls -1t "$(released)" | tail -n +31 | while read -r old; do rm -f "$(released)/$old"; done
    staged_files
}

# One file, by its sum.
staged() {
    new=$(released)/.new.$$
    if plain "$2" >"$new" && [ "$(sum "$new")" = "$1" ] && sync "$new" && mv "$new" "$(released)/$1"; then return; fi
    rm -f "$new"
    no_room "$(released)"
}

# What Compose printed, a thing a line: service, kind, name and value, with tabs between. Two spaces a level, but that the
# first generation begins a list's entries where their key begins.
items() {
    awk '
        function bare(text) { gsub(/["\047]/, "", text); sub(/:$/, "", text); return text }
        function put(kind, name, value) {
            gsub(/\t/, " ", name)
            gsub(/\t/, " ", value)
            print service "\t" kind "\t" name "\t" value
        }
        function entry(text) {
            if (part == "ports") {
                text = plain
                if (target != "") { text = (host == "" ? "" : host ":") (published == "" ? "" : published ":") target "/" protocol }
                sub(/\/(tcp)?$/, "", text)
                if (text != "") { put("port", text, "") }
            }
            if (part == "volumes") {
                text = (target == "") ? plain : (source == "" ? "" : source ":") target
                if (text != "") { put("volume", text, access) }
                # A volume without a name and what lies in memory have no source.
                if (target == "" && plain ~ /^\/[^:]*:/) { source = plain; sub(/:.*/, "", source) }
                if (source ~ /^\//) { put("bind", source, "") }
            }
            plain = target = published = host = protocol = source = access = ""
        }
        function variable() {
            if (key != "") { put("variable", key, value) }
            key = value = ""
        }
        function end_part() {
            if (part == "ports" || part == "volumes") { entry() }
            else if (part == "environment") { variable() }
            else if (part == "image") { put("image", bare(value), "") }
            else if (part != "") { put("part", part, value) }
            part = value = ""
        }
        function rest(text) { text = $0; sub(/^ *[^ ]+ */, "", text); return text }
        /^[^ ]/ { end_part(); top = bare($1); service = "-"; next }
        top != "services" {
            if (top !~ /^(volumes|networks|secrets|configs)$/) { next }
            if (/^  [^ ]/) { put(top, bare($1), "") }
            if (/^  [^ ]/) { named = bare($1) }
            if (/^    file:/) { put("file", bare(rest()), top " " named) }
            next
        }
        /^  [^ ]/ { end_part(); service = bare($1); put("service", "", ""); next }
        /^    [^ -]/ {
            end_part()
            part = bare($1)
            if (part != "environment") { value = rest() }
            next
        }
        part == "environment" {
            if (/^      [^ ]/) { variable(); key = bare($1); value = rest() } else { value = value " " $0 }
            next
        }
        part == "ports" || part == "volumes" {
            is_first = /^ +- /
            if (is_first) { entry(); sub(/- /, "  ") }
            if ($1 == "target:") { target = bare(rest()) }
            else if ($1 == "published:") { published = bare(rest()) }
            else if ($1 == "host_ip:") { host = bare(rest()) }
            else if ($1 == "protocol:") { protocol = bare(rest()) }
            else if ($1 == "source:") { source = bare(rest()) }
            else if ($1 == "read_only:") { access = bare(rest()) }
            else if (is_first && $1 !~ /^[a-z_]+:$/) { sub(/^ */, ""); plain = bare($0) }
            next
        }
        { value = value " " $0 }
        END { end_part() }
    ' "$1"
}

# What differs between two lists of items. Values are compared here and leave the host never.
told_changes() {
    awk -F '\t' -v ours="$3" '
        function tell(sign, id, parts) {
            split(id, parts, FS)
            if (parts[2] == "file" || parts[2] == "bind") { return }
            if (parts[1] == ours && parts[2] == "image") { return }
            is_told = (parts[1] == "-" || parts[2] == "service" || ((parts[1] in had) && (parts[1] in has)))
            if (is_told || (sign == "+" && parts[2] == "image")) {
                print "dockmaster change " sign "\t" parts[1] "\t" parts[2] "\t" parts[3]
            }
        }
        { id = $1 FS $2 FS $3 }
        FILENAME == ARGV[1] { was[id] = $4; if ($2 == "service") { had[$1] = 1 } next }
        { is[id] = $4; if ($2 == "service") { has[$1] = 1 } }
        END {
            for (id in is) { if (!(id in was)) { tell("+", id) } else if (is[id] != was[id]) { tell("~", id) } }
            for (id in was) { if (!(id in is)) { tell("-", id) } }
        }
    ' "$1" "$2" | LC_ALL=C sort
}

# What the files of a release need of the host, and of what runs there.
told_needs() {
    awk -F '\t' -v service="$2" -v image="$3" '
        $2 == "port" { print "dockmaster port " $1 " " $3 }
        $1 != service && $2 == "image" && $3 == image { print "dockmaster shares-image " $1 }
        $1 == service && $2 == "part" && $3 ~ /^(container_name|network_mode)$/ {
            gsub(/["\047]/, "", $4)
            print "dockmaster part " $3 " " $4
        }
    ' "$1"
    # Each with the word `had` where the service has it already: then its Docker has seen to it.
    awk -F '\t' -v service="$2" '
        function need(path) { if (FILENAME == ARGV[1]) { had[path] = 1 } else { needed[path] = 1 } }
        $1 == service && $2 == "bind" { need($3) }
        $1 == service && $2 == "part" && $3 ~ /^(secrets|configs)$/ {
            count = split($4, words, /[^A-Za-z0-9_.-]+/)
            for (i = 1; i <= count; i++) { uses[FILENAME, $3 " " words[i]] = 1 }
        }
        $2 == "file" { files[FILENAME, $4] = $3 }
        END {
            for (use in uses) {
                if (!(use in files)) { continue }
                if (index(use, ARGV[1] SUBSEP) == 1) { had[files[use]] = 1 } else { needed[files[use]] = 1 }
            }
            for (path in needed) { print ((path in had) ? "had" : "new") "\t" path }
        }
    ' "$4" "$1" | LC_ALL=C sort -k 2 | while IFS=$tab read -r how path; do
        if [ -e "$path" ]; then
            answer "stays $path"
        elif [ "$how" = new ] && is_seen "$(dirname "$path")"; then
            answer "missing $path"
        fi
    done
}

# Whether it can be told what lies in a folder, or in the last one above it that is there.
is_seen() {
    above=$1
    while [ ! -e "$above" ]; do above=$(dirname "$above"); done
    [ -x "$above" ]
}

swap() {
    directory=$1 service=$2 edits=$(plain "$3") old=$4 old_hashes=$5 new=$6 new_hashes=$7 image=$8 raw=$9
    cd "$directory" || { answer "refuse no-project $directory"; return; }
    desk=$(mktemp -d) || { no_room "${TMPDIR:-/tmp}"; return; }
    trap 'rm -rf "$desk"; drop_copies "$edits"' EXIT
    trap 'exit 1' HUP INT TERM PIPE
    if ! has_room "$desk"; then no_room "$desk"; return; fi
    # Whatever is wrong with the files now is over with them.
    if sh -c "$old" >"$desk/old" 2>"$desk/log"; then
        answer "was-read"
        told_unset "$desk/log" was-unset
        sh -c "$old_hashes" 2>/dev/null | told_hashes | sed 's/^dockmaster hash/dockmaster was-hash/'
    else
        : >"$desk/old"
    fi
    copies "$edits" || return
    if ! sh -c "$new" >"$desk/new" 2>"$desk/log"; then unreadable_release "$desk" "$raw"; return; fi
    told_unset "$desk/log" unset
    sh -c "$new_hashes" 2>/dev/null | told_hashes
    if ! { items "$desk/old" >"$desk/old.items" && items "$desk/new" >"$desk/new.items"; }; then
        no_room "$desk"
        return
    fi
    facts "$desk/new" "$service"
    told_changes "$desk/old.items" "$desk/new.items" "$service"
    told_needs "$desk/new.items" "$service" "$image" "$desk/old.items"
    if [ -f "$directory/.env" ]; then answer "stays $directory/.env"; fi
}

# Text, because the detached shell needs it too. `into COPY FILE` lets the copy take the file's place in one move;
# where that would lose the file's owner, group or other names, it writes into the file that is there. `linked KEPT FILE`
# makes the link again that a file was.
into='
    linked() { if [ ! -e "$1" ] || [ -e "$2" ] || [ -h "$2" ]; then return 0; fi; ln -s "$(cat "$1")" "$2"; }
    over() { cat "$1" 1<>"$2" && truncate -s "$(wc -c <"$1")" "$2" && sync "$2"; }
    keeps_all() {
        [ "$(stat -c "%u %g" "$1")" = "$(stat -c "%u %g" "$2")" ] && [ "$(stat -c %h "$2")" = 1 ]
    }
    into() {
        if [ ! -w "$2" ] || keeps_all "$1" "$2"; then mv -f "$1" "$2"; else over "$1" "$2" && rm -f "$1"; fi
    }
'
eval "$into"

# Keeps what is there, then lets the copies take its place. A file goes only where that is the change: a copy that is not
# there was lost.
write_files() {
    edits=$1 before=$2
    printf '%s\n' "$edits" | awk -F '\t' 'NF > 4 && !seen[$5]++ { print $2 "\t" $4 "\t" $5 "\t" $6 }' >"$before/ways" || return 1
    number=0
    while IFS=$tab read -r way mark path text; do
        number=$((number + 1))
        copy=$(copy_of "$path" "$mark")
        printf '%s\t%s\t%s\t%s\n' "$(sum "$path")" "$(sum "$copy")" "$number" "$path" >>"$before/list" || return 1
        if [ -h "$path" ]; then readlink "$path" >"$before/$number.link" || return 1; fi
        if [ -e "$path" ]; then cp -p "$path" "$before/$number" || return 1; fi
    done <"$before/ways"
    sync "$before"/* 2>/dev/null || sync
    number=0
    while IFS=$tab read -r way mark path text; do
        number=$((number + 1))
        copy=$(copy_of "$path" "$mark")
        if [ "$way" = remove ]; then
            rm -f "$path" || return 1
            continue
        fi
        if [ "$way" = restore ]; then linked "$text.link" "$path" || return 1; fi
        real=$(readlink -f "$path")
        if cmp -s "$copy" "$real"; then
            rm -f "$copy"
            continue
        fi
        if sync "$copy" && into "$copy" "$real"; then continue; fi
        # Half written at worst.
        if [ -e "$before/$number" ] && ! cmp -s "$before/$number" "$real"; then over "$before/$number" "$real"; fi
        return 1
    done <"$before/ways"
}

# A release that Compose could not start is not what a person's next `up` shall start.
put_back=$into'
    while IFS="	" read -r was is copy path; do
        now=-
        if [ -e "$path" ]; then now=$(sha256sum <"$path" | cut -d " " -f 1); fi
        # Whatever took it away: a file that was there is there again.
        if [ "$now" = "$was" ]; then continue; fi
        if [ "$now" != "$is" ] && [ "$now" != - ]; then continue; fi
        if [ "$was" = - ]; then
            if [ -e "$run/before/$copy.link" ]; then rm -f "$(readlink -f "$path")"; else rm -f "$path"; fi
            continue
        fi
        linked "$run/before/$copy.link" "$path"
        real=$(readlink -f "$path")
        if cmp -s "$run/before/$copy" "$real"; then continue; fi
        cp -p "$run/before/$copy" "$real.dockmaster-back" && into "$real.dockmaster-back" "$real" ||
            rm -f "$real.dockmaster-back"
    done <"$run/before/list"
    if [ -s "$run/before/place" ]; then
        cp "$run/before/place" "$place_of.new" && mv "$place_of.new" "$place_of"
    fi
'

mend() {
    run=$(runs "$1")/$2 place_of=$(memory "$3")
    mkdir -p "$(dirname "$place_of")"
    eval "$put_back"
    echo 137 >"$run/rc.new" && mv "$run/rc.new" "$run/rc"
}

start() {
    directory=$1 project=$2 attempt=$3 seconds=$4 edits=$(plain "$5") facts=$6 place=$7 key=$8 up=$9
    shift 9
    service=$1 keep=$2 hashes=$3 memory=$4
    runs=$(runs "$project")
    run=$runs/$attempt
    place_of=$(memory "$key")
    if ! { mkdir -p "$run/before" "$runs/kept" "$(dirname "$place_of")" && true >>"$runs/lock"; }; then
        no_room "$run"
        return
    fi
    exec 9>"$runs/lock"
    if ! flock -w "$seconds" 9; then answer "busy"; return; fi
    if report "$run"; then return; fi
    if ! [ -d "$directory" ]; then answer "refuse no-project $directory"; return; fi
    if ! copies "$edits"; then drop_copies "$edits"; return; fi
    if ! { true >"$run/before/list" && plain "$place" >"$run/before/place" && plain "$facts" >"$run/before/facts" &&
        plain "$memory" >"$place_of.new" && mv "$place_of.new" "$place_of"; }; then
        rm -f "$run/before/facts" "$place_of.new"
        drop_copies "$edits"
        no_room "$run"
        return
    fi
    if ! write_files "$edits" "$run/before"; then
        eval "$put_back"
        drop_copies "$edits"
        no_room "$directory"
        return
    fi
    # Of its own session, with no tie to this connection but the lock it inherits. Once Compose has ended well, what
    # it made of the files is kept, so that the container can be made again when they have changed.
    (
        cd "$directory" || exit
        setsid sh -c '
            run=$1 put_back=$2 up=$3 service=$4 keep=$5 hashes=$6 kept=$7 place_of=$8
            sh -c "$up" >"$run/log" 2>&1
            code=$?
            if [ $code -ne 0 ]; then eval "$put_back"; fi
            echo $code >"$run/rc.new" &&
                mv "$run/rc.new" "$run/rc"
            exec 9>&-
            if [ $code -eq 0 ]; then
                hash=$(sh -c "$hashes" 2>/dev/null | sed -nE "s/^$service ([0-9a-f]{64})\$/\1/p")
                if [ -n "$hash" ] && sh -c "$keep" >"$kept/new" 2>/dev/null; then
                    mv "$kept/new" "$kept/$service.$hash.yml"
                fi
            fi
        ' dockmaster-switch "$run" "$put_back" "$up" "$service" "$keep" "$hashes" "$runs/kept" "$place_of" </dev/null >/dev/null 2>&1 &
        echo $! >"$run/pid"
    )
    exec 9>&-
    told "$run" "$seconds" || return
    ls -1dt "$runs"/*-*/ | tail -n +21 | while read -r old; do rm -rf "$old"; done
    ls -1t "$runs"/kept/*.yml 2>/dev/null | tail -n +7 | while read -r old; do rm -f "$old"; done
}

verb=$1
shift
"$verb" "$@" </dev/null
exit 0
