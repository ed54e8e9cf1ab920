"""Ten kinds of food, each with a shape and a colour of its own."""

import math
import random
from collections.abc import Callable

from PIL import Image, ImageDraw

SIDE = 160  # of a picture of food
OBJECTS = ("apple", "bread", "carrot", "cheese", "egg", "fish", "lemon", "onion", "potato", "tomato")

Color = tuple[int, int, int]


def food(name: str, chance: random.Random) -> Image.Image:
    """An object on nothing, RGBA of SIDE x SIDE."""
    layer = Image.new("RGBA", (SIDE, SIDE))
    draw = ImageDraw.Draw(layer)
    FOODS[name](draw, chance)
    return layer


def _apple(draw: ImageDraw.ImageDraw, chance: random.Random) -> None:
    color = shade((196, 30, 40), chance)
    draw.ellipse([26, 40, 92, 136], fill=color)
    draw.ellipse([68, 40, 134, 136], fill=color)
    draw.line([(80, 52), (86, 20)], fill=(92, 58, 30), width=7)
    draw.ellipse([86, 16, 126, 36], fill=(70, 150, 50))


def _bread(draw: ImageDraw.ImageDraw, chance: random.Random) -> None:
    crust = shade((158, 96, 42), chance)
    draw.rounded_rectangle([22, 44, 138, 138], 14, fill=crust)
    draw.ellipse([14, 24, 84, 84], fill=crust)
    draw.ellipse([76, 24, 146, 84], fill=crust)
    draw.rounded_rectangle([34, 54, 126, 128], 10, fill=(240, 214, 164))
    draw.ellipse([28, 36, 80, 78], fill=(240, 214, 164))
    draw.ellipse([80, 36, 132, 78], fill=(240, 214, 164))


def _carrot(draw: ImageDraw.ImageDraw, chance: random.Random) -> None:
    draw.polygon([(54, 44), (106, 44), (80, 156)], fill=shade((240, 122, 20), chance))
    for y in (64, 84, 104):
        draw.line([(66, y), (92, y + 4)], fill=(196, 90, 10), width=3)
    for x in (52, 70, 90, 108):
        draw.polygon([(74, 48), (86, 48), (x, 2)], fill=(50, 150, 56))


def _cheese(draw: ImageDraw.ImageDraw, chance: random.Random) -> None:
    color = shade((246, 202, 60), chance)
    draw.polygon([(12, 92), (148, 44), (148, 92)], fill=color)
    draw.rectangle([12, 92, 148, 134], fill=shade((228, 176, 40), chance))
    for x, y, radius in ((46, 112, 9), (86, 108, 12), (124, 116, 8), (118, 74, 8)):
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=(176, 130, 20))


def _egg(draw: ImageDraw.ImageDraw, chance: random.Random) -> None:
    draw.ellipse([34, 18, 126, 144], fill=shade((244, 232, 216), chance), outline=(190, 170, 150), width=3)
    draw.ellipse([56, 36, 82, 70], fill=(255, 252, 246))


def _fish(draw: ImageDraw.ImageDraw, chance: random.Random) -> None:
    color = shade((108, 142, 176), chance)
    draw.ellipse([8, 50, 118, 116], fill=color, outline=(60, 84, 110), width=3)
    draw.polygon([(106, 82), (154, 44), (154, 122)], fill=color, outline=(60, 84, 110))
    draw.polygon([(52, 54), (86, 54), (76, 28)], fill=(70, 98, 128))
    draw.ellipse([24, 70, 38, 84], fill=(250, 250, 250), outline=(10, 10, 10), width=3)
    for x in (56, 72, 88):
        draw.arc([x - 12, 66, x + 12, 100], -70, 70, fill=(60, 84, 110), width=3)


def _lemon(draw: ImageDraw.ImageDraw, chance: random.Random) -> None:
    color = shade((250, 232, 40), chance)
    draw.ellipse([28, 44, 132, 118], fill=color)
    draw.polygon([(20, 81), (44, 64), (44, 98)], fill=color)
    draw.polygon([(140, 81), (116, 64), (116, 98)], fill=color)
    draw.arc([44, 56, 110, 106], 180, 280, fill=(255, 250, 170), width=5)


def _onion(draw: ImageDraw.ImageDraw, chance: random.Random) -> None:
    draw.ellipse([24, 42, 136, 142], fill=shade((142, 44, 110), chance))
    draw.polygon([(66, 54), (94, 54), (80, 8)], fill=(176, 110, 150))
    for inset in (16, 34, 50):
        draw.arc([24 + inset, 42, 136 - inset, 142], 90, 270, fill=(216, 150, 200), width=3)
        draw.arc([24 + inset, 42, 136 - inset, 142], -90, 90, fill=(216, 150, 200), width=3)


def _potato(draw: ImageDraw.ImageDraw, chance: random.Random) -> None:
    color = shade((150, 112, 66), chance)
    draw.ellipse([14, 46, 112, 132], fill=color)
    draw.ellipse([58, 34, 150, 122], fill=color)
    spots = random.Random(5)
    for _ in range(16):
        x, y = spots.uniform(36, 128), spots.uniform(56, 112)
        draw.ellipse([x - 3, y - 2, x + 3, y + 2], fill=(96, 66, 34))


def _tomato(draw: ImageDraw.ImageDraw, chance: random.Random) -> None:
    draw.ellipse([16, 46, 144, 142], fill=shade((232, 66, 30), chance))
    star = [
        (
            80 + (38 if point % 2 == 0 else 12) * math.sin(point * math.pi / 5),
            52 - (22 if point % 2 == 0 else 7) * math.cos(point * math.pi / 5),
        )
        for point in range(10)
    ]
    draw.polygon(star, fill=(46, 136, 48))
    draw.ellipse([40, 72, 64, 90], fill=(250, 150, 120))


FOODS: dict[str, Callable[[ImageDraw.ImageDraw, random.Random], None]] = {
    "apple": _apple,
    "bread": _bread,
    "carrot": _carrot,
    "cheese": _cheese,
    "egg": _egg,
    "fish": _fish,
    "lemon": _lemon,
    "onion": _onion,
    "potato": _potato,
    "tomato": _tomato,
}


def shade(color: Color, chance: random.Random, *, spread: int = 18) -> Color:
    """A colour up to `spread` off in each channel."""
    red, green, blue = (min(255, max(0, part + chance.randint(-spread, spread))) for part in color)
    return red, green, blue
