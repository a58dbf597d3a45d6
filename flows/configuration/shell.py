"""Words that a shell took apart: what was meant is shown as it is to be typed."""

import re
from collections.abc import Sequence

from flows.configuration.settings import open_mappings, path_keys, paths_among, text_keys
from metis.errors import InputError

PAIRS = {"{": "}", "[": "]"}
KEY = re.compile(r"^[+~]*([A-Za-z_][\w.-]*)=(.*)$", re.DOTALL)
# one of those that `{Redis:10,MMS:20}` becomes in a shell, an entry of a mapping
ENTRY = re.compile(r"^[A-Za-z][\w.-]*:[^/\s]*$")


def refuse_taken_apart(words: Sequence[str]) -> None:
    """Refuse overrides whose braces or brackets a shell took away, or that it split at a space.

    Args:
        words: as they arrived.

    Raises:
        InputError: shows the whole word in quotes.
    """
    entries: dict[str, list[str]] = {}
    for i, word in enumerate(words):
        found = KEY.match(word)
        if found is None or found[1] in (*path_keys(), *text_keys(), *paths_among()) or found[2][:1] in "'\"":
            continue
        key, value = found.groups()
        missing = _missing(value)
        if missing:
            rest = _until_closed(missing, words[i + 1 :])
            meant = f"{word}{''.join(rest)}{_missing(value + ''.join(rest))}"
            why = "the shell split this word" if rest else f"{missing!r} is missing"
            raise InputError(f"{' '.join([word, *rest])}: {why}; quote it, as in '{meant}'")
        if key != "objective" and key in open_mappings() and ENTRY.match(value):
            entries.setdefault(key, []).append(value)
    for key, given in entries.items():
        raise InputError(
            f"{key}={given[0]}: in a shell a word with braces is quoted, as in '{key}={{{','.join(given)}}}'"
        )


def _missing(value: str) -> str:
    """Return the brackets that would close `value`."""
    waiting: list[str] = []
    for letter in value:
        if letter in PAIRS:
            waiting.append(PAIRS[letter])
        elif waiting and letter == waiting[-1]:
            waiting.pop()
    return "".join(reversed(waiting))


def _until_closed(missing: str, words: Sequence[str]) -> list[str]:
    """Return the words that go on with a value that lacks `missing`; none where the next is an override."""
    taken: list[str] = []
    for word in words:
        if KEY.match(word):
            break
        taken.append(word)
        if missing[-1] in word:
            return taken
    return []
