"""A Docker Swarm as backend."""
