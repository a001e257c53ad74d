# shellcheck shell=sh disable=SC2034,SC2154
# What the deployment says: problems as one list, and the end of the log of a step that failed.

problems=0

say() {
    echo "deploy: $*"
}

problem() {
    echo "deploy: $*" >&2
    problems=$((problems + 1))
}

stop_on_problems() {
    [ "$problems" -eq 0 ] && return
    [ "$problems" -eq 1 ] || echo "deploy: $problems problems, each on a line above" >&2
    exit 1
}

give_up() {
    echo "deploy: $*" >&2
    exit 1
}

step() {
    # Run the command after the name $1 with its output in a log; when it fails, show the log's end and stop.
    what=$1
    shift
    say "$what"
    log=$(mktemp)
    if "$@" >"$log" 2>&1; then
        rm -f "$log"
    else
        tail -n 30 "$log" >&2
        rm -f "$log"
        give_up "failed: $what; the lines above are the end of its output"
    fi
}
