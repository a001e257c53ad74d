#!/bin/sh
# Fail when a commit subject is longer than 72 characters. History before the rule is not checked.
# usage: scripts/check_commits.sh [RANGE]
set -eu
cd "$(dirname "$0")/.."
first=2ff24d71f4ef # the last commit before the rule
git cat-file -e "$first^{commit}" 2>/dev/null || { echo "check_commits: $first is not in this clone (shallow?); nothing checked"; exit 0; }
git log --format='%h %s' "${1:-$first..HEAD}" | awk 'length($0) - length($1) - 1 > 72 {print "commit " $0 ": subject above 72 characters"; bad = 1} END {exit bad}'
