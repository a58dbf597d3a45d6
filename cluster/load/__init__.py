"""Load on running containers, and what a finished load counts as."""
