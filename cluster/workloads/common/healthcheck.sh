# Asks /healthz. In bash alone: starting a Python every few seconds would disturb what is measured.
exec 3<> "/dev/tcp/127.0.0.1/${METIS_PORT:-8080}" || exit 1
printf 'GET /healthz HTTP/1.0\r\n\r\n' >&3
read -r -t 4 line <&3
[[ $line == *' 200 '* ]]
