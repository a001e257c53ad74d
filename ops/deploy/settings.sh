# shellcheck shell=sh disable=SC2034,SC2154
# The settings file: made once from its example, filled in with what only this machine can know, read key by key.
# Reads: env example dry engine ROOT.

secret() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

value() {
    # The value of the key $1 in the settings; nothing when it has no such line.
    sed -n "s/^$1=//p" "$settings" | tail -n 1
}

fill_in() {
    # Give the key $1 the value $2, unless it has one already.
    [ -z "$(value "$1")" ] || return 0
    if grep -q "^$1=" "$settings"; then
        sed -i "s|^$1=.*|$1=$2|" "$settings"
    else
        echo "$1=$2" >>"$settings"
    fi
}

open_settings() {
    # Sets `settings`: the file itself, or with --dry-run a copy that goes away.
    settings=$env
    if [ -n "$dry" ]; then
        settings=$(mktemp)
        trap 'rm -f "$settings"' EXIT
        cat "$env" >"$settings" 2>/dev/null || cat "$example" >"$settings"
    elif [ ! -e "$env" ]; then
        mkdir -p "$(dirname "$env")" 2>/dev/null || give_up "$env: its directory cannot be made"
        (umask 077 && cp "$example" "$env") || give_up "$env: cannot be written; run this as its owner, or give --env-file"
        if [ "$engine" = process ]; then sed -i "s|=/var/lib/contimg|=$ROOT/var|" "$env"; fi
        say "wrote $env; look through it, then run this again to apply what you change"
    elif [ ! -r "$env" ]; then
        give_up "$env: cannot be read by $(id -un); run this as its owner"
    fi
    choose_owner
    fill_in CONTIMG_TOKEN "$(secret)"
    # What the file says counts, whatever this terminal has exported.
    # shellcheck disable=SC2013,SC2046 # words, by intent
    unset $(sed -n 's/^\([A-Z_]*\)=.*/\1/p' "$settings")
}

directory_keys() {
    echo PIPELINE_STATE_DIR CONTIMG_INPUT_DIR CONTIMG_OUTPUT_DIR CONTIMG_SCRATCH_DIR
}

make_directories() {
    for key in $(directory_keys); do
        path=$(value "$key")
        [ -d "$path" ] && continue
        mkdir -p "$path"
        if [ "$(id -u)" -eq 0 ]; then chown "$owner_uid:$owner_gid" "$path"; fi
    done
}

panel_url() {
    host=$(value CONTIMG_WEB_HOST)
    case $host in "" | 0.0.0.0) host=127.0.0.1 ;; esac
    port=$(value CONTIMG_WEB_PORT)
    echo "http://$host:${port:-8080}/"
}
