#!/usr/bin/env bash
# Seconds of `make run` from a clean clone (cold) and again with nothing changed (warm).
# usage: benchmarks/make_run.sh   (clones the committed state of this checkout into a temporary folder)
set -euo pipefail
root=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
git clone --quiet "$root" "$folder/metis"
cd "$folder/metis"
for name in cold warm warm; do
  start=$(date +%s%3N)
  make run >"$folder/$name.log" 2>&1 || { cat "$folder/$name.log"; exit 1; }
  echo "$name make run: $(( ($(date +%s%3N) - start) / 100 )) tenths of a second"
  if [ "$name" = cold ]; then
    echo "  of which setting up .venv: $(( ($(date -r .venv/.installed +%s%3N) - start) / 100 ))"
    grep -E '^  [^ ]+: [0-9.]+ s, [0-9.]+ CPU s' "$folder/$name.log"
  fi
done
tail -n 20 "$folder/warm.log"
