# shellcheck shell=sh disable=SC2034,SC2154
# What has to be right before anything is touched; each thing that is not is one line of one list.
# Reads: settings mode owner_uid owner_gid MIN_FREE_GB.

check_settings() {
    for key in $(directory_keys); do check_directory "$key"; done
    check_number CONTIMG_MAX_WORKERS 1 256 || true
    if [ "$mode" != streaming ]; then check_port CONTIMG_WEB_PORT 8080 panel; fi
    if [ "$mode" != manual ] && has_flower; then check_port CONTIMG_FLOWER_PORT 5555 flower; fi
    if [ "$(value CONTIMG_WEB_PORT)" = "$(value CONTIMG_FLOWER_PORT)" ] && [ -n "$(value CONTIMG_WEB_PORT)" ]; then
        problem "CONTIMG_WEB_PORT and CONTIMG_FLOWER_PORT are both $(value CONTIMG_WEB_PORT); give two ports"
    fi
    check_space "$(value CONTIMG_OUTPUT_DIR)" "CONTIMG_OUTPUT_DIR"
}

check_directory() {
    path=$(value "$1")
    case $path in
        "") problem "$1: is not set in $env" && return ;;
        /*) ;;
        *) problem "$1=$path: must be an absolute path" && return ;;
    esac
    if [ -e "$path" ] && [ ! -d "$path" ]; then
        problem "$1=$path: is not a directory"
    elif [ -d "$path" ]; then
        if [ "$1" = CONTIMG_INPUT_DIR ]; then
            allows "$path" 5 || problem "$1=$path: user $owner_uid cannot read it; let group $owner_gid or others read it"
        else
            allows "$path" 7 || problem "$1=$path: user $owner_uid cannot write to it; run: chown $owner_uid:$owner_gid $path"
        fi
    else
        parent=$(standing_parent "$path")
        if [ ! -d "$parent" ] || [ ! -w "$parent" ]; then
            problem "$1=$path: cannot be made in $parent by $(id -un); make it, owned by $owner_uid:$owner_gid"
        fi
    fi
}

standing_parent() {
    # The nearest of a path's parents that exists.
    parent=$1
    until [ -e "$parent" ]; do parent=$(dirname "$parent"); done
    echo "$parent"
}

allows() {
    # Whether the service's user has the permission bits $2 (5 reads, 7 writes as well) on the directory $1.
    [ "$owner_uid" -eq 0 ] && return 0
    about=$(stat -L -c '%u %g %a' "$1") || return 1
    uid=${about%% *} about=${about#* }
    gid=${about%% *} bits=$((0${about#* }))
    if [ "$uid" -eq "$owner_uid" ]; then
        bits=$((bits >> 6))
    elif [ "$gid" -eq "$owner_gid" ]; then
        bits=$((bits >> 3))
    fi
    [ $((bits & $2)) -eq "$2" ]
}

check_number() {
    # The key $1 is empty or a whole number from $2 to $3.
    number=$(value "$1")
    case $number in
        "") return ;;
        *[!0-9]*) problem "$1=$number: must be a whole number from $2 to $3" && return 1 ;;
    esac
    if [ "$number" -lt "$2" ] || [ "$number" -gt "$3" ]; then
        problem "$1=$number: must be from $2 to $3"
        return 1
    fi
}

check_port() {
    # The port that the key $1 gives (default $2) is free, or the part $3 of this very deployment has it.
    check_number "$1" 1 65535 || return 0
    port=$(value "$1")
    port=${port:-$2}
    if is_listened_on "$port" && ! holds_port "$3" "$port" "$2"; then
        problem "$1=$port: the port is in use by something else; give another, or stop what uses it (ss -ltnp)"
    fi
}

is_listened_on() {
    # Whether any process listens on the TCP port $1; 0A is the kernel's word for it.
    hex=$(printf ':%04X' "$1")
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v end="$hex" '$4 == "0A" && $2 ~ end "$" { found = 1 } END { exit !found }'
}

check_space() {
    # The file system of the directory $1 has MIN_FREE_GB; $2 says what the directory is.
    case $1 in /*) ;; *) return ;; esac
    free_gb=$(df -Pk "$(standing_parent "$1")" | awk 'NR == 2 { print int($4 / 1000000) }')
    if [ "${free_gb:-0}" -lt "$MIN_FREE_GB" ]; then
        problem "$2=$1: $free_gb GB free, $MIN_FREE_GB GB are needed; make room, or give a directory on another disk"
    fi
}
