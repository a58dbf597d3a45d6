#!/bin/bash
# Prepare a machine for the lab from Debian's packages: an engine, Compose and the base image of all our images.
# What is there already stays as it is; `make lab-deps` runs this and then builds the image of a node.
set -euo pipefail

BASE=${METIS_BASE_IMAGE:-metis-base:bookworm}
RELEASE=bookworm
INCLUDE=ca-certificates,python3,python3-pip,iproute2,procps
ENGINE_LOG=/var/log/metis-dockerd.log

tell() { echo "lab-deps: $*" >&2; }
fail() { tell "$*"; exit 1; }
answers() { timeout 20 docker version >/dev/null 2>&1; }
composes() { timeout 20 docker compose version >/dev/null 2>&1 || timeout 20 docker-compose version >/dev/null 2>&1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

install() {
  command -v apt-get >/dev/null || fail "no apt-get here: install $* by hand, then run this again"
  as_root true 2>/dev/null || fail "installing $* needs root, or sudo without a password"
  tell "installing $*"
  as_root apt-get -o DPkg::Lock::Timeout=300 update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq \
    --no-install-recommends "$@" >/dev/null
}

start_engine() {
  # a second engine beside a running one would take its bridge and its rules away
  if pgrep -x dockerd >/dev/null; then
    fail "dockerd runs but does not answer \`docker version\`: look at its log, and whether you may use its socket"
  fi
  if [ -d /run/systemd/system ]; then
    tell "starting the engine (systemctl start docker)"
    as_root systemctl start docker
  else
    tell "starting the engine (dockerd; its log is $ENGINE_LOG)"
    as_root setsid --fork bash -c "exec dockerd >>$ENGINE_LOG 2>&1 </dev/null"
  fi
  for _ in $(seq 120); do
    if answers; then return; fi
    sleep 0.5
  done
  fail "the engine was started but does not answer after 60 s; see $ENGINE_LOG or \`journalctl -u docker\`"
}

make_base() {
  if ! command -v debootstrap >/dev/null || [ ! -e /usr/share/keyrings/debian-archive-keyring.gpg ]; then
    install debootstrap debian-archive-keyring
  fi
  # the mirror that this machine itself uses; debootstrap knows one of its own
  local mirror
  mirror=$(apt-get indextargets --format '$(CODENAME) $(ORIGIN) $(REPO_URI)' \
    | awk -v release="$RELEASE" '$1 == release && $2 == "Debian" { print $3; exit }')
  tell "making $BASE (Debian $RELEASE, $INCLUDE); takes a minute or two"
  root=$(mktemp -d /var/tmp/metis-base.XXXXXX)
  trap 'as_root rm -rf "$root"' EXIT
  if ! as_root debootstrap --variant=minbase --include="$INCLUDE" "$RELEASE" "$root" $mirror >"$root.log" 2>&1; then
    tail -n 3 "$root.log" >&2
    fail "debootstrap failed; its output is $root.log"
  fi
  rm -f "$root.log"
  # certificates that this machine trusts, such as a proxy's, must be trusted by builds too
  if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
    as_root cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
  fi
  # and their sources: installing a package may write the bundle anew
  if [ -d /usr/local/share/ca-certificates ]; then
    as_root mkdir -p "$root/usr/local/share/ca-certificates"
    as_root cp -R /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/"
  fi
  # security updates as well, where the machine is of the same release
  if grep -qs "VERSION_CODENAME=$RELEASE" /etc/os-release && [ -e /etc/apt/sources.list.d/debian.sources ]; then
    as_root cp /etc/apt/sources.list.d/debian.sources "$root/etc/apt/sources.list.d/"
    as_root truncate -s 0 "$root/etc/apt/sources.list"
  fi
  as_root rm -rf "$root"/usr/share/{doc,locale,man} "$root"/var/cache/apt "$root"/var/lib/apt/lists
  as_root mkdir -p "$root"/var/cache/apt/archives/partial "$root"/var/lib/apt/lists/partial
  as_root tar -C "$root" -c . | docker import --change 'CMD ["/bin/bash"]' - "$BASE" >/dev/null
}

if answers; then
  tell "an engine answers"
else
  command -v dockerd >/dev/null || install docker.io iptables procps
  start_engine
fi
if composes; then tell "Compose is here"; else install docker-compose; fi
if docker image inspect "$BASE" >/dev/null 2>&1; then tell "image $BASE is here"; else make_base; fi
tell "ready"
