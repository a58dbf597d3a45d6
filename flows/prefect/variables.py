"""Environment variables by which served runs and workers are configured."""

BASE = "METIS_OVERRIDES"  # what every run of a process composes first, as a shell would write it
