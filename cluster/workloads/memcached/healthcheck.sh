# Asks memcached for its version. In bash alone, which costs little.
exec 3<> /dev/tcp/127.0.0.1/11211 || exit 1
printf 'version\r\nquit\r\n' >&3
read -r -t 4 line <&3
[[ $line == VERSION* ]]
