#!/bin/sh
# Convert the groups of a time range. Kept for existing cron jobs; it calls `contimg convert`.
if [ "$#" -ne 4 ]; then
    echo "usage: $0 INPUT_DIR OUTPUT_DIR START END   (times in UTC, for example 2026-02-22T23:00:00)" >&2
    exit 2
fi
checkout=$(dirname "$0")/..
command=contimg
[ -x "$checkout/.venv/bin/contimg" ] && command="$checkout/.venv/bin/contimg"
exec "$command" convert "$1" "$2" "$3" "$4"
