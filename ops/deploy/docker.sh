# shellcheck shell=sh disable=SC2034,SC2154,SC2153
# The service in containers. Modes are compose profiles; others that COMPOSE_PROFILES names (postgres, agent) stay.
# Reads: env settings mode dry ROOT WAIT_S.

STREAMING="stream worker-convert worker-calibrate worker-image flower"
MANUAL=web

compose() {
    CONTIMG_ENV_FILE=$env docker compose --project-directory "$ROOT" --env-file "$settings" "$@"
}

with_profiles() {
    # Compose with the profiles of this mode and those that the settings name beside the modes.
    others=$(value COMPOSE_PROFILES | tr ',' '\n' | grep -vxE 'streaming|manual|' | sed 's/^/--profile /' | tr '\n' ' ')
    case $mode in
        streaming) profiles="--profile streaming" ;;
        manual) profiles="--profile manual" ;;
        *) profiles="--profile streaming --profile manual" ;;
    esac
    # shellcheck disable=SC2086 # words, by intent
    compose $profiles $others "$@"
}

mode_so_far() {
    # What the settings file says, by the profiles that compose starts by itself.
    case ,$(sed -n 's/^COMPOSE_PROFILES=//p' "$env" 2>/dev/null | tail -n 1), in
        *,streaming,*manual,* | *,manual,*streaming,*) echo both ;;
        *,streaming,*) echo streaming ;;
        *,manual,*) echo manual ;;
    esac
}

choose_owner() {
    if [ "$(id -u)" -eq 0 ]; then fill_in CONTIMG_UID 1000; else fill_in CONTIMG_UID "$(id -u)"; fi
    if [ "$(id -u)" -eq 0 ]; then fill_in CONTIMG_GID 1000; else fill_in CONTIMG_GID "$(id -g)"; fi
    owner_uid=$(value CONTIMG_UID) owner_gid=$(value CONTIMG_GID)
    fill_in REPO_ROOT "$ROOT"
    fill_in CONTIMG_ENV_FILE "$env"
    fill_in FLOWER_BASIC_AUTH "contimg:$(secret)"
    case ,$(value COMPOSE_PROFILES), in *,postgres,*) fill_in POSTGRES_PASSWORD "$(secret)" ;; esac
}

has_flower() { true; }

check_engine() {
    [ "$(value REPO_ROOT)" = "$ROOT" ] ||
        problem "REPO_ROOT=$(value REPO_ROOT): this script is in $ROOT; correct the line, or run the script of that checkout"
    for key in CONTIMG_UID CONTIMG_GID; do
        case $(value $key) in
            *[!0-9]*) problem "$key=$(value $key): must be a number" && owner_uid=0 owner_gid=0 ;;
        esac
    done
    for key in CONVERT_CONCURRENCY CALIBRATE_CONCURRENCY IMAGE_CONCURRENCY WORKER_THREADS; do check_number $key 1 256 || true; done
    if ! command -v docker >/dev/null; then
        problem "docker is not installed; install Docker Engine with its compose and buildx plugins"
    elif ! root=$(docker info --format '{{.DockerRootDir}}' 2>/dev/null); then
        problem "the Docker engine does not answer; start it, or run this as a user who may use it"
    else
        version=$(docker compose version --short 2>/dev/null) || version=
        case ${version#v} in
            "") problem "docker compose is not installed; install its plugin, 2.24 or newer" ;;
            [01].* | 2.[0-9].* | 2.1[0-9].* | 2.2[0-3].*) problem "docker compose is $version; 2.24 or newer is needed" ;;
        esac
        docker buildx version >/dev/null 2>&1 || problem "docker buildx is not installed; install its plugin"
        [ ! -d "$root" ] || check_space "$root" "the Docker engine's directory"
    fi
}

holds_port() {
    # Whether the part $1, whose port is $3 inside its container, has the port $2 of this machine already.
    case $(compose --profile '*' port "$(echo "$1" | sed s/panel/web/)" "$3" 2>/dev/null) in *:"$2") ;; *) return 1 ;; esac
}

say_plan() {
    say "would make the directories that are missing, build the image, bring the store up to date and start:" \
        "$(with_profiles config --services | sort | tr '\n' ' ')"
}

unwanted() {
    # The services of the other mode.
    case $mode in streaming) echo $MANUAL ;; manual) echo "$STREAMING" ;; esac
}

install_and_start() {
    step "building the image" compose --profile '*' build stream
    step "bringing the store up to date" with_profiles run --rm --no-TTY stream contimg db upgrade
    # shellcheck disable=SC2046 # words, by intent
    [ -z "$(unwanted)" ] || step "stopping what mode $mode does without" compose --profile '*' rm --stop --force $(unwanted)
    say "starting, mode $mode"
    if ! with_profiles up --detach --wait --wait-timeout "$WAIT_S" >/dev/null 2>&1; then
        show_ailing >&2
        give_up "the service did not become healthy (limit $WAIT_S s); the lines above say which part and what it did last"
    fi
}

show_ailing() {
    # Each part that is not running and healthy, with the end of its log.
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
        say "the panel is at $(panel_url), its API at $(panel_url)api/status; commands need CONTIMG_TOKEN of $env"
    fi
    if [ "$mode" != manual ]; then
        flower=$(value CONTIMG_FLOWER_PORT)
        say "Flower is at http://127.0.0.1:${flower:-5555}/, behind FLOWER_BASIC_AUTH of $env"
    fi
    say "files are taken in from $(value CONTIMG_INPUT_DIR), products go to $(value CONTIMG_OUTPUT_DIR)"
    say "stop with: ops/deploy.sh --down"
}

bring_down() {
    settings=$env
    [ -r "$env" ] || give_up "$env: no such file, so nothing was deployed with it"
    step "stopping the containers" compose --profile '*' down --remove-orphans
}
