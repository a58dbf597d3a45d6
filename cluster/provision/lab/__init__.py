"""The lab: a real Swarm on one machine, each node a container with its own SSH server and engine."""
