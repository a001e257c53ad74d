# shellcheck shell=sh disable=SC2034,SC2154
# Output of the deployment: messages, problems, and the end of the log of a failed step.

problems=0

print_message() {
    echo "deploy: $*"
}

problem() {
    echo "deploy: $*" >&2
    problems=$((problems + 1))
}

stop_on_problems() {
    [ "$problems" -eq 0 ] && return
    [ "$problems" -eq 1 ] || echo "deploy: $problems problems, listed above" >&2
    exit 1
}

fail() {
    echo "deploy: $*" >&2
    exit 1
}

step() {
    # Run a command as the step $1 with its output in a log; when it fails, show the end of the log and exit.
    name=$1
    shift
    print_message "$name"
    log=$(mktemp)
    if "$@" >"$log" 2>&1; then
        rm -f "$log"
    else
        tail -n 30 "$log" >&2
        rm -f "$log"
        fail "failed: $name; the lines above are the end of its output"
    fi
}
