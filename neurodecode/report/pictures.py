"""Pictures inside the page: arrays become data URIs, so that nothing is fetched."""

import base64
import io

import numpy as np

LOSSLESS_PX = 64  # so small pictures are kept as they are, where there is room
# Pixels of the longer side and WebP quality, from what the page can show to what it can bear.
SIZES = ((192, 85), (160, 80), (128, 82), (112, 80), (96, 78), (80, 74), (64, 68), (48, 60))
TRIED = 40  # pictures by which the size of all is foretold


def data_uri(picture, size=None):
    """Encode one picture: as WebP of a given size, else lossless PNG up to 64 pixels.

    Parameters
    ----------
    picture : ndarray, shape (height, width, 3)
        uint8, or float in [0, 1].
    size : (int, int), optional
        Pixels of the longer side at most, and quality. None: the largest of `SIZES`, and no loss
        in small pictures.

    Returns
    -------
    uri : str
        ``data:image/…;base64,…``
    """
    from PIL import Image

    picture = as_uint8(picture)
    if size is None and max(picture.shape[:2]) <= LOSSLESS_PX:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG")
        return png_uri(file.getvalue())
    file = webp(picture, *(size or SIZES[0]))
    return "data:image/webp;base64," + base64.b64encode(file).decode()


def webp(picture, edge_px, quality):
    """The bytes of a picture as WebP, its longer side `edge_px` pixels at most."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(reduced(as_uint8(picture), edge_px)).save(file, "WEBP", quality=quality)
    return file.getvalue()


def reduced(picture, edge_px):
    """A uint8 picture with its longer side reduced to `edge_px`; smaller ones pass."""
    from PIL import Image

    if max(picture.shape[:2]) <= edge_px:
        return picture
    image = Image.fromarray(picture)
    image.thumbnail((edge_px, edge_px), Image.Resampling.LANCZOS)
    return np.asarray(image)


def fitting(pictures, n, budget):
    """The largest of `SIZES` at which `n` such pictures take no more than a share of the page.

    Parameters
    ----------
    pictures : sequence of ndarray
        Some of them are tried.
    n : int
    budget : int
        Bytes in the page; base64 makes three bytes four.
    """
    tried = [pictures[i] for i in range(0, len(pictures), max(1, len(pictures) // TRIED))]
    for size in SIZES:
        foretold = sum(len(webp(p, *size)) for p in tried) / max(len(tried), 1) * n * 4 / 3
        if foretold <= budget:
            break
    return size


def svg_uri(text):
    """Wrap the text of an SVG file as a data URI."""
    return "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode()


def png_uri(file):
    """Wrap the bytes of a PNG file as a data URI."""
    return "data:image/png;base64," + base64.b64encode(file).decode()


def csv_uri(text):
    """Wrap the text of a CSV file as a data URI."""
    return "data:text/csv;charset=utf-8;base64," + base64.b64encode(text.encode()).decode()


def as_uint8(picture):
    """Round a float picture in [0, 1] to grey levels; uint8 passes."""
    picture = np.asarray(picture)
    if picture.dtype == np.uint8:
        return picture
    return np.rint(np.clip(picture.astype(np.float64), 0, 1) * 255).astype(np.uint8)


def read_picture(path):
    """Read a picture file as uint8, shape (height, width, 3)."""
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
