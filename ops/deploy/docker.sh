# shellcheck shell=sh disable=SC2034,SC2154,SC2153
# The service in containers. Modes are compose profiles; other profiles in COMPOSE_PROFILES (postgres, agent) are kept.
# Reads: env settings mode dry ROOT WAIT_S.

STREAMING="stream worker-convert worker-calibrate worker-image flower"
MANUAL=web

compose() {
    CONTIMG_ENV_FILE=$env docker compose --project-directory "$ROOT" --env-file "$settings" "$@"
}

with_profiles() {
    # Run compose with the profiles of this mode and the other profiles of the settings.
    extra_profiles=$(value COMPOSE_PROFILES | tr ',' '\n' | grep -vxE 'streaming|manual|' | sed 's/^/--profile /' | tr '\n' ' ')
    case $mode in
        streaming) profiles="--profile streaming" ;;
        manual) profiles="--profile manual" ;;
        *) profiles="--profile streaming --profile manual" ;;
    esac
    # shellcheck disable=SC2086 # word splitting is intended
    compose $profiles $extra_profiles "$@"
}

deployed_mode() {
    # Print the mode of the settings file from its compose profiles.
    case ,$(sed -n 's/^COMPOSE_PROFILES=//p' "$env" 2>/dev/null | tail -n 1), in
        *,streaming,*manual,* | *,manual,*streaming,*) echo both ;;
        *,streaming,*) echo streaming ;;
        *,manual,*) echo manual ;;
    esac
}

set_owner() {
    if [ "$(id -u)" -eq 0 ]; then set_default CONTIMG_UID 1000; else set_default CONTIMG_UID "$(id -u)"; fi
    if [ "$(id -u)" -eq 0 ]; then set_default CONTIMG_GID 1000; else set_default CONTIMG_GID "$(id -g)"; fi
    owner_uid=$(value CONTIMG_UID) owner_gid=$(value CONTIMG_GID)
    set_default REPO_ROOT "$ROOT"
    set_default CONTIMG_ENV_FILE "$env"
    set_default FLOWER_BASIC_AUTH "contimg:$(secret)"
    case ,$(value COMPOSE_PROFILES), in *,postgres,*) set_default POSTGRES_PASSWORD "$(secret)" ;; esac
}

has_flower() { true; }

check_engine() {
    [ "$(value REPO_ROOT)" = "$ROOT" ] ||
        problem "REPO_ROOT=$(value REPO_ROOT): this script is in $ROOT; correct REPO_ROOT, or run the script of that checkout"
    for key in CONTIMG_UID CONTIMG_GID; do
        case $(value $key) in
            *[!0-9]*) problem "$key=$(value $key): must be a number" && owner_uid=0 owner_gid=0 ;;
        esac
    done
    for key in CONVERT_CONCURRENCY CALIBRATE_CONCURRENCY IMAGE_CONCURRENCY WORKER_THREADS; do check_number $key 1 256 || true; done
    if ! command -v docker >/dev/null; then
        problem "docker is not installed; install Docker Engine with its compose and buildx plugins"
    elif ! root=$(docker info --format '{{.DockerRootDir}}' 2>/dev/null); then
        problem "the Docker engine does not answer; start it, or run this as a user with access to it"
    else
        version=$(docker compose version --short 2>/dev/null) || version=
        case ${version#v} in
            "") problem "docker compose is not installed; install the plugin, 2.24 or newer" ;;
            [01].* | 2.[0-9].* | 2.1[0-9].* | 2.2[0-3].*) problem "docker compose is $version; 2.24 or newer is needed" ;;
        esac
        docker buildx version >/dev/null 2>&1 || problem "docker buildx is not installed; install the plugin"
        [ ! -d "$root" ] || check_space "$root" "the Docker engine's directory"
    fi
}

owns_port() {
    # Return whether the part $1, with port $3 in its container, already has the port $2 of this machine.
    case $(compose --profile '*' port "$(echo "$1" | sed s/panel/web/)" "$3" 2>/dev/null) in *:"$2") ;; *) return 1 ;; esac
}

print_plan() {
    print_message "would create missing directories, build the image, upgrade the store and start:" \
        "$(with_profiles config --services | sort | tr '\n' ' ')"
}

services_of_other_mode() {
    # Print the services that do not belong to this mode.
    case $mode in streaming) echo $MANUAL ;; manual) echo "$STREAMING" ;; esac
}

install_and_start() {
    step "building the image" compose --profile '*' build stream
    step "upgrading the store" with_profiles run --rm --no-TTY stream contimg db upgrade
    # shellcheck disable=SC2046 # word splitting is intended
    [ -z "$(services_of_other_mode)" ] || step "stopping services that mode $mode does not use" compose --profile '*' rm --stop --force $(services_of_other_mode)
    print_message "starting, mode $mode"
    if ! with_profiles up --detach --wait --wait-timeout "$WAIT_S" >/dev/null 2>&1; then
        show_unhealthy >&2
        fail "the service did not become healthy (limit $WAIT_S s); see the states and logs above"
    fi
}

show_unhealthy() {
    # Print each service that is not running and healthy, with the end of its log.
    with_profiles up --detach 2>&1 | grep -iE 'error|cannot' || true
    with_profiles ps --all --format '{{.Service}} {{.State}} {{.Health}}' | sort -u | while read -r service state health; do
        case "$state $health" in "running healthy" | "running ") continue ;; esac
        echo "--- $service is $state${health:+, $health}; the end of its log:"
        compose --profile '*' logs --no-log-prefix --tail 15 "$service" </dev/null
    done
}

print_summary() {
    with_profiles ps --format 'table {{.Service}}\t{{.Status}}\t{{.Ports}}'
    if [ "$mode" != streaming ]; then
        print_message "panel: $(panel_url), API: $(panel_url)api/status; commands need CONTIMG_TOKEN of $env"
    fi
    if [ "$mode" != manual ]; then
        flower=$(value CONTIMG_FLOWER_PORT)
        print_message "Flower: http://127.0.0.1:${flower:-5555}/, with FLOWER_BASIC_AUTH of $env"
    fi
    print_message "incoming files: $(value CONTIMG_INPUT_DIR); products: $(value CONTIMG_OUTPUT_DIR)"
    print_message "stop with: ops/deploy.sh --down"
}

stop_service() {
    settings=$env
    [ -r "$env" ] || fail "$env: no such file; nothing was deployed with it"
    step "stopping the containers" compose --profile '*' down --remove-orphans
}
