"""Amounts in words."""


def amount(count: int, noun: str) -> str:
    """Return a count with its noun, in the plural unless it is one: `1 move`, `1,200 containers`.

    Args:
        count: how many.
        noun: in the singular; its plural is made by an `s`.
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
