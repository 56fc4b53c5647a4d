#!/bin/sh
# The first process of a container: starts the program it is given, passes signals on to it, takes over the
# end of every process that is orphaned (node waits for its own children only, and what nobody waits for
# stays in the process table), and ends with the program's exit code.
#   pid1.sh ringlock reconcile --watch …
child=
early=
pass_on() {
  if [ -n "$child" ]; then kill -s "$1" "$child" 2>/dev/null; else early=$1; fi
}
for signal in TERM INT HUP; do
  # shellcheck disable=SC2064 # the name is meant as it is now
  trap "pass_on $signal" "$signal"
done
# A program in the background would have no standard input.
"$@" <&0 &
child=$!
[ -z "$early" ] || kill -s "$early" "$child"
code=0
while :; do
  # Waits for the program and, on the way, for every other child; a signal ends the waiting early.
  wait "$child"
  code=$?
  kill -0 "$child" 2>/dev/null || break
done
exit "$code"
