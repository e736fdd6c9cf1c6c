# The second instance of a service, on the production host itself: read by `sh -s` as script.sh is, and answers as
# that does.
#
#   check DIRECTORY SERVICE TARGET PORT CONFIG NAME EDITS
#                                       could there be one? PORT is the host's, TARGET the container's
#   start DIRECTORY SERVICE TARGET PORT CONFIG NAME OWNER ATTEMPT SECONDS IMAGE COMPOSE PULL EDITS
#                                       makes project OWNER's file and runs it, detached
#   await OWNER ATTEMPT SECONDS         waits for what is under way; tells how ATTEMPT ended
#   drop OWNER                          removes what was written for it
#
# EDITS are changes that the files have not got yet, as script.sh takes them: CONFIG reads the copies that have them.
# CONFIG is the command line that prints project NAME's files as one, COMPOSE that of Compose itself, both quoted for a
# shell. What it prints may hold secrets: nothing of it leaves the host, and the file that is made of it is ours alone.
umask 077

# The one service out of what Compose printed, which has two spaces a level in every generation: under the new image, at
# the one port, with the networks and volumes that are there. Says on lines of its own what speaks against it.
reduced() {
    awk -v service="$1" -v target="$2" -v port="$3" -v name="$4" -v image="$5" '
        function join(name) { if (!(name in joined)) { joined[name] = 1; nets[++net_count] = name } }
        function bare(text) { gsub(/["\047]/, "", text); sub(/:$/, "", text); return text }
        function refuse(why) { print "dockmaster bridge-refuse " why }
        function real(kind, key) {
            if ((kind, key) in named) { return named[kind, key] }
            return ((kind, key) in outside) ? key : name "_" key
        }
        # `3131:80/tcp`, `127.0.0.1:3131:80`
        function inner(text) { sub(/\/.*/, "", text); sub(/.*:/, "", text); return text }
        function published(text) {
            if (text == "" || text ~ /-/) { refuse("ports " text); return }
            if (inner(text) != target || has_port) { refuse("ports " text); return }
            has_port = 1
            sub(/\/.*/, "", text)
            # What stands before both ports is the address.
            if (sub(/:[^:]*$/, "", text) && sub(/:[^:]*$/, "", text)) { host = text }
            address = (host == "") ? "" : host ":"
        }
        /^[^ ]/ {
            top = bare($1)
            if (top == "version") { version = $0 }
        }
        (top == "secrets" || top == "configs") { rest[++rests] = $0 }
        (top == "networks" || top == "volumes") && /^  [^ ]/ { key = bare($1); if (top == "volumes") { defined[++defined_count] = key } }
        (top == "networks" || top == "volumes") && /^    (name|external):/ {
            if ($1 == "name:") { named[top, key] = bare($2) }
            if ($1 == "external:" && $2 != "false") { outside[top, key] = 1 }
        }
        (top == "networks" || top == "volumes") && /^      name:/ { named[top, key] = bare($2) }
        top != "services" { next }
        /^  [^ ]/ { in_service = (bare($1) == service); other = bare($1); part = ""; next }
        /^    [^ -]/ { part = bare($1); shown = $0; sub(/^ *[^ ]+ */, "", shown) }
        !in_service {
            is_telling = (part == "depends_on" || part == "links" || part == "environment")
            if (is_telling && $0 ~ ("(^|[^A-Za-z0-9_.-])" service "([^A-Za-z0-9_.-]|$)")) { sisters[other] = 1 }
            next
        }
        { seen = 1 }
        part == "volumes_from" || part == "mac_address" { if (/^    [^ -]/) { refuse(part " is set") } }
        /^    network_mode:/ && bare($2) != "bridge" { refuse("network_mode " bare($2)) }
        /^    (pid|ipc):/ && bare($2) ~ /^(service|container):/ { refuse(part " " bare($2)) }
        part == "network_mode" { is_alone = 1 }
        part == "networks" && /ipv[46]_address:/ { refuse("networks " bare($1) " " bare($2)) }
        part == "networks" && /^      [^ -]/ { join(bare($1)) }
        part == "networks" && /^    (  )?- / { join(bare($2)) }
        part == "networks" { has_networks = 1 }
        part == "ports" && /^ +- / { host = "" }
        part == "ports" && / host_ip:/ {
            host = $0
            sub(/.*host_ip: */, "", host)
            gsub(/["\047]/, "", host)
            if (host ~ /:/) { host = "[" host "]" }
        }
        part == "ports" && /^ +- / && $2 !~ /^(mode|name|protocol|published|target|host_ip|app_protocol):$/ { published(bare($2)) }
        part == "ports" && / target:/ { sub(/.*target: */, ""); published(bare($0)); next }
        part == "volumes" { volumes[++count] = $0 }
        part ~ /^(container_name|depends_on|build|profiles|links|external_links|scale|pull_policy|ports|image)$/ { next }
        part == "deploy" && /^      replicas:/ { next }
        { lines[++all] = $0 }
        END {
            if (!seen) { refuse("service " service " is not there"); exit }
            if (!has_port) { refuse("ports do not publish " target) }
            if (!has_networks && !is_alone) { join("default") }
            for (sister in sisters) { print "dockmaster sister " sister }
            if (version != "") { print "bridge " version }
            print "bridge services:"
            print "bridge   " service ":"
            print "bridge     image: \"" image "\""
            print "bridge     ports:"
            print "bridge     - \"" address port ":" target "\""
            for (i = 1; i <= all; i++) { print "bridge " lines[i] }
            told = 0
            for (n = 1; n <= net_count; n++) {
                net = nets[n]
                if (!told++) { print "bridge networks:" }
                print "bridge   " net ":"
                print "bridge     external:"
                print "bridge       name: \"" real("networks", net) "\""
            }
            told = 0
            for (n = 1; n <= defined_count; n++) {
                volume = defined[n]
                is_used = 0
                for (i = 1; i <= count; i++) {
                    text = volumes[i]
                    gsub(/["\047]/, "", text)
                    sub(/^ *(- )?(source: )?/, "", text)
                    sub(/:.*/, "", text)
                    if (text == volume) { is_used = 1 }
                }
                if (!is_used) { continue }
                if (!told++) { print "bridge volumes:" }
                print "bridge   " volume ":"
                print "bridge     external:"
                print "bridge       name: \"" real("volumes", volume) "\""
            }
            for (i = 1; i <= rests; i++) { print "bridge " rest[i] }
        }
    '
}

# What Compose makes of the files now, as what was asked of it.
made() {
    directory=$1 config=$2
    shift 2
    cd "$directory" || return 1
    sh -c "$config" 2>/dev/null | reduced "$@"
}

check() {
    edits=$(plain "$7")
    trap 'drop_copies "$edits"' EXIT
    trap 'exit 1' HUP INT TERM PIPE
    copies "$edits" || return
    made "$1" "$5" "$2" "$3" "$4" "$6" x | grep '^dockmaster '
    listening "$4"
}

# Whoever listens at the port already, in the host's own network.
listening() {
    hex=$(printf '%04X' "$1")
    if cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v port=":$hex" '
        $4 == "0A" && substr($2, length($2) - 4) == port { found = 1 }
        END { exit !found }
    '; then answer "listens $1"; fi
}

start() {
    directory=$1 service=$2 target=$3 port=$4 config=$5 name=$6 owner=$7 attempt=$8 seconds=$9
    shift 9
    image=$1 compose=$2 pull=$3 edits=$(plain "$4")
    runs=$(runs "$owner")
    run=$runs/$attempt
    file=$runs/docker-compose.yml
    if ! { mkdir -p "$run" && true >>"$runs/lock"; }; then
        no_room "$run"
        return
    fi
    exec 9>"$runs/lock"
    if ! flock -w "$seconds" 9; then answer "busy"; return; fi
    if report "$run"; then return; fi
    if ! copies "$edits"; then drop_copies "$edits"; return; fi
    # In a shell of its own: it goes to the project's folder.
    (made "$directory" "$config" "$service" "$target" "$port" "$name" "$image" >"$run/made")
    drop_copies "$edits"
    if ! has_room "$run"; then no_room "$run"; return; fi
    if grep '^dockmaster bridge-refuse' "$run/made"; then return; fi
    if ! { sed -n 's/^bridge //p' "$run/made" >"$file.new" && mv "$file.new" "$file"; }; then
        no_room "$runs"
        return
    fi
    rm "$run/made"
    # As script.sh does it: of its own session, with no tie to this connection but the lock it inherits.
    (
        cd "$runs" || exit
        setsid sh -c '
            run=$1 up=$2
            sh -c "$up" >"$run/log" 2>&1
            echo $? >"$run/rc.new" &&
                mv "$run/rc.new" "$run/rc"
        ' dockmaster-bridge "$run" "$compose -p $owner -f docker-compose.yml up -d --no-deps --no-build $pull $service" </dev/null >/dev/null 2>&1 &
        echo $! >"$run/pid"
    )
    exec 9>&-
    told "$run" "$seconds"
}

drop() { rm -rf "$(runs "$1")"; }

verb=$1
shift
"$verb" "$@" </dev/null
exit 0
