#!/bin/sh
# Convert the groups of one stretch of time, as operators and cron jobs have always called it.
if [ "$#" -ne 4 ]; then
    echo "usage: $0 INPUT_DIR OUTPUT_DIR START END   (times in UTC, for example 2026-02-22T23:00:00)" >&2
    exit 2
fi
here=$(dirname "$0")/..
command=contimg
[ -x "$here/.venv/bin/contimg" ] && command="$here/.venv/bin/contimg"
exec "$command" convert "$1" "$2" "$3" "$4"
