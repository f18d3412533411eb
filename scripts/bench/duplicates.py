"""How many planted near-duplicates are found among natural pictures, and how many alarms are false.

Pictures are tiles, cut without overlap from the photographs that scikit-image brings along, and
those of a folder of your own: NEURODECODE_STIMULI=DIR python scripts/bench/duplicates.py

Left out are tiles that show next to nothing, and the photograph of a retina, a disc on black whose
tiles are each other's mirror images: cropped copies of such pictures are not found, by design.
"""

import argparse
import io
import os
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from neurodecode.rigour.leaks.duplicates import near_duplicates
from neurodecode.rigour.leaks.pixels import SIDE

PHOTOS = "astronaut camera chelsea coffee rocket hubble_deep_field motorcycle_left coins"
PHOTOS += " brick grass gravel ihc moon"
LEAST_SD = 20.0  # grey values; flatter tiles show nothing (sky, black margins)


def photographs(tile):
    """Cut scikit-image's photographs into tiles of `tile` pixels a side, without overlap."""
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    for name in PHOTOS.split():
        path = next(p for p in folder.glob(f"{name}.*") if p.suffix in (".png", ".jpg"))
        picture = Image.open(path).convert("RGB")
        for top in range(0, picture.height - tile + 1, tile):
            for left in range(0, picture.width - tile + 1, tile):
                cut = picture.crop((left, top, left + tile, top + tile))
                if np.asarray(cut.convert("L"), float).std() >= LEAST_SD:
                    yield cut


def own_pictures():
    """Open the pictures below the folder that NEURODECODE_STIMULI names, if it names one."""
    folder = os.environ.get("NEURODECODE_STIMULI")
    names = sorted(Path(folder).rglob("*")) if folder else ()
    for path in names:
        if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"):
            yield Image.open(path).convert("RGB")


def cropped(picture, rng):
    """Take 5 % of the width and of the height away, anywhere at the edges."""
    width, height = picture.size
    w, h = round(0.95 * width), round(0.95 * height)
    left, top = rng.integers(0, width - w + 1), rng.integers(0, height - h + 1)
    return picture.crop((left, top, left + w, top + h))


def cropped_all_round(picture, rng):
    """Take 5 % away at each of the four edges."""
    width, height = picture.size
    dx, dy = round(0.05 * width), round(0.05 * height)
    return picture.crop((dx, dy, width - dx, height - dy))


def encoded(picture, **how):
    """Write and read again."""
    buffer = io.BytesIO()
    picture.save(buffer, **how)
    return Image.open(buffer).convert("RGB")


def resized(picture, factor):
    """Change the number of pixels."""
    return picture.resize([max(16, round(factor * side)) for side in picture.size])


def brightened(picture, factor):
    """Multiply the light."""
    return ImageEnhance.Brightness(picture).enhance(factor)


TRANSFORMATIONS = {
    "the same": lambda p, rng: p,
    "half the size": lambda p, rng: resized(p, 0.5),
    "1.5 times the size": lambda p, rng: resized(p, 1.5),
    "cropped 5 %": cropped,
    "cropped 5 % at each edge": cropped_all_round,
    "mirrored": lambda p, rng: ImageOps.mirror(p),
    "JPEG, quality 50": lambda p, rng: encoded(p, format="JPEG", quality=50),
    "WebP, quality 50": lambda p, rng: encoded(p, format="WEBP", quality=50),
    "brightened by 30 %": lambda p, rng: brightened(p, 1.3),
    "darkened by 30 %": lambda p, rng: brightened(p, 0.7),
    "mirrored, cropped 5 %, JPEG, brightened by 20 %": lambda p, rng: brightened(
        encoded(cropped(ImageOps.mirror(p), rng), format="JPEG", quality=70), 1.2
    ),
}


def thumbnails(pictures):
    """Scale pictures as the stage split does: uint8, shape (n_pictures, SIDE, SIDE, 3)."""
    scale = lambda p: p.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return np.stack([np.asarray(scale(p), np.uint8) for p in pictures])


def planted(pictures, transformation, rng):
    """Return the share of pictures whose transformed copy is found beside the originals."""
    copies = thumbnails([transformation(p, rng) for p in pictures])
    n = len(pictures)
    both = np.concatenate([thumbnails(pictures), copies])
    found = near_duplicates(both, np.repeat(["test", "train"], n))
    own = found.pairs[:, 1] - found.pairs[:, 0] == n
    return own.sum() / n, int((~own).sum()) / (n * (n - 1))


def main(arguments=None):
    """Print recall per transformation, the rate of false alarms per pair, and the time it takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tile", type=int, default=160, help="side of a tile, pixels")
    parser.add_argument("--most", type=int, default=0, help="at most so many tiles; 0: all")
    parser.add_argument("--many", type=int, default=10_000, help="stimuli of the timing")
    given = parser.parse_args(arguments)
    rng = np.random.default_rng(0)
    pictures = [*photographs(given.tile), *own_pictures()]
    if given.most:
        pictures = [pictures[i] for i in rng.permutation(len(pictures))[: given.most]]
    n_pairs = len(pictures) * (len(pictures) - 1) // 2
    alarms = near_duplicates(thumbnails(pictures))
    print(f"{len(pictures)} distinct pictures: {len(alarms.pairs)} false alarms in {n_pairs} pairs")
    figures = []
    for name, transformation in TRANSFORMATIONS.items():
        figures.append(planted(pictures, transformation, rng))
        say(name, *figures[-1])
    say("all of them", *np.mean(figures, axis=0))
    if given.many:
        measure_time(given.many, pictures, rng)


def say(name, recall, wrong):
    """Print one line."""
    print(f"{name:<50} recall {recall:.4f}   false alarms per pair {wrong:.2e}", flush=True)


def measure_time(n, pictures, rng):
    """Print how long a study of `n` stimuli takes: pairs of the pictures, rolled and mixed."""
    base = thumbnails(pictures).astype(np.float32)
    many = np.empty((n, SIDE, SIDE, 3), np.uint8)
    for i in range(n):
        a, b = base[rng.integers(len(base), size=2)]
        many[i] = (np.roll(a, rng.integers(SIDE, size=2), (0, 1)) + b[:, ::-1, ::-1]) / 2
    started, busy = time.monotonic(), time.process_time()
    found = near_duplicates(many)
    seconds, busy = time.monotonic() - started, time.process_time() - busy
    print(f"{n} stimuli, all pairs: {seconds:.0f} s ({busy:.0f} s of CPU), ", end="")
    print(f"{found.n_candidates} candidates, {len(found.pairs)} alarms")


if __name__ == "__main__":
    main()
