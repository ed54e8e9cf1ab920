"""Draws one frame of somebody doing something to some food: eight verbs, ten objects, many kitchens.

A verb shows in its tool and its motion, an object in its shape and colour. Table, light, place, size, angle
and camera vary without a hint of either.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance

from demo.foods import SIDE, Color, food, shade

WIDTH, HEIGHT = 320, 240
VERBS = ("cut", "fry", "mix", "peel", "pour", "salt", "squeeze", "wash")

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """One step of a video and everything that chance has decided about it."""

    verb: str
    object: str
    seed: int

    def frame(self, seconds: float) -> np.ndarray:
        """Uint8 [240, 320, 3] at a time since the step began; the same for the same scene and time."""
        still = _still(self)
        picture = still.kitchen.copy()
        ACTIONS[self.verb](_Place(picture, still, seconds * still.speed), still.item)
        return _camera(picture, still, seconds)

    def kitchen(self) -> np.ndarray:
        """Uint8 [240, 320, 3]: the same place, with nothing on the table."""
        return np.asarray(_still(self).kitchen)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Still:
    """What does not change during a scene."""

    kitchen: Image.Image
    item: Image.Image
    item_color: Color
    center: Point
    speed: float  # turns of the motion a second
    tool_color: Color
    light: float
    shake: float


@lru_cache(maxsize=2)  # the frames of a video come scene by scene
def _still(scene: Scene) -> _Still:
    chance = random.Random(scene.seed + 1)
    turned = food(scene.object, chance).rotate(chance.uniform(-30, 30), resample=Image.Resampling.BILINEAR)
    size = round(SIDE * chance.uniform(1.05, 1.3))
    item = turned.resize((size, size))
    return _Still(
        kitchen=_background(random.Random(scene.seed)),
        item=item,
        item_color=_main_color(item),
        center=(WIDTH / 2 + chance.uniform(-35, 35), HEIGHT * 0.58 + chance.uniform(-15, 15)),
        speed=chance.uniform(0.6, 1.2),
        tool_color=shade(TOOL_COLORS[scene.verb], chance) if scene.verb in TOOL_COLORS else (0, 0, 0),
        light=chance.uniform(0.8, 1.15),
        shake=chance.uniform(0, 3),
    )


@lru_cache(maxsize=64)  # the widths that a squeezed item takes on, again and again
def _resized(still: _Still, width: int, height: int) -> Image.Image:
    return still.item.resize((width, height))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an action is drawn, and how far it is."""

    picture: Image.Image
    still: _Still
    turns: float

    @property
    def center(self) -> Point:
        return self.still.center

    @property
    def draw(self) -> ImageDraw.ImageDraw:
        return ImageDraw.Draw(self.picture)

    @property
    def swing(self) -> float:
        """-1 to 1 and back, once a turn."""
        return math.sin(2 * math.pi * self.turns)

    def put(self, item: Image.Image, *, dx: float = 0.0, dy: float = 0.0) -> None:
        x, y = self.center[0] + dx - item.width / 2, self.center[1] + dy - item.height / 2
        self.picture.paste(item, (round(x), round(y)), item)

    def box(self, half_width: float, half_height: float, *, dx: float = 0.0, dy: float = 0.0) -> list[float]:
        x, y = self.center[0] + dx, self.center[1] + dy
        return [x - half_width, y - half_height, x + half_width, y + half_height]

    def points(self, *offsets: Point) -> list[Point]:
        return [(self.center[0] + dx, self.center[1] + dy) for dx, dy in offsets]


def _cut(place: _Place, item: Image.Image) -> None:
    place.draw.rounded_rectangle(
        place.box(125, 72, dy=12), 10, fill=place.still.tool_color, outline=(120, 84, 48), width=3
    )
    middle, gap = item.width // 2, 8 + 6 * min(place.turns, 3)
    left = item.crop((0, 0, middle, item.height))
    right = item.crop((middle, 0, item.width, item.height))
    place.put(left, dx=-middle / 2 - gap)
    place.put(right, dx=middle / 2 + gap)
    drop = 34 * place.swing - 24
    blade = place.points((-10, -95 + drop), (8, -95 + drop), (8, 40 + drop), (-4, 58 + drop))
    place.draw.polygon(blade, fill=(206, 212, 220), outline=(90, 96, 104))
    place.draw.rectangle(place.box(9, 32, dx=-1, dy=-120 + drop), fill=(36, 30, 28))


