# shellcheck shell=sh disable=SC2034,SC2154
# Checks before any change; each problem is printed on a line.
# Reads: settings mode owner_uid owner_gid MIN_FREE_GB.

check_settings() {
    for key in $(directory_keys); do check_directory "$key"; done
    check_number CONTIMG_MAX_WORKERS 1 256 || true
    if [ "$mode" != streaming ]; then check_port CONTIMG_WEB_PORT 8080 panel; fi
    if [ "$mode" != manual ] && has_flower; then check_port CONTIMG_FLOWER_PORT 5555 flower; fi
    if [ "$(value CONTIMG_WEB_PORT)" = "$(value CONTIMG_FLOWER_PORT)" ] && [ -n "$(value CONTIMG_WEB_PORT)" ]; then
        problem "CONTIMG_WEB_PORT and CONTIMG_FLOWER_PORT are both $(value CONTIMG_WEB_PORT); set different ports"
    fi
    check_space "$(value CONTIMG_OUTPUT_DIR)" "CONTIMG_OUTPUT_DIR"
}

check_directory() {
    path=$(value "$1")
    case $path in
        "") problem "$1: not set in $env" && return ;;
        /*) ;;
        *) problem "$1=$path: must be an absolute path" && return ;;
    esac
    if [ -e "$path" ] && [ ! -d "$path" ]; then
        problem "$1=$path: is not a directory"
    elif [ -d "$path" ]; then
        if [ "$1" = CONTIMG_INPUT_DIR ]; then
            has_permission "$path" 5 || problem "$1=$path: user $owner_uid cannot read it; let group $owner_gid or others read it"
        else
            has_permission "$path" 7 || problem "$1=$path: user $owner_uid cannot write to it; run: chown $owner_uid:$owner_gid $path"
        fi
    else
        parent=$(existing_parent "$path")
        if [ ! -d "$parent" ] || [ ! -w "$parent" ]; then
            problem "$1=$path: cannot be created in $parent by $(id -un); create it, owned by $owner_uid:$owner_gid"
        fi
    fi
}

existing_parent() {
    # Print the nearest existing parent of the path $1.
    parent=$1
    until [ -e "$parent" ]; do parent=$(dirname "$parent"); done
    echo "$parent"
}

has_permission() {
    # Return whether the service's user has the permission bits $2 (5: read, 7: read and write) on the directory $1.
    [ "$owner_uid" -eq 0 ] && return 0
    permissions=$(stat -L -c '%u %g %a' "$1") || return 1
    uid=${permissions%% *} permissions=${permissions#* }
    gid=${permissions%% *} bits=$((0${permissions#* }))
    if [ "$uid" -eq "$owner_uid" ]; then
        bits=$((bits >> 6))
    elif [ "$gid" -eq "$owner_gid" ]; then
        bits=$((bits >> 3))
    fi
    [ $((bits & $2)) -eq "$2" ]
}

check_number() {
    # Check that the key $1 is empty or an integer from $2 to $3.
    number=$(value "$1")
    case $number in
        "") return ;;
        *[!0-9]*) problem "$1=$number: must be an integer from $2 to $3" && return 1 ;;
    esac
    if [ "$number" -lt "$2" ] || [ "$number" -gt "$3" ]; then
        problem "$1=$number: must be from $2 to $3"
        return 1
    fi
}

check_port() {
    # Check that the port of the key $1 (default $2) is free, or used by the part $3 of this deployment.
    check_number "$1" 1 65535 || return 0
    port=$(value "$1")
    port=${port:-$2}
    if is_listened_on "$port" && ! owns_port "$3" "$port" "$2"; then
        problem "$1=$port: the port is in use by another process; set another port, or stop that process (ss -ltnp)"
    fi
}

is_listened_on() {
    # Return whether a process listens on the TCP port $1; 0A is the kernel's code for LISTEN.
    hex=$(printf ':%04X' "$1")
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v end="$hex" '$4 == "0A" && $2 ~ end "$" { listening = 1 } END { exit !listening }'
}

check_space() {
    # Check that the file system of the directory $1 has MIN_FREE_GB free; $2 names the directory.
    case $1 in /*) ;; *) return ;; esac
    free_gb=$(df -Pk "$(existing_parent "$1")" | awk 'NR == 2 { print int($4 / 1000000) }')
    if [ "${free_gb:-0}" -lt "$MIN_FREE_GB" ]; then
        problem "$2=$1: $free_gb GB free, $MIN_FREE_GB GB are needed; free space, or set a directory on another disk"
    fi
}
