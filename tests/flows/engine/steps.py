"""Stages of the tests' own: a number is drawn, then doubled; and one that draws it slowly."""

import time
from dataclasses import replace

from flows.configuration.settings import Settings
from flows.engine.declaration import Stage
from flows.engine.memo import Memo


def draw(work):
    """Write the seed as the number, and the seconds that it took beside it."""
    work.write_json("number.json", work.settings.seed)
    work.write("timings.csv", f"seconds\n{time.monotonic()}\n".encode())


def double(work):
    """Write twice the number."""
    number = int((work.inputs["draw"] / "number.json").read_text())
    work.write_json("double.json", 2 * number)


DRAW = Stage(name="draw", about="Draw a number.", run=draw, settings=("seed",), doing="drawn")
DOUBLE = Stage(name="double", about="Double it.", run=double, inputs=("draw",), doing="doubled")


def memo_of(store, *stages, **settings):
    """Open a memo of these stages."""
    return Memo(replace(Settings(), **settings), {stage.name: stage for stage in stages}, store)


def slow_draw(folder):
    """A stage that says that it has begun by `FOLDER/begun`, and ends when there is `FOLDER/go`."""

    def run(work):
        (folder / "begun").touch()
        while not (folder / "go").exists():
            time.sleep(0.02)
        draw(work)

    return replace(DRAW, run=run)
