"""Small colour scenes with named attributes: sampling them, putting them into words, painting.

A scene is one object (shape, colour, material, size) at one of nine places on one of four grounds,
lit from one of three sides. Every attribute is drawn independently of the others, so no attribute
can be guessed from another, and each is visible on its own: a decoder's success with one says
nothing about the next.

Objects are painted from signed distances (negative inside, in pixels) [1]_: the edge coverage of a
pixel is `clip(1/2 - distance, 0, 1)`, which antialiases without supersampling. Only sums, products,
quotients and square roots are used, which IEEE 754 rounds exactly: the same scene has the same
bytes on every machine. Lengths are given for pictures of 64 pixels; wider ones show the same scene:
every length grows, edges stay one pixel soft.

References
----------
.. [1] Frisken, S. F., Perry, R. N., Rockwood, A. P. & Jones, T. R. (2000). Adaptively sampled
   distance fields. SIGGRAPH.
"""

from functools import lru_cache

import numpy as np
import pandas as pd

WIDTH_PX = 64

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "shape": ("disc", "square", "triangle", "star", "ring", "cross"),
    "colour": ("red", "yellow", "green", "cyan", "blue", "pink"),
    "material": ("matte", "striped", "dotted"),
    "size": ("small", "medium", "large"),
    "x": ("left", "centre", "right"),
    "y": ("top", "middle", "bottom"),
    "background": ("paper", "bricks", "tiles", "night"),
    "light": ("left", "above", "right"),
}

# What a scene has besides its attributes: small displacements that no caption mentions.
JITTER = {"x_offset_px": 1.5, "y_offset_px": 1.5, "size_factor": 0.04}

COLOURS = {
    "red": (0.87, 0.10, 0.12),
    "yellow": (0.97, 0.80, 0.08),
    "green": (0.14, 0.62, 0.18),
    "cyan": (0.10, 0.78, 0.82),
    "blue": (0.16, 0.30, 0.92),
    "pink": (0.95, 0.38, 0.76),
}
RADIUS_PX = {"small": 7.0, "medium": 9.6, "large": 13.0}
CENTRE_PX = {
    "left": 15.0,
    "centre": 32.0,
    "right": 49.0,
    "top": 15.0,
    "middle": 32.0,
    "bottom": 49.0,
}
TOWARDS_LIGHT = {"left": (-0.9, -0.44), "above": (0.0, -1.0), "right": (0.9, -0.44)}

_GROUND_WORDS = {
    "paper": "on cream paper",
    "bricks": "on a brick wall",
    "tiles": "on grey tiles",
    "night": "at night",
}
_LIGHT_WORDS = {
    "left": "lit from the left",
    "above": "lit from above",
    "right": "lit from the right",
}
_CHUNK = 64  # scenes painted at once: their arrays stay in a core's cache


