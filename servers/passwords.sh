#!/bin/sh
# Write a generated password for the servers into .env, for your eyes only, unless one is there.
set -eu
cd "$(dirname "$0")/.."
if [ -f .env ] && grep -q '^METIS_DB_PASSWORD=' .env; then
  echo ".env has a password already" >&2
  exit 0
fi
umask 077
printf 'METIS_DB_PASSWORD=%s\n' "$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')" >>.env
chmod 600 .env
echo "wrote .env" >&2
