"""Waiting for something outside to become true, with a limit."""

from collections.abc import Callable

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from metis.errors import SurroundingsError


def wait_until(
    holds: Callable[[], bool], seconds: float, pause: float, otherwise: str | Callable[[], str]
) -> None:
    """Return once `holds()` is true; asked again after each pause.

    Args:
        holds: the condition; what it raises is raised at once.
        seconds: until it is given up.
        pause: seconds between two calls.
        otherwise: the error where it never holds, or what returns it.

    Raises:
        SurroundingsError: it does not hold within that time.
    """
    again = Retrying(
        stop=stop_after_delay(seconds), wait=wait_fixed(pause), retry=retry_if_result(lambda held: not held)
    )
    try:
        again(holds)
    except RetryError:
        raise SurroundingsError(otherwise if isinstance(otherwise, str) else otherwise()) from None
