"""Who or what stands in front of a scene: outlines against the light, with lit windows and eyes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from modules.demo.comfy_server.drawing.light import Colour, Point, glow, mix, shape

_Outline = tuple[Point, ...]


def _points(text: str) -> _Outline:
    """Pairs of hundredths: across from the middle, up from the ground."""
    numbers = [int(word) / 100 for word in text.split()]
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """``soft`` outlines are rounded, ``hard`` ones keep their corners; ``pale`` parts are lighter, ``lit``
    ones shine. A ``height`` of 1 is a quarter of the picture."""

    soft: tuple[_Outline, ...] = ()
    hard: tuple[_Outline, ...] = ()
    pale: tuple[_Outline, ...] = ()
    lit: tuple[_Outline, ...] = ()
    height: float = 1.0
    floats: float = 0.0


def _box(left: int, low: int, right: int, high: int) -> _Outline:
    return _points(f"{left} {low} {right} {low} {right} {high} {left} {high}")


FIGURES = {
    "fox": Figure(
        soft=(
            _points("-14 0 -18 14 -16 34 -10 50 -4 60 6 62 14 54 20 36 22 16 20 0"),
            _points("14 2 26 0 40 4 52 14 56 28 50 36 42 26 32 16 20 12"),
        ),
        hard=(_points("-30 66 -16 78 -18 98 -8 82 0 84 12 98 12 74 8 62 -4 56 -14 60 -24 62"),),
        pale=(
            _points("48 30 56 28 50 38"), _points("-30 66 -22 63 -20 68"),
            _points("-12 6 -14 24 -8 34 -4 20"),
        ),
    ),
    "cat": Figure(
        soft=(
            _points("-18 0 -20 20 -14 44 -8 60 8 60 16 42 22 20 20 0"),
            _points("16 2 30 0 42 8 44 24 38 40 34 38 38 24 34 12 22 10"),
        ),
        hard=(_points("-18 62 -20 92 -10 82 6 82 16 92 16 62 8 54 -10 54"),),
        lit=(_points("-10 70 -6 73 -4 69"), _points("4 69 7 73 11 70")),
        height=0.85,
    ),
    "owl": Figure(
        soft=(_points("-16 6 -24 30 -22 62 -14 78 14 78 22 62 24 30 16 6 0 0"),),
        hard=(
            _points("-20 72 -22 92 -8 80 8 80 22 92 20 72"),
            _points("-70 -6 -70 4 70 6 70 -2"),
        ),
        lit=(_points("-14 66 -9 71 -4 66 -9 61"), _points("4 66 9 71 14 66 9 61")),
        pale=(_points("-2 60 2 60 0 53"), _points("-10 16 -6 34 0 26 6 34 10 16 0 8")),
        floats=0.2,
    ),
    "lighthouse": Figure(
        hard=(
            _points("-13 0 -8 118 8 118 13 0"),
            _box(-12, 118, 12, 122),
            _points("-8 134 8 134 0 146"),
            _box(-7, 132, 7, 135),
            _points("-60 -12 -40 6 -16 10 20 8 46 4 64 -12"),
        ),
        pale=(
            _points("-11 24 -10 46 10 46 11 24"),
            _points("-10 70 -9 92 9 92 10 70"),
        ),
        lit=(_box(-6, 122, 6, 132),),
        height=1.5,
    ),
    "castle": Figure(
        hard=(
            _box(-46, 0, 46, 42), _box(-52, 0, -34, 66), _box(34, 0, 52, 66), _box(-12, 0, 12, 92),
            _points("-56 66 -30 66 -43 96"), _points("30 66 56 66 43 96"), _points("-17 92 17 92 0 132"),
            _box(-30, 40, -20, 74), _points("-33 74 -17 74 -25 98"), _box(20, 40, 28, 60),
            _points("17 60 31 60 24 80"), _box(-1, 130, 1, 142), _points("1 142 12 138 1 134"),
            _points("-90 -14 -60 2 60 2 96 -14"),
        ),
        lit=(
            _box(-4, 62, 4, 74), _box(-46, 46, -41, 54), _box(40, 46, 45, 54), _box(-27, 58, -23, 64),
            _box(-24, 18, -20, 25), _box(18, 18, 22, 25), _points("-7 0 -7 12 0 18 7 12 7 0"),
        ),
        height=1.35,
    ),
    "boat": Figure(
        hard=(
            _points("-44 16 -34 0 34 0 50 18"), _box(-2, 14, 1, 112), _points("-34 20 -3 24 -3 106"),
        ),
        pale=(_points("3 24 42 24 3 108"),),
        lit=(_points("-30 6 -26 6 -26 10 -30 10"),),
    ),
    "house": Figure(
        hard=(
            _box(-34, 0, 34, 34), _points("-44 32 0 66 44 32"), _box(18, 46, 28, 74),
            _points("-80 -10 -50 1 50 1 84 -10"),
        ),
        lit=(_box(-24, 12, -12, 24), _box(12, 12, 24, 24), _box(-5, 0, 6, 20)),
        height=0.75,
    ),
    "robot": Figure(
        hard=(
            _box(-20, 24, 20, 62), _box(-15, 64, 15, 90), _box(-15, 0, -5, 26), _box(5, 0, 15, 26),
            _box(-30, 30, -22, 60), _points("22 56 46 66 48 60 26 46"), _box(-1, 90, 1, 102),
            _box(-5, 60, 5, 66),
        ),
        soft=(_points("-4 102 4 102 4 108 -4 108"),),
        lit=(_box(-10, 76, -4, 82), _box(4, 76, 10, 82), _box(-10, 44, 10, 48)),
    ),
    "person": Figure(
        soft=(
            _points("-12 0 -16 30 -14 60 -8 72 8 72 14 60 16 30 12 0"),
            _points("-9 72 -11 84 -6 94 6 94 11 84 9 72"),
        ),
        hard=(_points("14 0 16 96 18 96 18 0"),),
        lit=(_points("12 96 17 104 22 96 17 88"),),
    ),
    "tram": Figure(
        soft=(_points("-70 6 -74 20 -72 54 -62 60 62 60 72 54 74 20 70 6"),),
        hard=(_box(-50, 0, -30, 8), _box(30, 0, 50, 8), _points("-10 60 0 74 12 74 12 76 -1 76 -13 60"),
              _box(-200, 76, 200, 77), _box(-200, -2, 200, 0)),
        lit=(
            _box(-64, 30, -44, 50), _box(-38, 30, -18, 50), _box(-12, 30, 12, 50), _box(18, 30, 38, 50),
            _box(44, 30, 64, 50), _box(-70, 14, -64, 20),
        ),
        height=0.9,
    ),
    "balloon": Figure(
        soft=(_points("0 110 28 104 44 82 42 58 24 34 8 20 -8 20 -24 34 -42 58 -44 82 -28 104"),),
        hard=(_box(-8, 0, 8, 12), _points("-7 12 -9 22 -8 22 -6 12"), _points("7 12 9 22 8 22 6 12")),
        pale=(_points("-14 107 -22 82 -16 40 -6 22 6 22 16 40 22 82 14 107"),),
        lit=(_points("-3 14 0 20 3 14"),),
        floats=1.1,
    ),
    "whale": Figure(
        soft=(
            _points(
                "-70 16 -60 38 -30 52 4 50 34 34 54 22 60 30 66 54 76 46 88 54 "
                "84 36 72 20 54 8 20 0 -40 0 -62 6"
            ),
        ),
        pale=(_points("-64 10 -40 2 0 4 20 8 -20 12 -56 16"),),
        floats=0.5,
    ),
    "rocket": Figure(
        soft=(_points("-14 20 -16 60 -8 96 0 112 8 96 16 60 14 20"),),
        hard=(_points("-14 44 -32 14 -14 20"), _points("14 44 32 14 14 20")),
        pale=(_points("-8 66 0 76 8 66 0 58"),),
        lit=(_points("-9 18 0 -24 9 18"),),
        floats=0.8,
    ),
}  # fmt: skip


def lamp_height(name: str, image: Image.Image) -> float:
    """How high, in pixels, the figure's first lamp is above its feet in this picture."""
    lamp = FIGURES[name].lit[0]
    return sum(up for _, up in lamp) / len(lamp) * _unit(image, FIGURES[name])


