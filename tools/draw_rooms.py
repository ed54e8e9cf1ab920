"""Draws docs/rooms.svg: the folders of the package in the order of the data, and who imports from whom.

python -m tools.draw_rooms
"""

import ast
from collections import Counter
from html import escape
from importlib import import_module
from pathlib import Path

# The order of the folders is stated there once, and held.
layers = import_module("tests.test_layers")

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "rooms.svg"
ROW, LEFT, BOX, WIDTH = 44, 10, 560, 900
PURPOSES = {
    "errors": "What a user got wrong, what a video got wrong; exit statuses.",
    "progress": "A line of progress with an estimate; a summary at the end.",
    "command_line": "Options from a dataclass, errors in one line, an exit status.",
    "console": "The command `vbert`: finds the sub-command that is asked for.",
    "__main__": "`python -m vbert`.",
}


def main() -> None:
    """Write the picture."""
    PICTURE.write_text(draw())


def draw() -> str:
    """The picture as SVG: a box for each folder or module at the top, an arc for imports across borders."""
    rooms = [name for name in layers.LAYERS if name != "__main__"]
    height = ROW * len(rooms) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    for (user, used), count in sorted(arrows().items()):
        if user in rooms:
            parts.append(_arc(rooms.index(user), rooms.index(used), count))
    for at, room in enumerate(rooms):
        y = 10 + ROW * at
        parts.append(
            f'<rect x="{LEFT}" y="{y}" width="{BOX}" height="{ROW - 10}" rx="5" '
            f'fill="#f4f1ea" stroke="#555"/>'
            f'<text x="{LEFT + 10}" y="{y + 15}" font-size="13" font-weight="bold">{room}</text>'
            f'<text x="{LEFT + 10}" y="{y + 29}" font-size="11" fill="#444">{escape(purpose(room))}</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def arrows() -> Counter[tuple[str, str]]:
    """How many modules of a room import from another room."""
    found: Counter[tuple[str, str]] = Counter()
    for path in layers.MODULES:
        mine = layers.layer_of(layers.module_name(path))
        used = {layers.layer_of(name) for name in layers.modules_used(path)} - {mine}
        found.update((mine, room) for room in used)
    return found


def purpose(room: str) -> str:
    """The first line of the folder's docstring."""
    file = ROOT / "vbert" / room / "__init__.py"
    if not file.exists():
        return PURPOSES[room]
    return (ast.get_docstring(ast.parse(file.read_text())) or "").splitlines()[0]


def _arc(user: int, used: int, count: int) -> str:
    """From a room to one above it, the further out the further away; thick where many modules import."""
    x, start, end = LEFT + BOX, 27 + ROW * user, 27 + ROW * used - 4
    out = x + 20 + 17 * abs(user - used)
    width = 0.6 + 0.35 * min(count, 12)
    return (
        f'<path d="M {x} {start} C {out} {start}, {out} {end}, {x + 4} {end}" fill="none" stroke="#2a6" '
        f'stroke-width="{width:.2f}" opacity="0.6"/>'
        f'<path d="M {x + 1} {end} l 7 -3 l 0 6 z" fill="#2a6"/>'
    )


if __name__ == "__main__":
    main()
