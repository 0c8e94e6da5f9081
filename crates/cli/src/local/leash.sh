# shellcheck shell=sh
# The leash of one server: `sh leash.sh ORDERLY FORCED PROGRAM ARGUMENTS...`
#
# Standard input is a pipe whose other end only the parent holds, and it never carries a byte: its end means that the
# parent is gone or wants us to stop. Standard output is the server's lock, a file which every process of the server
# keeps open, so that the lock is free exactly when the last of them has ended. Standard error is the log.
orderly=$1
forced=$2
shift 2
exec 3<&0 4>&1 </dev/null >&2

"$@" 3<&- &
server=$!

(
    while read -r _ <&3; do :; done
    kill -s "$orderly" "$server"
    # Bounded: whoever starts the next server on this folder waits a little longer than this.
    seconds=0
    while [ "$seconds" -lt 25 ] && kill -s 0 "$server"; do
        sleep 1 3<&- 4>&-
        seconds=$((seconds + 1))
    done
    kill -s "$forced" "$server"
) 2>/dev/null &
watcher=$!
exec 3<&-

trap 'kill -s "$orderly" "$server" 2>/dev/null' HUP INT TERM
wait "$server"
code=$?
# A signal interrupts `wait` before the server has ended.
while kill -s 0 "$server" 2>/dev/null; do
    wait "$server"
    code=$?
done
kill -s TERM "$watcher" 2>/dev/null
exit "$code"
