"""Nodes that differ, as tables and lines."""

from flows.command.result import Column, Line, Table, View
from flows.placing.stated import Stated


def stated_views(stated: Stated) -> list[View]:
    """Return what is used of nodes that differ, which soft rules are broken, what more would be worth."""
    first, *numbers = stated.heads
    columns: list[Column | str] = [first, *(Column(name, right=True) for name in numbers)]
    views: list[View] = [Table("Used, of all that nodes of a type have", columns, stated.uses())]
    views += [Line(line, "yellow" if line.startswith("soft") else "") for line in stated.lines()]
    if gains := stated.gains():
        title = "Worth of more, in the value of the placement, by its bound"
        views.append(Table(title, ["what", Column("worth", right=True)], gains))
    return views
