# Runs one pooler for the process that holds the other end of our standard input, as supervisor.sh runs a server.
#
# Arguments: the folder, the pooler's program.
# Standard output and error are the log file. The file `ended` says that the pooler is gone.

folder=$1
program=$2

cd "$folder" || exit 1
{
  "$program" pgbouncer.ini &
  echo $! >pid
  wait $!
  echo $? >ended
} </dev/null &

while read -r _; do :; done

# It keeps nothing that would be worth a farewell.
until [ -e ended ]; do
  kill -s KILL "$(cat pid)"
  sleep 0.02
done 2>/dev/null
cd / && rm -rf "$folder"