def _unit(image: Image.Image, figure: Figure) -> float:
    return min(image.size) * 0.27 * figure.height


def stand(image: Image.Image, name: str, foot: Point, tone: Colour, light: Colour) -> None:
    """Draw the figure of this name with its feet at ``foot``, in ``tone``, its lamps in ``light``."""
    figure = FIGURES[name]
    unit = _unit(image, figure)
    x, y = foot[0], foot[1] - figure.floats * unit
    reach = round(unit * 2.1)
    box = (max(0, round(x) - reach), max(0, round(y) - reach), round(x) + reach, round(y) + round(unit * 0.4))

    def outline(points: Sequence[Point], k: float) -> list[Point]:
        return [((x - box[0] + across * unit) * k, (y - box[1] - up * unit) * k) for across, up in points]

    def filled(outlines: Sequence[_Outline], soft: Sequence[_Outline] = ()) -> Image.Image:
        def draw(canvas: ImageDraw.ImageDraw, k: float) -> None:
            for points in (*outlines, *(rounded(each) for each in soft)):
                canvas.polygon(outline(points, k), fill=255)

        return shape((box[2] - box[0], box[3] - box[1]), draw)

    image.paste(tone, box[:2], filled(figure.hard, figure.soft))
    if figure.pale:
        image.paste(mix(tone, light, 0.22), box[:2], filled(figure.pale))
    if figure.lit:
        image.paste(light, box[:2], filled(figure.lit))
        for points in figure.lit:
            middle = (sum(p[0] for p in points) / len(points), sum(p[1] for p in points) / len(points))
            glow(image, (x + middle[0] * unit, y - middle[1] * unit), unit * 0.22, light, 0.5)


def rounded(points: Sequence[Point]) -> list[Point]:
    """The outline with its corners cut, twice (Chaikin's way)."""
    found = list(points)
    for _ in range(2):
        found = [
            (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share)
            for a, b in zip(found, [*found[1:], found[0]], strict=True)
            for share in (0.25, 0.75)
        ]
    return found
