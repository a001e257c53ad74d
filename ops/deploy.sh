#!/bin/sh
# Install and start the service on this machine, and wait until it is healthy. Running it again upgrades the service.
# usage: ops/deploy.sh [--mode streaming|manual|both] [--engine docker|systemd|process] [--env-file PATH] [--dry-run]
#        ops/deploy.sh --down [--engine docker|systemd|process] [--env-file PATH]
#
# --mode      streaming: the stream without the panel; manual: panel and API without the stream; both (the default)
# --engine    docker: containers, settings in ops/docker/.env (the default); systemd: units, settings in
#             /etc/contimg/contimg.env; process: plain processes of the user who runs this, settings in ops/contimg.env
# --env-file  settings in another file
# --dry-run   check everything, change nothing, print what would be done
# --down      stop the service; settings, state and products are kept
set -eu
cd "$(dirname "$0")/.."
ROOT=$PWD

# shellcheck disable=SC2034 # read by the sourced scripts
WAIT_S=${DEPLOY_WAIT_S:-180}
MIN_FREE_GB=${DEPLOY_MIN_FREE_GB:-10}
engine=docker mode='' env='' dry='' down=''

usage() {
    sed -n '3,11s/^# \{0,1\}//p' "$ROOT/ops/deploy.sh"
}

usage_error() {
    echo "deploy: $*" >&2
    usage >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
        --mode | --engine | --env-file)
            [ $# -ge 2 ] || usage_error "$1 needs a value"
            case $1 in --mode) mode=$2 ;; --engine) engine=$2 ;; --env-file) env=$2 ;; esac
            shift
            ;;
        --dry-run) dry=1 ;;
        --down) down=1 ;;
        -h | --help) usage && exit 0 ;;
        *) usage_error "$1: no such option" ;;
    esac
    shift
done
case $mode in "" | streaming | manual | both) ;; *) usage_error "--mode $mode: streaming, manual or both" ;; esac
case $engine in
    docker) example=ops/docker/.env.example env=${env:-ops/docker/.env} ;;
    systemd) example=ops/systemd/contimg.env.example env=${env:-/etc/contimg/contimg.env} ;;
    process) example=ops/systemd/contimg.env.example env=${env:-ops/contimg.env} ;;
    *) usage_error "--engine $engine: docker, systemd or process" ;;
esac
case $env in /*) ;; *) env=$ROOT/$env ;; esac

# shellcheck source=ops/deploy/output.sh
. ops/deploy/output.sh
# shellcheck source=ops/deploy/settings.sh
. ops/deploy/settings.sh
# shellcheck source=ops/deploy/checks.sh
. ops/deploy/checks.sh
# shellcheck source=/dev/null
. "ops/deploy/$engine.sh"

if [ -n "$down" ]; then
    stop_service
    print_message "stopped; settings, state and products are kept"
    exit 0
fi

mode=${mode:-$(deployed_mode)}
mode=${mode:-both}
prepare_settings
check_engine
check_settings
stop_on_problems
if [ -n "$dry" ]; then
    print_plan
    print_message "nothing was changed"
    exit 0
fi
make_directories
install_and_start
print_summary
