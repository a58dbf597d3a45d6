"""The report section on what else went on while a profile was measured."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from flows.report.data import ReportSection
from flows.report.elements import html_table
from flows.report.words import percent

WORDS = {
    "taken": "processor time of a node that others took",
    "stolen": "of it, the hypervisor",
    "busy": "processor time of a node that was used",
    "load": "processes that ran or waited, by core",
    "stalled": "time in which something waited for a processor",
    "starved": "time in which something waited for memory",
    "waited": "time in which something waited for a disk",
    "throttled": "time in which its limit stopped a container",
    "memory": "memory of a node that was free",
    "width": "half of the 95 % interval of RPS within a measurement, as a share",
    "generator": "of a core, what the load generator used",
}


def circumstances_section(found: Mapping[str, Any], missing: Sequence[str]) -> ReportSection:
    """The section of the page on the circumstances of measuring.

    Args:
        found: see `metis.measure.circumstances.summary`.
        missing: what could not be read on some node, in words.
    """
    rows = [
        [words, *(f"{one:.2f}" if name == "load" else percent(one) for one in found[name])]
        for name, words in WORDS.items()
        if name in found
    ]
    disturbed = int(found.get("disturbed", 0))
    sentence = (
        f"{disturbed} co-locations were disturbed by something that is not ours, again when they were "
        "repeated: they count less in fitting."
        if disturbed
        else "Nothing that is not ours disturbed a measurement that counts."
    )
    html = Markup("<p>{}</p>").format(sentence) + Markup(
        html_table(("", "median", "worst"), rows, named=True)
    )
    if missing:
        html += Markup("<p>Not available: {}.</p>").format(", ".join(missing))
    return ReportSection("What else went on while measuring", str(html))
