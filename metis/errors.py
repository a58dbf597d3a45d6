"""The two kinds of failure a user meets: his input, or the surroundings."""


class MetisError(Exception):
    """A failure reported in one line. `exit_code` is what the command ends with."""

    exit_code = 1


class InputError(MetisError):
    """What the user gave cannot be used. The message names the value and what would be right."""

    exit_code = 2


class SurroundingsError(MetisError):
    """The input is right, the surroundings are not: a full disk, a host that does not respond."""


class SolverError(SurroundingsError):
    """A solver stopped without a usable result, for instance at its time limit."""


class PlacementError(MetisError):
    """A scheduler returned a placement that breaks capacity, a rule, or loses a container."""
