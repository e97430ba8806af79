#!/bin/sh
# A nightly backup as shell scripts do it: generate (in place of a real source), archive, verify, store.
# In a Runplane run it reports through the run directory; by itself it just works.
#
# Usage: backup.sh [FILES [SECONDS [DESTINATION]]]
#   FILES        files to generate and archive (default 20)
#   SECONDS      how long the whole work should take (default 5)
#   DESTINATION  a directory for the archive; "none" removes it at the end (default none)
set -eu

files=${1:-20}
seconds=${2:-5}
destination=${3:-none}

work=$(mktemp -d "${TMPDIR:-/tmp}/nightly-backup.XXXXXX")
trap 'rm -rf "$work"' EXIT
# KILL: a child that was forked a moment ago, but runs no program of its own yet, would lose a TERM.
trap 'kill -KILL "${!:-}" 2>/dev/null; exit 143' TERM
trap 'kill -KILL "${!:-}" 2>/dev/null; exit 130' INT
total=$((files + 3))
seconds_a_part=$(awk -v seconds="$seconds" -v total="$total" 'BEGIN { print seconds / total }')

# In the background, because a shell looks at its signals only when a foreground command has ended.
pause() {
    sleep "$seconds_a_part" &
    wait "$!"
}

# One line, one write: the whole protocol. Texts here hold no quotes and no backslashes.
report() {
    if [ -n "${RUNPLANE_DIR:-}" ]; then
        printf '{"t":%s,%s}\n' "$(date +%s)" "$1" >>"$RUNPLANE_DIR/reports.jsonl"
    fi
}

progress() {
    report "\"progress\":{\"done\":$1,\"total\":$total,\"unit\":\"parts\",\"message\":\"$2\"}"
}

# The same through the program, where it is installed; it checks and quotes what it is given.
step() {
    if ! runplane emit step "$@" 2>/dev/null; then
        report "\"step\":\"$1\",\"state\":\"$2\""
    fi
}

echo "Backing up $files files"

step generate started
mkdir "$work/source"
number=0
while [ "$number" -lt "$files" ]; do
    number=$((number + 1))
    awk -v n="$number" 'BEGIN { srand(n); for (i = 0; i < 200; i++) print n, i, rand() }' >"$work/source/table-$number.csv"
    echo "table-$number.csv"
    progress "$number" "table-$number.csv"
    pause
done
step generate completed

step archive started
progress $((files + 1)) "archiving"
tar -czf "$work/backup.tar.gz" -C "$work" source
size=$(wc -c <"$work/backup.tar.gz" | tr -d ' ')
echo "Archived $size bytes"
pause
step archive completed --result "{\"bytes\": $size}"

step verify started
progress $((files + 2)) "verifying"
found=$(tar -tzf "$work/backup.tar.gz" | grep -c '\.csv$')
if [ "$found" -ne "$files" ]; then
    echo "The archive holds $found of $files files" >&2
    step verify failed
    exit 1
fi
pause
step verify completed

step store started
if [ "$destination" = none ]; then
    echo "Verified; no destination given, so the archive is not kept"
else
    mkdir -p "$destination"
    cp "$work/backup.tar.gz" "$destination/backup.tar.gz.new"
    mv "$destination/backup.tar.gz.new" "$destination/backup.tar.gz"
    echo "Stored as $destination/backup.tar.gz"
fi
progress $((files + 3)) "done"
step store completed
