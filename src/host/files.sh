# What the scripts that change or try compose files share: each change is made in a copy beside the file, so that Compose
# can read it before it takes the file's place.
tab=$(printf '\t')

# Where the files of releases lie, each under the sum of its content.
released() { printf '%s/.cache/dockmaster/.released' "$HOME"; }

plain() { printf '%s' "$1" | base64 -d; }

sum() { if [ -e "$1" ]; then sha256sum <"$1" | cut -d ' ' -f 1; else echo -; fi; }

# Compose reads it from here before it takes the file's place: what it says of other files is relative to it. Each change
# has a mark of its own, so that nobody takes or drops another's copies.
copy_of() { printf '%s/.%s.%s.dockmaster' "$(dirname "$1")" "$(basename "$1")" "$2"; }

lost() {
    no_room "$(dirname "$1")"
    exit 1
}

# Makes the files as they are to be, beside those that are there.
copies() {
    drop_copies "$1"
    printf '%s\n' "$1" | while IFS=$tab read -r was way number mark path text; do
        if [ -z "$path" ]; then continue; fi
        copy=$(copy_of "$path" "$mark")
        drop_stale "$path"
        if [ "$(sum "$path")" != "$was" ]; then answer "refuse changed $path"; exit 1; fi
        if [ "$way" = remove ]; then continue; fi
        # What comes with a release is named by its sum; where the file is new, it gets the mode of the one beside it.
        staged=$(released)/${text%% *}
        if [ -e "$path" ]; then
            [ -e "$copy" ] || cp -p "$path" "$copy" || lost "$copy"
        elif [ "$way" = place ]; then
            like=${text#* } mode=644
            if [ -e "$like" ]; then mode=$(stat -Lc %a "$like") || mode=644; fi
            cp "$staged" "$copy" && chmod "$mode" "$copy" || lost "$copy"
        elif [ ! -e "$copy" ]; then
            cp -p "$text" "$copy" || lost "$copy"
        fi
        case $way in
        place)
            cat "$staged" >"$copy" || lost "$copy"
            [ "$(sum "$copy")" = "${text%% *}" ] || lost "$copy"
            ;;
        restore) cat "$text" >"$copy" || lost "$copy" ;;
        line | insert)
            text=$text number=$number way=$way awk '
                function ended(text) { return text ($0 ~ /\r$/ ? "\r" : "") }
                NR == ENVIRON["number"] {
                    print ended(ENVIRON["text"])
                    if (ENVIRON["way"] == "line") { next }
                }
                { print }
            ' "$copy" >"$copy.new" && cat "$copy.new" >"$copy" && rm "$copy.new" || lost "$copy"
            ;;
        esac
    done
}

drop_copies() {
    printf '%s\n' "$1" | while IFS=$tab read -r was way number mark path text; do
        if [ -n "$path" ]; then rm -f "$(copy_of "$path" "$mark")" "$(copy_of "$path" "$mark").new"; fi
    done
}

# What a shell left that was killed: a copy is written within minutes.
drop_stale() {
    command find "$(dirname "$1")" -maxdepth 1 -type f -name ".$(basename "$1").*.dockmaster*" -cmin +120 -delete 2>/dev/null
}