def _fry(place: _Place, item: Image.Image) -> None:
    draw = place.draw
    draw.rectangle(
        [place.center[0] + 70, place.center[1] - 12, WIDTH, place.center[1] + 12], fill=(48, 40, 38)
    )
    draw.ellipse(place.box(112, 92), fill=(34, 34, 38), outline=(96, 96, 104), width=6)
    draw.ellipse(place.box(92, 74), fill=(52, 50, 50))
    browner = ImageEnhance.Brightness(item.convert("RGB")).enhance(max(0.55, 0.95 - 0.05 * place.turns))
    browner.putalpha(item.getchannel("A"))
    place.put(browner.resize((item.width * 4 // 5, item.height * 4 // 5)), dx=9 * place.swing)
    for column in range(5):  # steam
        x = place.center[0] - 70 + 35 * column
        wave = [
            (x + 9 * math.sin(step / 2 + 7 * place.turns + column), place.center[1] - 40 - 7 * step)
            for step in range(14)
        ]
        draw.line(wave, fill=(226, 226, 232), width=5)


def _mix(place: _Place, item: Image.Image) -> None:
    draw = place.draw
    draw.ellipse(place.box(118, 90), fill=place.still.tool_color, outline=(240, 240, 246), width=7)
    draw.ellipse(place.box(98, 70), fill=(238, 226, 200))
    small = _resized(place.still, item.width * 3 // 5, item.height * 3 // 5)
    for piece in range(4):
        angle = 2 * math.pi * (place.turns + piece / 4)
        place.put(small, dx=56 * math.cos(angle), dy=36 * math.sin(angle))
    angle = 2 * math.pi * place.turns
    tip = (30 * math.cos(angle), 22 * math.sin(angle))
    draw.line(place.points(tip, (tip[0] + 60, tip[1] - 120)), fill=(134, 88, 50), width=12)
    draw.ellipse(place.box(17, 13, dx=tip[0], dy=tip[1]), fill=(150, 100, 58))


def _peel(place: _Place, item: Image.Image) -> None:
    place.put(item)
    length = 20 + 30 * min(place.turns, 4)
    for strip in range(3):  # curls that grow below
        x = -50 + 45 * strip
        curl = place.points(
            *[(x + 16 * math.sin(step / 2.2 + strip), 20 + step * length / 14) for step in range(14)]
        )
        place.draw.line(curl, fill=place.still.item_color, width=9)
        place.draw.line(curl, fill=(250, 240, 214), width=3)
    y = -20 + 26 * place.swing
    place.draw.polygon(
        place.points((52, y - 8), (132, y - 58), (142, y - 40), (64, y + 10)), fill=(24, 140, 70)
    )
    place.draw.ellipse(place.box(24, 11, dx=46, dy=y), outline=(196, 202, 210), width=6)


def _pour(place: _Place, item: Image.Image) -> None:
    draw = place.draw
    draw.ellipse(place.box(60 + 10 * min(place.turns, 5), 30, dy=48), fill=(206, 134, 20))
    place.put(item)
    sway = 5 * place.swing
    stream = place.points(
        (-36, -72), (-8 + sway, -36), (-4 + sway, 20), (10 + sway, 20), (4 + sway, -40), (-28, -80)
    )
    draw.polygon(stream, fill=(222, 150, 26))
    bottle = place.points(
        (-140, -150), (-104, -168), (-52, -96), (-28, -82), (-36, -70), (-62, -80), (-84, -104)
    )
    draw.polygon(bottle, fill=(40, 110, 62), outline=(18, 60, 32))


def _salt(place: _Place, item: Image.Image) -> None:
    place.put(item)
    draw = place.draw
    shake = 12 * place.swing
    grains = random.Random(int(place.turns * 12))
    for _ in range(110):
        x, y = grains.uniform(-52, 52), grains.uniform(-58, 62)
        draw.rectangle(place.box(1.5, 1.5, dx=x, dy=y), fill=(252, 252, 255))
    draw.polygon(
        place.points((-30 + shake, -122), (30 + shake, -122), (22 + shake, -74), (-22 + shake, -74)),
        fill=(238, 240, 246),
    )
    draw.ellipse(place.box(23, 11, dx=shake, dy=-70), fill=(150, 156, 166))
    for hole in (-10, 0, 10):
        draw.ellipse(place.box(2, 2, dx=hole + shake, dy=-70), fill=(20, 20, 20))


def _squeeze(place: _Place, item: Image.Image) -> None:
    push = 0.72 + 0.2 * place.swing
    thin = _resized(place.still, max(8, round(item.width * push)), item.height)
    place.put(thin)
    edge = thin.width / 2
    hand = place.still.tool_color
    for side in (-1, 1):
        out = side * (edge + 22)
        place.draw.rounded_rectangle(
            place.box(24, 44, dx=out), 16, fill=hand, outline=(150, 100, 76), width=2
        )
        for finger in range(4):
            y = -33 + 22 * finger
            place.draw.rounded_rectangle(
                place.box(22, 9, dx=out - side * 20, dy=y), 8, fill=hand, outline=(150, 100, 76)
            )
    drops = random.Random(int(place.turns * 8))
    for _ in range(14):
        place.draw.ellipse(
            place.box(4, 6, dx=drops.uniform(-26, 26), dy=drops.uniform(50, 92)), fill=place.still.item_color
        )


def _wash(place: _Place, item: Image.Image) -> None:
    draw = place.draw
    draw.rounded_rectangle(place.box(124, 84), 22, fill=(176, 186, 196), outline=(110, 120, 130), width=6)
    draw.ellipse(place.box(104, 62, dy=12), fill=(112, 178, 226))
    place.put(item, dx=8 * place.swing)
    water = random.Random(int(place.turns * 15))
    for _ in range(26):
        x, y = water.uniform(-24, 24), water.uniform(-92, 30)
        draw.line(place.points((x, y), (x, y + 22)), fill=(196, 228, 250), width=3)
    draw.rectangle(place.box(15, 26, dy=-118), fill=(206, 210, 216))
    draw.rectangle(place.box(60, 10, dx=46, dy=-138), fill=(206, 210, 216))


ACTIONS: dict[str, Callable[[_Place, Image.Image], None]] = {
    "cut": _cut,
    "fry": _fry,
    "mix": _mix,
    "peel": _peel,
    "pour": _pour,
    "salt": _salt,
    "squeeze": _squeeze,
    "wash": _wash,
}
TOOL_COLORS: dict[str, Color] = {"cut": (196, 150, 96), "mix": (70, 120, 190), "squeeze": (226, 172, 138)}


def _background(chance: random.Random) -> Image.Image:
    """A wall and a table, with a pattern."""
    wall, table = (shade(color, chance, spread=40) for color in ((200, 196, 186), (150, 124, 100)))
    picture = Image.new("RGB", (WIDTH, HEIGHT), wall)
    draw = ImageDraw.Draw(picture)
    horizon = round(HEIGHT * chance.uniform(0.2, 0.4))
    draw.rectangle([0, horizon, WIDTH, HEIGHT], fill=table)
    dark: Color = (max(0, table[0] - 30), max(0, table[1] - 30), max(0, table[2] - 30))
    PATTERNS[chance.choice(sorted(PATTERNS))](draw, horizon, dark)
    return picture


def _planks(draw: ImageDraw.ImageDraw, horizon: int, color: Color) -> None:
    for y in range(horizon, HEIGHT, 24):
        draw.line([(0, y), (WIDTH, y)], fill=color, width=2)


def _tiles(draw: ImageDraw.ImageDraw, horizon: int, color: Color) -> None:
    for x in range(0, WIDTH, 40):
        draw.line([(x, 0), (x, horizon)], fill=color, width=2)


def _cloth(draw: ImageDraw.ImageDraw, horizon: int, color: Color) -> None:
    for x in range(0, WIDTH, 32):
        for y in range(horizon + (x // 32 % 2) * 16, HEIGHT, 32):
            draw.rectangle([x, y, x + 31, y + 15], fill=color)


def _dots(draw: ImageDraw.ImageDraw, horizon: int, color: Color) -> None:
    for x in range(8, WIDTH, 26):
        for y in range(horizon + 8, HEIGHT, 26):
            draw.ellipse([x, y, x + 7, y + 7], fill=color)


PATTERNS: dict[str, Callable[[ImageDraw.ImageDraw, int, Color], None]] = {
    "cloth": _cloth,
    "dots": _dots,
    "plain": lambda draw, horizon, color: None,
    "planks": _planks,
    "tiles": _tiles,
}


def _camera(picture: Image.Image, still: _Still, seconds: float) -> np.ndarray:
    """Light, a hand that is not quite still, and the grain of a sensor."""
    dx, dy = still.shake * math.sin(5 * seconds), still.shake * math.cos(7 * seconds)
    moved = picture.transform(
        picture.size, Image.Transform.AFFINE, (1, 0, dx, 0, 1, dy), fillcolor=(90, 90, 90)
    )
    pixels = np.asarray(moved) * np.float32(still.light)
    pixels += _grain(seconds)
    return pixels.clip(0, 255, out=pixels).astype(np.uint8)


def _grain(seconds: float) -> np.ndarray:
    """The same for the same millisecond: a piece of one field, as a new one is slower than all else."""
    chance = random.Random(int(seconds * 1000))
    top, left = chance.randrange(HEIGHT), chance.randrange(WIDTH)
    return _grain_field()[top : top + HEIGHT, left : left + WIDTH]


@cache
def _grain_field() -> np.ndarray:
    """Float32 [480, 640, 3], grey; the channels are written out, as adding one to three is slow."""
    grey = np.random.default_rng(0).normal(0, 4, (2 * HEIGHT, 2 * WIDTH, 1))
    return grey.astype(np.float32).repeat(3, axis=2)


def _main_color(picture: Image.Image) -> Color:
    """The mean colour of what is not transparent."""
    pixels = np.asarray(picture, np.float64)
    red, green, blue = (int(value) for value in pixels[pixels[..., 3] > 128][:, :3].mean(0))
    return red, green, blue
