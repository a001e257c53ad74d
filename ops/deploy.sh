#!/bin/sh
# Install and start the service on this machine, and wait until it is healthy. Safe to run again: that is an upgrade.
# usage: ops/deploy.sh docker      containers, by docker compose; settings in ops/docker/.env
#        ops/deploy.sh systemd     two units, a user and a Python environment; settings in /etc/contimg/contimg.env
set -eu
cd "$(dirname "$0")/.."

WAIT_S=${DEPLOY_WAIT_S:-180}
problems=0

problem() {
    echo "deploy: $*" >&2
    problems=$((problems + 1))
}

stop_on_problems() {
    [ "$problems" -eq 0 ] || exit 1
}

secret() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}

value_of() {
    # The value that the settings file $1 gives the key $2; nothing when it has no such line.
    sed -n "s/^$2=//p" "$1" | tail -n 1
}

fill_in() {
    # Give the key $2 of the settings file $1 the value $3, unless it has one already.
    [ -z "$(value_of "$1" "$2")" ] || return 0
    if grep -q "^$2=" "$1"; then
        sed -i "s|^$2=.*|$2=$3|" "$1"
    else
        echo "$2=$3" >>"$1"
    fi
}

settings_file() {
    # Make $2 from the example $1 if it is not there; only its owner may read it.
    [ -e "$2" ] && return
    (umask 077 && cp "$1" "$2")
    echo "deploy: wrote $2; look through it, then run this again to apply what you change"
}

