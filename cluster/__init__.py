"""The cluster: hosts, Swarm, images, load and profiling."""
