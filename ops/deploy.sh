#!/bin/sh
# Install and start the service on this machine, and wait until it is healthy. Safe to run again: that is an upgrade.
# usage: ops/deploy.sh [--mode streaming|manual|both] [--engine docker|systemd|process] [--env-file PATH] [--dry-run]
#        ops/deploy.sh --down [--engine docker|systemd|process] [--env-file PATH]
#
# --mode      streaming: the stream without the panel; manual: panel and API without the stream; both (the default)
# --engine    docker: containers, settings in ops/docker/.env (the default); systemd: units, settings in
#             /etc/contimg/contimg.env; process: plain processes of the user who runs this, settings in ops/contimg.env
# --env-file  settings in another file
# --dry-run   check everything, change nothing, say what would be done
# --down      stop what was started; settings, state and products stay
set -eu
cd "$(dirname "$0")/.."
ROOT=$PWD

# shellcheck disable=SC2034 # the parts read these
WAIT_S=${DEPLOY_WAIT_S:-180}
MIN_FREE_GB=${DEPLOY_MIN_FREE_GB:-10}
engine=docker mode='' env='' dry='' down=''

usage() {
    sed -n '3,11s/^# \{0,1\}//p' "$ROOT/ops/deploy.sh"
}

wrong_usage() {
    echo "deploy: $*" >&2
    usage >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
        --mode | --engine | --env-file)
            [ $# -ge 2 ] || wrong_usage "$1 needs a value"
            case $1 in --mode) mode=$2 ;; --engine) engine=$2 ;; --env-file) env=$2 ;; esac
            shift
            ;;
        --dry-run) dry=1 ;;
        --down) down=1 ;;
        -h | --help) usage && exit 0 ;;
        *) wrong_usage "$1: no such option" ;;
    esac
    shift
done
case $mode in "" | streaming | manual | both) ;; *) wrong_usage "--mode $mode: streaming, manual or both" ;; esac
case $engine in
    docker) example=ops/docker/.env.example env=${env:-ops/docker/.env} ;;
    systemd) example=ops/systemd/contimg.env.example env=${env:-/etc/contimg/contimg.env} ;;
    process) example=ops/systemd/contimg.env.example env=${env:-ops/contimg.env} ;;
    *) wrong_usage "--engine $engine: docker, systemd or process" ;;
esac
case $env in /*) ;; *) env=$ROOT/$env ;; esac

# shellcheck source=ops/deploy/saying.sh
. ops/deploy/saying.sh
# shellcheck source=ops/deploy/settings.sh
. ops/deploy/settings.sh
# shellcheck source=ops/deploy/checks.sh
. ops/deploy/checks.sh
# shellcheck source=/dev/null
. "ops/deploy/$engine.sh"

if [ -n "$down" ]; then
    bring_down
    say "stopped; settings, state and products are where they were"
    exit 0
fi

mode=${mode:-$(mode_so_far)}
mode=${mode:-both}
open_settings
check_engine
check_settings
stop_on_problems
if [ -n "$dry" ]; then
    say_plan
    say "nothing was changed"
    exit 0
fi
make_directories
install_and_start
print_summary
