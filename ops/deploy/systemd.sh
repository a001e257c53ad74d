# shellcheck shell=sh disable=SC2034,SC2154
# The service under systemd: units that contimg.target holds, a user, and a Python environment in /opt/contimg.
# Reads: env settings mode dry ROOT WAIT_S.

STREAMING="contimg-broker.service contimg-stream.service contimg-worker@convert.service
contimg-worker@calibrate.service contimg-worker@image.service contimg-flower.service"
MANUAL=contimg-api.service
UNITS=/etc/systemd/system

mode_so_far() {
    stream=$(systemctl is-enabled contimg-stream.service 2>/dev/null || true)
    api=$(systemctl is-enabled contimg-api.service 2>/dev/null || true)
    case "$stream $api" in "enabled enabled") echo both ;; enabled*) echo streaming ;; *" enabled") echo manual ;; esac
}

choose_owner() {
    fill_in FLOWER_BASIC_AUTH "contimg:$(secret)"
    if [ -z "$dry" ] && [ "$(id -u)" -eq 0 ] && ! id contimg >/dev/null 2>&1; then
        useradd --system --user-group --home-dir /var/lib/contimg --shell /usr/sbin/nologin contimg
    fi
    owner_uid=$(id -u contimg 2>/dev/null) || owner_uid=999999
    owner_gid=$(id -g contimg 2>/dev/null) || owner_gid=999999
}

has_flower() { true; }

check_engine() {
    [ "$(id -u)" -eq 0 ] || problem "installing units needs root; run it with sudo"
    [ -d /run/systemd/system ] || problem "systemd is not the init system here; --engine docker and --engine process need none"
    if ! python3 -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
        problem "python3 is not Python 3.11; install python3.11 and its venv package"
    elif ! python3 -c 'import ensurepip' 2>/dev/null; then
        problem "Python's venv package is missing; on Debian: apt-get install python3.11-venv"
    fi
    [ -x /opt/contimg/bin/contimg ] || check_space /opt "/opt"
}

holds_port() {
    systemctl is-active --quiet contimg-"$(echo "$1" | sed s/panel/api/)".service
}

say_plan() {
    say "would make the user contimg and the directories that are missing, install the program into /opt/contimg," \
        "bring the store up to date and start: $(wanted | tr '\n' ' ')"
}

wanted() {
    # The units of this mode; the broker is ours unless the settings name one.
    case $mode in streaming) echo "$STREAMING" ;; manual) echo "$MANUAL" ;; *) echo "$STREAMING $MANUAL" ;; esac | tr ' ' '\n' |
        if [ -n "$(value CONTIMG_BROKER_URL)" ]; then grep -v contimg-broker; else cat; fi
}

install_and_start() {
    install -d -o contimg -g contimg /var/lib/contimg
    chown root:contimg "$env"
    chmod 640 "$env"
    step "installing the program into /opt/contimg (2.8 GB, a minute or two the first time)" install_program
    step "bringing the store up to date" as_the_service /opt/contimg/bin/contimg db upgrade
    step "installing the units" install_units
    say "starting, mode $mode"
    if ! systemctl restart contimg.target || ! wait_until_healthy; then
        journalctl --no-pager --lines 30 --unit 'contimg-*' >&2
        systemctl --no-pager --failed list-units 'contimg*' >&2
        give_up "the service did not become healthy (limit $WAIT_S s); the lines above are the end of its journal"
    fi
}

install_program() {
    # The program and its locked dependencies; from a copy, so that building leaves nothing here.
    [ -x /opt/contimg/bin/python ] || python3 -m venv /opt/contimg || return 1
    export PIP_NO_CACHE_DIR="${PIP_NO_CACHE_DIR:-1}" PIP_DISABLE_PIP_VERSION_CHECK=1
    copy=$(mktemp -d)
    cp -R contimg workers web pyproject.toml requirements.lock README.md LICENSE "$copy"
    PIP_CONSTRAINT=$copy/requirements.lock /opt/contimg/bin/python -m pip install \
        --quiet --upgrade --upgrade-strategy only-if-needed "${copy}[postgres]" &&
        PIP_CONSTRAINT=$copy/requirements.lock /opt/contimg/bin/python -m pip install \
            --quiet --no-deps --force-reinstall "$copy"
    done=$?
    rm -rf "$copy"
    return "$done"
}

as_the_service() {
    # Run a command as the user contimg with what the settings file says in its environment.
    (
        set -a
        # shellcheck disable=SC1090 # the operator's
        . "$settings"
        cd /var/lib/contimg || exit
        exec setpriv --reuid=contimg --regid=contimg --init-groups "$@"
    )
}

install_units() {
    # The units may write only below /var/lib/contimg; a drop-in opens the directories that the settings name. A drop-in
    # in contimg-.service.d is for every unit whose name begins so.
    install -m 644 ops/systemd/contimg-*.service $UNITS/
    install -D -m 644 -t $UNITS/contimg-.service.d ops/systemd/contimg-.service.d/*.conf
    install -D -m 644 -t $UNITS/contimg-agent.service.d ops/systemd/contimg-agent.service.d/*.conf
    writable="$(value PIPELINE_STATE_DIR) $(value CONTIMG_OUTPUT_DIR) $(value CONTIMG_SCRATCH_DIR)"
    printf '[Service]\nEnvironmentFile=\nEnvironmentFile=%s\nReadWritePaths=%s\n' "$env" "$writable" \
        >$UNITS/contimg-.service.d/90-deployment.conf
    install -m 644 ops/systemd/contimg.target $UNITS/
    systemctl daemon-reload
    # shellcheck disable=SC2046,SC2086 # words, by intent
    systemctl disable --quiet --now $(for unit in $STREAMING $MANUAL; do wanted | grep -qxF "$unit" || echo "$unit"; done) contimg.target
    # shellcheck disable=SC2046 # words, by intent
    systemctl enable --quiet $(wanted) contimg.target
}

wait_until_healthy() {
    # The stream's unit has notified that a scan succeeded before systemctl came back; the panel is asked.
    waited=0
    # shellcheck disable=SC2046 # words, by intent
    until systemctl is-active --quiet $(wanted) && panel_answers; do
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
    # shellcheck disable=SC2046 # words, by intent
    systemctl --no-pager --no-legend list-units $(wanted)
    if [ "$mode" != streaming ]; then
        say "the panel is at $(panel_url), its API at $(panel_url)api/status; commands need CONTIMG_TOKEN of $env"
    fi
    say "files are taken in from $(value CONTIMG_INPUT_DIR), products go to $(value CONTIMG_OUTPUT_DIR)"
    say "logs: journalctl --unit 'contimg-*'; stop with: ops/deploy.sh --engine systemd --down"
}

bring_down() {
    [ "$(id -u)" -eq 0 ] || give_up "stopping units needs root; run it with sudo"
    # The units by name as well: systemctl waits for those it was told.
    step "stopping the units" systemctl stop contimg.target 'contimg-*.service'
    systemctl disable --quiet contimg.target
}
