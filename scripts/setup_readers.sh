#!/bin/sh
# Install the readers of Measurement Sets that tests/tile/convert/test_readers.py uses into .venv-readers.
set -eu
cd "$(dirname "$0")/.."
[ -x .venv-readers/bin/python ] || .venv/bin/python -m venv .venv-readers
.venv-readers/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-readers.lock
cp requirements-readers.lock .venv-readers/installed.lock