def sample_scenes(n: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw `n` scenes: every attribute uniformly and independently, then the jitter.

    Returns
    -------
    scenes : DataFrame, n rows
        One column per attribute of `ATTRIBUTES` (str), then `x_offset_px`, `y_offset_px`
        (displacement of the object's centre) and `size_factor` (about 1, multiplies its radius).
    """
    columns = {
        name: np.array(values, dtype=object)[rng.integers(len(values), size=n)]
        for name, values in ATTRIBUTES.items()
    }
    for name, width in JITTER.items():
        columns[name] = rng.uniform(-width, width, size=n) + (name == "size_factor")
    return pd.DataFrame(columns)


def caption(scene) -> str:
    """Say a scene (a row or a mapping) in words: every attribute is named, the jitter is not."""
    place = _place(scene["x"], scene["y"])
    thing = f"{scene['size']} {scene['colour']} {scene['material']} {scene['shape']}"
    ground, light = _GROUND_WORDS[scene["background"]], _LIGHT_WORDS[scene["light"]]
    return f"a {thing} {place} {ground}, {light}"


def captions(scenes: pd.DataFrame) -> list[str]:
    """The caption of every row of a table of scenes."""
    return [caption(row) for row in scenes[list(ATTRIBUTES)].to_dict("records")]


def render(scenes: pd.DataFrame, width_px: int = WIDTH_PX) -> np.ndarray:
    """Paint scenes.

    Parameters
    ----------
    scenes : DataFrame
        As from `sample_scenes`; missing jitter columns mean no jitter.
    width_px : int
        A multiple of 64.

    Returns
    -------
    pictures : ndarray of uint8, shape (n, width_px, width_px, 3)
        sRGB.

    Raises
    ------
    ValueError
        When an attribute is missing or has a value that is not in `ATTRIBUTES`, or the width is
        no multiple of 64.
    """
    _check(scenes)
    if width_px < WIDTH_PX or width_px % WIDTH_PX:
        raise ValueError(f"width_px={width_px}: scenes are painted {WIDTH_PX}, 128, 192 … px wide")
    pictures = np.empty((len(scenes), width_px, width_px, 3), dtype=np.uint8)
    for first in range(0, len(scenes), _CHUNK):
        rows = slice(first, first + _CHUNK)
        pictures[rows] = _paint(scenes.iloc[rows], width_px)
    return pictures


def _place(x: str, y: str) -> str:
    if y == "middle":
        return "in the middle" if x == "centre" else f"at the {x}"
    return f"at the {y}" if x == "centre" else f"at the {y} {x}"


def _check(scenes: pd.DataFrame) -> None:
    for name, values in ATTRIBUTES.items():
        if name not in scenes:
            raise ValueError(f"the scenes lack the attribute {name!r}: expected {list(ATTRIBUTES)}")
        strange = set(scenes[name]) - set(values)
        if strange:
            raise ValueError(
                f"unknown {name} {sorted(map(str, strange))}: expected one of {list(values)}"
            )


def _paint(scenes: pd.DataFrame, width_px: int) -> np.ndarray:
    scale = width_px / WIDTH_PX
    radius = _column(scale * scenes["size"].map(RADIUS_PX) * scenes.get("size_factor", 1.0))
    x = _axis(scenes, "x", width_px)[:, None, :]  # (n, 1, width): pixels from the object's centre
    y = _axis(scenes, "y", width_px)[:, :, None]  # (n, width, 1)
    light = np.array([TOWARDS_LIGHT[side] for side in scenes["light"]], dtype=np.float32)
    light_x, light_y = light[:, :1, None], light[:, 1:, None]
    shapes = scenes["shape"].to_numpy()

    reach = 2.0 * scale + 0.28 * radius  # how far the shadow falls, in pixels
    fall = _distance(shapes, x + light_x * reach, y + light_y * reach, radius)
    shadow = np.clip(0.5 - fall / (2.5 * scale), 0, 1)
    inside = _distance(shapes, x, y, radius)
    coverage = np.clip(0.5 - inside, 0, 1)[..., None]
    rim = np.clip(1.6 + inside / scale, 0, 1)  # 0 well inside, 1 on the outermost pixel and a half

    shade = 1.0 + 0.3 * (light_x * x + light_y * y) / radius
    colours = np.array([COLOURS[c] for c in scenes["colour"]], dtype=np.float32)[:, None, None]
    period = 3.0 * scale + 0.2 * radius  # of stripes and dots, in pixels
    thing = _material(scenes["material"].to_numpy(), colours, x, y, period)
    thing = thing * (shade * (1 - 0.35 * rim))[..., None]
    grounds = np.stack([_grounds(width_px)[g] for g in scenes["background"]])
    lit = _illumination(light_x, light_y, width_px)
    ground = grounds * (lit * (1 - 0.55 * shadow))[..., None]
    picture = ground + coverage * (np.clip(thing, 0, 1) - ground)
    return np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8)


def _column(values) -> np.ndarray:
    return np.asarray(values, dtype=np.float32)[:, None, None]


def _axis(scenes: pd.DataFrame, axis: str, width_px: int) -> np.ndarray:
    centre = scenes[axis].map(CENTRE_PX) + scenes.get(f"{axis}_offset_px", 0.0)
    centre = centre * (width_px / WIDTH_PX)
    pixels = np.arange(width_px, dtype=np.float32) + np.float32(0.5)
    return pixels[None] - np.asarray(centre, dtype=np.float32)[:, None]


def _illumination(light_x, light_y, width_px) -> np.ndarray:
    pixels = (np.arange(width_px, dtype=np.float32) + 0.5) / (width_px / 2) - 1
    return 0.95 + 0.3 * (light_x * pixels[None, None, :] + light_y * pixels[None, :, None])


def _distance(shapes, x, y, radius) -> np.ndarray:
    """Signed distance in pixels to each row's shape, shape (n, width, width)."""
    distance = np.empty((len(shapes), y.shape[1], x.shape[2]), dtype=np.float32)
    for shape in set(shapes):
        rows = shapes == shape
        distance[rows] = _DISTANCES[shape](x[rows], y[rows], radius[rows])
    return distance


def _disc(x, y, radius):
    return np.sqrt(x * x + y * y) - 0.95 * radius


def _square(x, y, radius):
    return np.maximum(np.abs(x), np.abs(y)) - 0.82 * radius


def _triangle(x, y, radius):
    half_width, height = 1.05 * radius, 1.85 * radius  # the apex is 1.05 radii above the centre
    slope = np.sqrt(half_width**2 + height**2)
    side = (np.abs(x) * height - (y + 1.05 * radius) * half_width) / slope
    return np.maximum(side, y - 0.8 * radius)


def _star(x, y, radius):
    tip, notch = 1.15 * radius, 0.5 * radius
    x, y = np.abs(x) + 0 * y, -y + 0 * x  # fold the five-fold figure into half a point about +y
    for mirror_x, mirror_y in ((0.80901699, -0.58778525), (-0.80901699, -0.58778525)):
        excess = 2 * np.maximum(x * np.float32(mirror_x) + y * np.float32(mirror_y), 0)
        x, y = x - excess * np.float32(mirror_x), y - excess * np.float32(mirror_y)
    edge_x, edge_y = notch * np.float32(0.58778525), notch * np.float32(0.80901699) - tip
    length = np.sqrt(edge_x**2 + edge_y**2)
    return ((y - tip) * edge_x - np.abs(x) * edge_y) / length


def _ring(x, y, radius):
    return np.abs(np.sqrt(x * x + y * y) - 0.74 * radius) - 0.27 * radius


def _cross(x, y, radius):
    x, y, long, short = np.abs(x), np.abs(y), 1.02 * radius, 0.34 * radius
    return np.minimum(np.maximum(x - long, y - short), np.maximum(x - short, y - long))


_DISTANCES = {
    "disc": _disc,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "ring": _ring,
    "cross": _cross,
}


def _material(materials, colours, x, y, period) -> np.ndarray:
    """The unlit surface, (n, width, width, 3): dark diagonal stripes, white dots, or plain."""
    shape = (len(materials), y.shape[1], x.shape[2], 3)
    surface = np.broadcast_to(colours, shape).astype(np.float32)
    for material, target in (("striped", 0.3), ("dotted", None)):
        rows = materials == material
        mask = _stripes if material == "striped" else _dots
        paint = mask(x[rows], y[rows], period[rows])[..., None]
        aim = surface[rows] * np.float32(target) if target else np.float32(1.0)
        surface[rows] += paint * (aim - surface[rows])
    return surface


def _stripes(x, y, period):
    phase = (x + y) / (period * np.float32(1.41421356))
    from_middle = (
        np.abs(phase - np.floor(phase) - 0.5) * period
    )  # pixels from the middle of the stripe
    return np.clip(0.5 + 0.25 * period - from_middle, 0, 1)


def _dots(x, y, period):
    across = x - period * np.rint(x / period)
    down = y - period * np.rint(y / period)
    return np.clip(0.5 + 0.29 * period - np.sqrt(across * across + down * down), 0, 1)


@lru_cache(maxsize=2)
def _grounds(width_px: int) -> dict[str, np.ndarray]:
    """The four grounds, each (width, width, 3) in [0, 1]."""
    row = np.mgrid[0:width_px, 0:width_px][0]
    down, across = np.mgrid[0:width_px, 0:width_px] * WIDTH_PX // width_px
    course = down // 8
    mortar = (down % 8 == 7) | ((across + 8 * (course % 2)) % 16 == 15)
    joint = (down % 16 == 15) | (across % 16 == 15)
    dusk = ((row + 0.5) / width_px)[..., None]
    return {
        "paper": _flat((0.88, 0.84, 0.72), down.shape),
        "bricks": np.where(
            mortar[..., None], _flat((0.74, 0.66, 0.60), down.shape), (0.58, 0.36, 0.27)
        ),
        "tiles": np.where(
            joint[..., None], _flat((0.38, 0.40, 0.42), down.shape), (0.60, 0.62, 0.63)
        ),
        "night": (1 - dusk) * np.array((0.12, 0.11, 0.30)) + dusk * np.array((0.16, 0.14, 0.34)),
    }


def _flat(colour, shape) -> np.ndarray:
    return np.broadcast_to(np.array(colour), (*shape, 3))
