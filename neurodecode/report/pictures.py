"""Pictures inside the page: arrays become data URIs, so that nothing is fetched."""

import base64
import io

import numpy as np

WIDEST_PX = 192  # wider pictures are reduced: the page shows them no larger


def data_uri(picture):
    """Encode one picture: lossless PNG up to 128 pixels, WebP of quality 85 above.

    Parameters
    ----------
    picture : ndarray, shape (height, width, 3)
        uint8, or float in [0, 1].

    Returns
    -------
    uri : str
        ``data:image/…;base64,…``
    """
    from PIL import Image

    image = Image.fromarray(as_uint8(picture))
    image.thumbnail((WIDEST_PX, WIDEST_PX), Image.Resampling.LANCZOS)
    kind, options = ("PNG", {}) if max(image.size) <= 128 else ("WEBP", {"quality": 85})
    file = io.BytesIO()
    image.save(file, kind, **options)
    return f"data:image/{kind.lower()};base64," + base64.b64encode(file.getvalue()).decode()


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
