# shellcheck shell=sh disable=SC2034,SC2154
# The service as plain processes of the user who runs this: one supervisor, in a session of its own.
# Reads: env settings mode ROOT WAIT_S.

mode_so_far() {
    sed -n 's/^DEPLOY_MODE=//p' "$env" 2>/dev/null | tail -n 1
}

choose_owner() {
    owner_uid=$(id -u) owner_gid=$(id -g)
    [ "$mode" = "$(value DEPLOY_MODE)" ] || { sed -i '/^DEPLOY_MODE=/d' "$settings" && echo "DEPLOY_MODE=$mode" >>"$settings"; }
}

has_flower() { false; }

check_engine() {
    if [ ! -x .venv/bin/contimg ] && ! command -v python3.11 >/dev/null &&
        ! python3 -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
        problem "neither .venv nor Python 3.11 is here; install python3.11 and its venv package"
    fi
}

process_file() {
    echo "$(value PIPELINE_STATE_DIR)/deployment.process"
}

started_at() {
    # When the process $1 began, in clock ticks since boot: a pid is used again, with its beginning it is not.
    sed 's/.*)//' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" { print $20 }'
}

running_pid() {
    # The pid of the service that this script started, while it lives.
    read -r pid began 2>/dev/null <"$(process_file)" || return 1
    [ "$(started_at "$pid")" = "$began" ] && echo "$pid"
}

holds_port() { running_pid >/dev/null; }

say_plan() {
    say "would make the directories that are missing and .venv, bring the store up to date, and run: $(command_line)"
}

command_line() {
    case $mode in
        streaming) echo "contimg run --no-web" ;;
        manual) echo "contimg web" ;;
        both) echo "contimg run" ;;
    esac
}

with_settings() {
    # Run a command with what the settings file says in its environment.
    (
        set -a
        # shellcheck disable=SC1090 # the operator's
        . "$settings"
        set +a
        exec "$@"
    )
}

install_and_start() {
    [ -x .venv/bin/contimg ] || step "making .venv" scripts/setup.sh
    step "bringing the store up to date" with_settings .venv/bin/contimg db upgrade
    end_processes
    say "starting, mode $mode"
    log=$(value PIPELINE_STATE_DIR)/logs/deployment.log
    mkdir -p "$(dirname "$log")"
    # One simple command: what goes to the background is the service itself, with nothing of this terminal's open.
    # shellcheck disable=SC2016,SC2046 # for the inner shell; words, by intent
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
            give_up "the service did not become healthy (limit $WAIT_S s); the lines above are the end of $1"
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
    # SIGTERM lets the stages under way end, up to 30 s; what is left of the session after that is killed.
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
        say "the panel is at $(panel_url), its API at $(panel_url)api/status; commands need CONTIMG_TOKEN of $env"
    fi
    say "files are taken in from $(value CONTIMG_INPUT_DIR), products go to $(value CONTIMG_OUTPUT_DIR)"
    say "its log is $(value PIPELINE_STATE_DIR)/logs/deployment.log; stop with: ops/deploy.sh --engine process --down"
}

bring_down() {
    settings=$env
    [ -r "$env" ] || give_up "$env: no such file, so nothing was deployed with it"
    end_processes
}
