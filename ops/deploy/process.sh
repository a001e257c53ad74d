# shellcheck shell=sh disable=SC2034,SC2154
# The service as processes of the user who runs this: a supervisor in a session of its own.
# Reads: env settings mode ROOT WAIT_S.

deployed_mode() {
    sed -n 's/^DEPLOY_MODE=//p' "$env" 2>/dev/null | tail -n 1
}

set_owner() {
    owner_uid=$(id -u) owner_gid=$(id -g)
    [ "$mode" = "$(value DEPLOY_MODE)" ] || { sed -i '/^DEPLOY_MODE=/d' "$settings" && echo "DEPLOY_MODE=$mode" >>"$settings"; }
}

has_flower() { false; }

check_engine() {
    if [ ! -x .venv/bin/contimg ] && ! command -v python3.11 >/dev/null &&
        ! python3 -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
        problem "no .venv and no Python 3.11; install python3.11 and its venv package"
    fi
}

process_file() {
    echo "$(value PIPELINE_STATE_DIR)/deployment.process"
}

started_at() {
    # Print the start time of the process $1 in clock ticks since boot; pid and start time are unique together.
    sed 's/.*)//' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" { print $20 }'
}

running_pid() {
    # Print the pid of the service that this script started, while it runs.
    read -r pid start 2>/dev/null <"$(process_file)" || return 1
    [ "$(started_at "$pid")" = "$start" ] && echo "$pid"
}

owns_port() { running_pid >/dev/null; }

print_plan() {
    print_message "would create missing directories and .venv, upgrade the store, and run: $(command_line)"
}

command_line() {
    case $mode in
        streaming) echo "contimg run --no-web" ;;
        manual) echo "contimg web" ;;
        both) echo "contimg run" ;;
    esac
}

with_settings() {
    # Run a command with the settings in its environment.
    (
        set -a
        # shellcheck disable=SC1090 # settings of the operator
        . "$settings"
        set +a
        exec "$@"
    )
}

install_and_start() {
    [ -x .venv/bin/contimg ] || step "creating .venv" scripts/setup.sh
    step "upgrading the store" with_settings .venv/bin/contimg db upgrade
    end_processes
    print_message "starting, mode $mode"
    log=$(value PIPELINE_STATE_DIR)/logs/deployment.log
    mkdir -p "$(dirname "$log")"
    # A simple command, so that the background process is the service itself, without open files of this terminal.
    # shellcheck disable=SC2016,SC2046 # expanded by the inner shell; word splitting is intended
    setsid sh -c 'set -a; . "$1"; set +a; shift; exec "$@"' sh "$settings" .venv/bin/$(command_line) </dev/null >"$log" 2>&1 &
    pid=$!
    sleep 0.2
    echo "$pid $(started_at "$pid")" >"$(process_file)"
    wait_until_healthy "$log"
}

wait_until_healthy() {
    waited=0
    until is_healthy; do
        if ! running_pid >/dev/null || [ "$waited" -ge "$WAIT_S" ]; then
            tail -n 15 "$1" >&2
            end_processes
            fail "the service did not become healthy (limit $WAIT_S s); the lines above are the end of $1"
        fi
        sleep 1
        waited=$((waited + 1))
    done
}

is_healthy() {
    if [ "$mode" != manual ]; then with_settings .venv/bin/python ops/docker/stream_health.py 2>/dev/null || return 1; fi
    if [ "$mode" != streaming ]; then
        .venv/bin/python -c 'import sys, urllib.request as r; r.urlopen(sys.argv[1], timeout=3)' "$(panel_url)api/status" 2>/dev/null
    fi
}

end_processes() {
    # SIGTERM gives running stages up to 30 s to end; the rest of the session is killed after 45 s.
    pid=$(running_pid) || return 0
    kill -TERM "$pid"
    waited=0
    while running_pid >/dev/null && [ "$waited" -lt 45 ]; do sleep 1 && waited=$((waited + 1)); done
    if running_pid >/dev/null; then kill -KILL "-$pid"; fi
    rm -f "$(process_file)"
}

print_summary() {
    with_settings .venv/bin/contimg status
    if [ "$mode" != streaming ]; then
        print_message "panel: $(panel_url), API: $(panel_url)api/status; commands need CONTIMG_TOKEN of $env"
    fi
    print_message "incoming files: $(value CONTIMG_INPUT_DIR); products: $(value CONTIMG_OUTPUT_DIR)"
    print_message "log: $(value PIPELINE_STATE_DIR)/logs/deployment.log; stop with: ops/deploy.sh --engine process --down"
}

stop_service() {
    settings=$env
    [ -r "$env" ] || fail "$env: no such file; nothing was deployed with it"
    end_processes
}
