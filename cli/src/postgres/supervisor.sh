# Runs one throwaway server for the process that holds the other end of our standard input.
# However that process ends, its end of the pipe closes: then the server stops and its folder goes.
#
# Arguments: the folder, the folder of PostgreSQL's programs, the server's own arguments.
# Standard output and error are the log file. The file `ended.N` says that the Nth start is over.

folder=$1
bin=$2
shift 2
starts=0

start() {
  starts=$((starts + 1))
  rm -f pid
  {
    "$bin/postgres" -D "$folder/data" "$@" &
    echo $! >pid
    wait $!
    echo $? >"ended.$starts"
  } </dev/null &
}

# The signal is repeated because a shell starts its background jobs deaf to it: one that arrives before the
# server has installed its own handlers is lost. After 10 seconds it is SIGKILL, after 20 we let go.
stop() {
  rounds=0
  until [ -e "ended.$starts" ] || [ $rounds -ge 1000 ]; do
    signal=QUIT
    [ $rounds -lt 500 ] || signal=KILL
    kill -s $signal "$(cat pid)"
    sleep 0.02
    rounds=$((rounds + 1))
  done 2>/dev/null
}

cd "$folder" || exit 1
if "$bin/initdb" -D "$folder/data" -U postgres -A trust -E UTF8 --no-locale --no-sync --no-instructions </dev/null; then
  start "$@"
else
  starts=1
  echo 1 >ended.1
fi

while read -r order; do
  if [ "$order" = restart ]; then
    stop
    start "$@"
  fi
done

stop
cd / && rm -rf "$folder"
