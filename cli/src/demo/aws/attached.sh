# Runs one program for the process that holds the other end of our standard input: when that end closes, it is killed.
"$@" </dev/null &
program=$!
while read -r _; do :; done
kill -s KILL $program 2>/dev/null
wait $program 2>/dev/null