directories() {
    # Make the directories that the settings file $1 names, for the owner $2 (UID:GID).
    for key in PIPELINE_STATE_DIR CONTIMG_INPUT_DIR CONTIMG_OUTPUT_DIR CONTIMG_SCRATCH_DIR; do
        path=$(value_of "$1" "$key")
        case $path in
            /*) ;;
            *) problem "$1: $key=$path: must be an absolute path" && continue ;;
        esac
        [ -d "$path" ] && continue
        if ! mkdir -p "$path" 2>/dev/null; then
            problem "$1: $key=$path: cannot be made; make it, writable for $2"
        elif [ "$(id -u)" -eq 0 ]; then
            chown "$2" "$path"
        fi
    done
}

panel_url() {
    host=$(value_of "$1" CONTIMG_WEB_HOST)
    case $host in "" | 0.0.0.0) host=127.0.0.1 ;; esac
    port=$(value_of "$1" CONTIMG_WEB_PORT)
    echo "http://$host:${port:-8080}/"
}

# --- containers

docker_prerequisites() {
    if ! command -v docker >/dev/null; then
        problem "docker is not installed; install Docker Engine with its compose and buildx plugins"
    elif ! docker info >/dev/null 2>&1; then
        problem "the Docker engine does not answer; start it, or run this as a user who may use it"
    else
        version=$(docker compose version --short 2>/dev/null) || version=
        case ${version#v} in
            "") problem "docker compose is not installed; install its plugin, 2.24 or newer" ;;
            [01].* | 2.[0-9].* | 2.1[0-9].* | 2.2[0-3].*) problem "docker compose is $version; 2.24 or newer is needed" ;;
        esac
        docker buildx version >/dev/null 2>&1 || problem "docker buildx is not installed; install its plugin"
    fi
    stop_on_problems
}

docker_settings() {
    settings_file ops/docker/.env.example "$env"
    if [ "$(id -u)" -eq 0 ]; then owner=1000 group=1000; else owner=$(id -u) group=$(id -g); fi
    fill_in "$env" CONTIMG_UID "$owner"
    fill_in "$env" CONTIMG_GID "$group"
    fill_in "$env" CONTIMG_TOKEN "$(secret)"
    fill_in "$env" FLOWER_BASIC_AUTH "contimg:$(secret)"
    if grep -q '^COMPOSE_PROFILES=.*postgres' "$env"; then
        fill_in "$env" POSTGRES_PASSWORD "$(secret)"
    fi
    directories "$env" "$(value_of "$env" CONTIMG_UID):$(value_of "$env" CONTIMG_GID)"
    stop_on_problems
}

compose() {
    docker compose --env-file "$env" "$@"
}

deploy_docker() {
    env=ops/docker/.env
    docker_prerequisites
    docker_settings
    compose build
    if ! compose up --detach --wait --wait-timeout "$WAIT_S"; then
        compose ps --all >&2
        compose logs --tail 20 >&2
        echo "deploy: the service did not become healthy (limit $WAIT_S s); the lines above say what each part did last" >&2
        exit 1
    fi
    compose ps
    echo "deploy: the panel is at $(panel_url "$env"); the token for commands is CONTIMG_TOKEN in $env"
    echo "deploy: stop with: docker compose --env-file $env down"
}

# --- systemd

systemd_prerequisites() {
    [ "$(id -u)" -eq 0 ] || problem "installing units needs root; run: sudo ops/deploy.sh systemd"
    [ -d /run/systemd/system ] || problem "systemd is not the init system here; ops/deploy.sh docker needs none"
    if ! python3 -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
        problem "python3 is not Python 3.11; install python3.11 and its venv package"
    elif ! python3 -c 'import ensurepip' 2>/dev/null; then
        problem "Python's venv package is missing; on Debian: apt-get install python3.11-venv"
    fi
    stop_on_problems
}

install_program() {
    # The program and its locked dependencies in /opt/contimg; from a copy, so that building leaves nothing here.
    echo "deploy: installing the program into /opt/contimg (2.8 GB, a minute or two the first time)"
    [ -x /opt/contimg/bin/python ] || python3 -m venv /opt/contimg
    copy=$(mktemp -d)
    trap 'rm -rf "$copy"' EXIT
    cp -R contimg workers web pyproject.toml requirements.lock README.md LICENSE "$copy"
    PIP_CONSTRAINT=$copy/requirements.lock /opt/contimg/bin/python -m pip install \
        --quiet --no-cache-dir --disable-pip-version-check "${copy}[postgres]"
}

systemd_settings() {
    id contimg >/dev/null 2>&1 || useradd --system --user-group --home-dir /var/lib/contimg --shell /usr/sbin/nologin contimg
    install -d -m 755 /etc/contimg
    settings_file ops/systemd/contimg.env.example "$env"
    chown root:contimg "$env"
    chmod 640 "$env"
    fill_in "$env" CONTIMG_TOKEN "$(secret)"
    install -d -o contimg -g contimg /var/lib/contimg
    directories "$env" contimg:contimg
    stop_on_problems
}

install_units() {
    # The units may write only below /var/lib/contimg; a drop-in opens the directories that the settings name.
    writable="$(value_of "$env" PIPELINE_STATE_DIR) $(value_of "$env" CONTIMG_OUTPUT_DIR) $(value_of "$env" CONTIMG_SCRATCH_DIR)"
    for unit in contimg-stream contimg-web; do
        install -m 644 "ops/systemd/$unit.service" /etc/systemd/system/
        install -d "/etc/systemd/system/$unit.service.d"
        printf '[Service]\nReadWritePaths=%s\n' "$writable" >"/etc/systemd/system/$unit.service.d/paths.conf"
    done
    systemctl daemon-reload
    systemctl enable --quiet contimg-stream contimg-web
    systemctl restart contimg-stream contimg-web
}

panel_answers() {
    python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=3)' "$(panel_url "$env")api/status" 2>/dev/null
}

deploy_systemd() {
    env=/etc/contimg/contimg.env
    systemd_prerequisites
    install_program
    systemd_settings
    install_units
    waited=0
    until systemctl is-active --quiet contimg-stream && panel_answers; do
        if [ "$waited" -ge "$WAIT_S" ]; then
            journalctl --no-pager --lines 20 --unit contimg-stream --unit contimg-web >&2
            echo "deploy: the service did not become healthy within $WAIT_S s; see journalctl -u contimg-stream -u contimg-web" >&2
            exit 1
        fi
        sleep 1
        waited=$((waited + 1))
    done
    echo "deploy: the panel is at $(panel_url "$env"); the token for commands is CONTIMG_TOKEN in $env"
    echo "deploy: stop with: systemctl stop contimg-stream contimg-web"
}

case "${1:-} $#" in
    "docker 1") deploy_docker ;;
    "systemd 1") deploy_systemd ;;
    *)
        sed -n '2,4s/^# //p' "$0" >&2
        exit 2
        ;;
esac
