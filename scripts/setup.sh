#!/bin/sh
# Create .venv with the packages of the lock file, and install Debian packages that have no wheels.
# usage: scripts/setup.sh          the environment
#        scripts/setup.sh tests    also programs that tests use: a browser, WSClean, AOFlagger, PostgreSQL, readers
set -eu
cd "$(dirname "$0")/.."

debian() {
    # Install Debian packages, if apt-get and root or sudo are available.
    command -v apt-get >/dev/null || { echo "setup: apt-get is missing; install $* with the package manager of this system" >&2; return 1; }
    as_root=""
    if [ "$(id -u)" -ne 0 ]; then
        if ! { command -v sudo && sudo -n true; } >/dev/null 2>&1; then
            echo "setup: not root; run as root: apt-get install $*" >&2
            return 1
        fi
        as_root="sudo -n"
    fi
    echo "setup: installing $* from Debian"
    $as_root apt-get update -qq
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
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
    echo "setup: installing the Python packages of requirements.lock into .venv (2.8 GB, 1 to 2 minutes)"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
    cp requirements.lock .venv/installed.lock
    # Without it the first tiles take longer by what numba compiles.
    .venv/bin/python scripts/compile_kernels.py || echo "setup: continuing without compiled kernels" >&2
    # The sky viewer of the panel; the rest works without it, and the Sky page shows the command.
    .venv/bin/contimg viewer install || echo "setup: continuing without Aladin Lite" >&2
}

# Install again when the lock file or pyproject.toml has changed.
if ! cmp -s requirements.lock .venv/installed.lock || [ -n "$(find pyproject.toml -newer .venv/installed.lock)" ]; then
    environment
fi

if [ "${1:-}" = tests ]; then
    # Also where the environment was made without network.
    ls .venv/share/contimg/aladin-lite-*/aladin.js >/dev/null 2>&1 || .venv/bin/contimg viewer install \
        || echo "setup: continuing without Aladin Lite"
    missing=""
    command -v chromium >/dev/null || missing="$missing chromium"
    command -v wsclean >/dev/null || missing="$missing wsclean"
    command -v aoflagger >/dev/null || missing="$missing aoflagger"
    ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
    # A test whose program cannot be installed is skipped with the reason.
    # shellcheck disable=SC2086
    [ -z "$missing" ] || debian $missing || echo "setup: continuing without$missing"
    cmp -s requirements-readers.lock .venv-readers/installed.lock || scripts/setup_readers.sh \
        || echo "setup: continuing without the readers of Measurement Sets"
fi
