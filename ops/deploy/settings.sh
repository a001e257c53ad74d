# shellcheck shell=sh disable=SC2034,SC2154
# The settings file: created from its example, completed with values of this machine, and read by key.
# Reads: env example dry engine ROOT.

secret() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

value() {
    # Print the value of the key $1 in the settings; print nothing when it is missing.
    sed -n "s/^$1=//p" "$settings" | tail -n 1
}

set_default() {
    # Set the key $1 to $2 if it has no value.
    [ -z "$(value "$1")" ] || return 0
    if grep -q "^$1=" "$settings"; then
        sed -i "s|^$1=.*|$1=$2|" "$settings"
    else
        echo "$1=$2" >>"$settings"
    fi
}

prepare_settings() {
    # Set `settings`: the settings file, or with --dry-run a temporary copy.
    settings=$env
    if [ -n "$dry" ]; then
        settings=$(mktemp)
        trap 'rm -f "$settings"' EXIT
        cat "$env" >"$settings" 2>/dev/null || cat "$example" >"$settings"
    elif [ ! -e "$env" ]; then
        mkdir -p "$(dirname "$env")" 2>/dev/null || fail "$env: its directory cannot be created"
        (umask 077 && cp "$example" "$env") || fail "$env: cannot be written; run this as its owner, or give --env-file"
        if [ "$engine" = process ]; then sed -i "s|=/var/lib/contimg|=$ROOT/var|" "$env"; fi
        print_message "wrote $env; check it, then run this again to apply changes"
    elif [ ! -r "$env" ]; then
        fail "$env: cannot be read by $(id -un); run this as its owner"
    fi
    set_owner
    set_default CONTIMG_TOKEN "$(secret)"
    # The file takes precedence over the variables of this terminal.
    # shellcheck disable=SC2013,SC2046 # word splitting is intended
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
