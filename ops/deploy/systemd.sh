# shellcheck shell=sh disable=SC2034,SC2154
# The service under systemd: the units of contimg.target, a user, and a Python environment in /opt/contimg.
# Reads: env settings mode dry ROOT WAIT_S.

STREAMING="contimg-broker.service contimg-stream.service contimg-worker@convert.service
contimg-worker@calibrate.service contimg-worker@image.service contimg-flower.service"
MANUAL=contimg-api.service
UNITS=/etc/systemd/system

deployed_mode() {
    stream=$(systemctl is-enabled contimg-stream.service 2>/dev/null || true)
    api=$(systemctl is-enabled contimg-api.service 2>/dev/null || true)
    case "$stream $api" in "enabled enabled") echo both ;; enabled*) echo streaming ;; *" enabled") echo manual ;; esac
}

set_owner() {
    set_default FLOWER_BASIC_AUTH "contimg:$(secret)"
    if [ -z "$dry" ] && [ "$(id -u)" -eq 0 ] && ! id contimg >/dev/null 2>&1; then
        useradd --system --user-group --home-dir /var/lib/contimg --shell /usr/sbin/nologin contimg
    fi
    owner_uid=$(id -u contimg 2>/dev/null) || owner_uid=999999
    owner_gid=$(id -g contimg 2>/dev/null) || owner_gid=999999
}

has_flower() { true; }

check_engine() {
    [ "$(id -u)" -eq 0 ] || problem "installing units needs root; run it with sudo"
    [ -d /run/systemd/system ] || problem "systemd is not the init system; use --engine docker or --engine process"
    if ! python3 -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
        problem "python3 is not Python 3.11; install python3.11 and its venv package"
    elif ! python3 -c 'import ensurepip' 2>/dev/null; then
        problem "Python's venv package is missing; on Debian: apt-get install python3.11-venv"
    fi
    [ -x /opt/contimg/bin/contimg ] || check_space /opt "/opt"
}

owns_port() {
    systemctl is-active --quiet contimg-"$(echo "$1" | sed s/panel/api/)".service 2>/dev/null
}

print_plan() {
    print_message "would create the user contimg and missing directories, install the program into /opt/contimg," \
        "upgrade the store and start: $(units_of_mode | tr '\n' ' ')"
}

units_of_mode() {
    # Print the units of this mode; contimg-broker only when the settings have no CONTIMG_BROKER_URL.
    case $mode in streaming) echo "$STREAMING" ;; manual) echo "$MANUAL" ;; *) echo "$STREAMING $MANUAL" ;; esac | tr ' ' '\n' |
        if [ -n "$(value CONTIMG_BROKER_URL)" ]; then grep -v contimg-broker; else cat; fi
}

install_and_start() {
    install -d -o contimg -g contimg /var/lib/contimg
    chown root:contimg "$env"
    chmod 640 "$env"
    step "installing the program into /opt/contimg (2.8 GB, 1 to 2 minutes the first time)" install_program
    step "upgrading the store" run_as_service_user /opt/contimg/bin/contimg db upgrade
    step "installing the units" install_units
    print_message "starting, mode $mode"
    if ! systemctl restart contimg.target || ! wait_until_healthy; then
        journalctl --no-pager --lines 30 --unit 'contimg-*' >&2
        systemctl --no-pager --failed list-units 'contimg*' >&2
        fail "the service did not become healthy (limit $WAIT_S s); the lines above are the end of its journal"
    fi
}

install_program() {
    # Install the program and its locked dependencies from a copy, so that the build leaves no files in the checkout.
    [ -x /opt/contimg/bin/python ] || python3 -m venv /opt/contimg || return 1
    export PIP_NO_CACHE_DIR="${PIP_NO_CACHE_DIR:-1}" PIP_DISABLE_PIP_VERSION_CHECK=1
    copy=$(mktemp -d)
    cp -R contimg workers web pyproject.toml requirements.lock README.md LICENSE "$copy"
    PIP_CONSTRAINT=$copy/requirements.lock /opt/contimg/bin/python -m pip install \
        --quiet --upgrade --upgrade-strategy only-if-needed "${copy}[postgres]" &&
        PIP_CONSTRAINT=$copy/requirements.lock /opt/contimg/bin/python -m pip install \
            --quiet --no-deps --force-reinstall "$copy"
    status=$?
    rm -rf "$copy"
    return "$status"
}

run_as_service_user() {
    # Run a command as the user contimg with the settings in its environment.
    (
        set -a
        # shellcheck disable=SC1090 # settings of the operator
        . "$settings"
        cd /var/lib/contimg || exit
        exec setpriv --reuid=contimg --regid=contimg --init-groups "$@"
    )
}

install_units() {
    # The units may write only below /var/lib/contimg; a drop-in adds the directories of the settings. Drop-ins in
    # contimg-.service.d apply to every unit whose name begins with contimg-.
    install -m 644 ops/systemd/contimg-*.service $UNITS/
    install -D -m 644 -t $UNITS/contimg-.service.d ops/systemd/contimg-.service.d/*.conf
    install -D -m 644 -t $UNITS/contimg-agent.service.d ops/systemd/contimg-agent.service.d/*.conf
    writable="$(value PIPELINE_STATE_DIR) $(value CONTIMG_OUTPUT_DIR) $(value CONTIMG_SCRATCH_DIR)"
    printf '[Service]\nEnvironmentFile=\nEnvironmentFile=%s\nReadWritePaths=%s\n' "$env" "$writable" \
        >$UNITS/contimg-.service.d/90-deployment.conf
    install -m 644 ops/systemd/contimg.target $UNITS/
    systemctl daemon-reload
    # shellcheck disable=SC2046,SC2086 # word splitting is intended
    systemctl disable --quiet --now $(for unit in $STREAMING $MANUAL; do units_of_mode | grep -qxF "$unit" || echo "$unit"; done) contimg.target
    # shellcheck disable=SC2046 # word splitting is intended
    systemctl enable --quiet $(units_of_mode) contimg.target
}

wait_until_healthy() {
    # systemctl returns after the stream has notified of a successful scan; the panel is requested here.
    waited=0
    # shellcheck disable=SC2046 # word splitting is intended
    until systemctl is-active --quiet $(units_of_mode) && panel_answers; do
        [ "$waited" -lt "$WAIT_S" ] || return 1
        sleep 1
        waited=$((waited + 1))
    done
}

panel_answers() {
    [ "$mode" = streaming ] ||
        python3 -c 'import sys, urllib.request as r; r.urlopen(sys.argv[1], timeout=3)' "$(panel_url)api/status" 2>/dev/null
}

print_summary() {
    # shellcheck disable=SC2046 # word splitting is intended
    systemctl --no-pager --no-legend list-units $(units_of_mode)
    if [ "$mode" != streaming ]; then
        print_message "panel: $(panel_url), API: $(panel_url)api/status; commands need CONTIMG_TOKEN of $env"
    fi
    print_message "incoming files: $(value CONTIMG_INPUT_DIR); products: $(value CONTIMG_OUTPUT_DIR)"
    print_message "logs: journalctl --unit 'contimg-*'; stop with: ops/deploy.sh --engine systemd --down"
}

stop_service() {
    [ "$(id -u)" -eq 0 ] || fail "stopping units needs root; run it with sudo"
    # The units are named, too: systemctl waits only for units that are named.
    step "stopping the units" systemctl stop contimg.target 'contimg-*.service'
    systemctl disable --quiet contimg.target
}
