#!/bin/sh
# Make .venv with everything that the lock file names, and fetch from Debian what no wheel brings.
# usage: scripts/setup.sh          the environment
#        scripts/setup.sh tests    also what the tests judge with: a browser, WSClean, AOFlagger, PostgreSQL, readers
set -eu
cd "$(dirname "$0")/.."

debian() {
    # Install Debian packages, provided that this is a Debian and we may.
    command -v apt-get >/dev/null || { echo "setup: please install $* by your system's own means" >&2; return 1; }
    become=""
    if [ "$(id -u)" -ne 0 ]; then
        if ! { command -v sudo && sudo -n true; } >/dev/null 2>&1; then
            echo "setup: please run as root: apt-get install $*" >&2
            return 1
        fi
        become="sudo -n"
    fi
    echo "setup: installing $* from Debian"
    $become apt-get update -qq
    $become env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

python_311() {
    for candidate in python3.11 python3; do
        if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

environment() {
    python=$(python_311) || { debian python3.11 python3.11-venv && python=python3.11; }
    if [ ! -x .venv/bin/python ]; then
        "$python" -m venv .venv 2>/dev/null || { rm -rf .venv && debian python3.11-venv && "$python" -m venv .venv; }
    fi
    echo "setup: installing the Python packages of requirements.lock into .venv (2.8 GB, a minute or two)"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
    cp requirements.lock .venv/installed.lock
}

# The lock file and the project's own metadata decide whether anything is to be done.
if ! cmp -s requirements.lock .venv/installed.lock || [ -n "$(find pyproject.toml -newer .venv/installed.lock)" ]; then
    environment
fi

if [ "${1:-}" = tests ]; then
    missing=""
    command -v chromium >/dev/null || missing="$missing chromium"
    command -v wsclean >/dev/null || missing="$missing wsclean"
    command -v aoflagger >/dev/null || missing="$missing aoflagger"
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
    # A test whose judge cannot be installed skips and says so; the rest runs.
    # shellcheck disable=SC2086
    [ -z "$missing" ] || debian $missing || echo "setup: going on without$missing"
    cmp -s requirements-readers.lock .venv-readers/installed.lock || scripts/setup_readers.sh \
        || echo "setup: going on without the other readers of Measurement Sets"
fi
