# What the scripts that change or try compose files share: each change is made in a copy beside the file, so that Compose
# can read it before it takes the file's place.
tab=$(printf '\t')

# Where the files of releases lie, each under the sum of its content.
released() { printf '%s/.cache/dockmaster/.released' "$HOME"; }

plain() { printf '%s' "$1" | base64 -d; }

sum() { if [ -e "$1" ]; then sha256sum <"$1" | cut -d ' ' -f 1; else echo -; fi; }

# Compose reads it from here before it takes the file's place: what it says of other files is relative to it.
copy_of() { printf '%s/.%s.dockmaster' "$(dirname "$1")" "$(basename "$1")"; }

lost() {
    no_room "$(dirname "$1")"
    exit 1
}

# Makes the files as they are to be, beside those that are there.
copies() {
    drop_copies "$1"
    printf '%s\n' "$1" | while IFS=$tab read -r was way number path text; do
        if [ -z "$path" ]; then continue; fi
        copy=$(copy_of "$path")
        if [ "$(sum "$path")" != "$was" ]; then answer "refuse changed $path"; exit 1; fi
        if [ "$way" = remove ]; then continue; fi
        # What comes with a release is named by its sum; where the file is new, it gets the mode of the one beside it.
        staged=$(released)/${text%% *}
        if [ -e "$path" ]; then
            [ -e "$copy" ] || cp -p "$path" "$copy" || lost "$copy"
        elif [ "$way" = place ]; then
            mode=$(stat -c %a "${text#* }" 2>/dev/null) || mode=644
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
    printf '%s\n' "$1" | while IFS=$tab read -r was way number path text; do
        if [ -n "$path" ]; then rm -f "$(copy_of "$path")" "$(copy_of "$path").new"; fi
    done
}
