#!/bin/bash
# First process of a node: SSH at once, then the engine, whose end is the end of the node.
set -eu

# a container that is not privileged sees these read-only, and an engine must write them
mount -o remount,rw /sys || true
mount -o remount,rw /proc/sys || true

groups=/sys/fs/cgroup
if [ -e "$groups/cgroup.controllers" ]; then
  # version 2: a group that hands controllers on may hold no process itself, so all move to a child
  mount -o remount,rw "$groups" || true
  mkdir -p "$groups/node"
  for process in $(cat "$groups/cgroup.procs"); do
    echo "$process" >"$groups/node/cgroup.procs" || true # one may have ended meanwhile
  done
  for controller in $(cat "$groups/cgroup.controllers"); do
    echo "+$controller" >"$groups/cgroup.subtree_control" || true
  done
else
  # version 1: a mount for each controller, and only with `bind` does it become writable
  for mounted in "$groups"/*/; do
    mount -o remount,bind,rw "$mounted" || true
  done
fi

if [ "${METIS_LAB_KEY:-}" ]; then
  install -d -m 700 /root/.ssh
  printf '%s\n' "$METIS_LAB_KEY" >/root/.ssh/authorized_keys
  chmod 600 /root/.ssh/authorized_keys
fi
mkdir -p /run/sshd
ssh-keygen -A >/dev/null
/usr/sbin/sshd -E /var/log/sshd.log

# left behind by a node that was killed; the engine would refuse to start
rm -f /var/run/docker.pid /var/run/docker/containerd/containerd.pid
exec dockerd --log-level warn --insecure-registry registry:5000
