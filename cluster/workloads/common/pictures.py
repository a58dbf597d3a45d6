"""Seeded test pictures: binary PPM, the same bytes wherever they are made. Standard library only."""

import random
from pathlib import Path

SIDES = {"mms": 256, "isr": 100}  # pixels; of the photographs to classify, of the images to enlarge
COUNT = 8  # of each kind
BLOBS = 12


def names() -> list[str]:
    """Names of all pictures: `mms-0`, ..."""
    return [f"{kind}-{place}" for kind in SIDES for place in range(COUNT)]


def make_picture(name: str) -> bytes:
    """The picture called `name`: soft rectangles over a gradient, RGB."""
    side = SIDES[name.partition("-")[0]]
    rng = random.Random(f"picture {name}")
    pixels = bytearray(side * side * 3)
    for channel in range(3):
        across, down = rng.uniform(-1, 1), rng.uniform(-1, 1)
        rows = [[128 + 60 * (across * x + down * y) / side for x in range(side)] for y in range(side)]
        for _ in range(BLOBS):
            left, top = rng.randrange(side), rng.randrange(side)
            width, height = rng.randint(4, side // 2), rng.randint(4, side // 2)
            add = rng.uniform(-60, 60)
            for y in range(top, min(side, top + height)):
                row = rows[y]
                for x in range(left, min(side, left + width)):
                    row[x] += add
        values = (value for row in rows for value in row)
        pixels[channel::3] = bytes(min(255, max(0, int(value))) for value in values)
    return b"P6\n%d %d\n255\n" % (side, side) + bytes(pixels)


def read_ppm(data: bytes) -> tuple[int, int, bytes]:
    """Width, height and RGB bytes of a binary PPM as `make_picture` makes it.

    Raises:
        ValueError: it is none.
    """
    head = data[:64].split(b"\n", 3)
    if len(head) != 4 or head[0] != b"P6":
        raise ValueError("not a binary PPM")
    width, height = map(int, head[1].split())
    pixels = data[len(data) - width * height * 3 :]
    if len(data) != sum(map(len, head[:3])) + 3 + width * height * 3:
        raise ValueError(f"a PPM of {width} x {height} pixels that is {len(data)} bytes long")
    return width, height, pixels


def make_all(folder: Path) -> None:
    """Write all pictures into `folder`, as an image's build does."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names():
        (folder / name).write_bytes(make_picture(name))


def load_all(folder: Path) -> dict[str, bytes]:
    """All pictures by name: read from `folder`, made where it does not hold them."""
    held = {name: folder / name for name in names()}
    return {name: path.read_bytes() if path.is_file() else make_picture(name) for name, path in held.items()}


def key(name: str) -> str:
    """Key of a picture in a Redis."""
    return f"metis:picture:{name}"


if __name__ == "__main__":
    make_all(Path("/srv/pictures"))
