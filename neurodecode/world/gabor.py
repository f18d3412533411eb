"""What early visual cortex sees in a picture: edges, light and hue, in receptive fields.

Three families of maps, all non-negative and all without a learned weight:

* energy: the modulus of the picture's luminance under complex Gabor filters [1]_, four orientations
  at three wavelengths, Gaussian in frequency, `exp(-|f - f0|^2 / 2 s^2)` with `s = |f0| / 2.5`
  (about 1.4 octaves);
* luminance: how much brighter, and how much darker, than the grey screen (on and off cells);
* hue: the opponent signals red - green and blue - yellow, half-wave rectified along six directions
  of their plane, as hue-selective cells of V1 and V4 are [2]_.

A voxel pools a map with a Gaussian over its receptive field and compresses the result with a
power below one [3]_.

References
----------
.. [1] Adelson, E. H. & Bergen, J. R. (1985). Spatiotemporal energy models for the perception of
   motion. J. Opt. Soc. Am. A 2.
.. [2] Conway, B. R., Moeller, S. & Tsao, D. Y. (2007). Specialized color modules in macaque
   extrastriate cortex. Neuron 56.
.. [3] Kay, K. N., Winawer, J., Mezer, A. & Wandell, B. A. (2013). Compressive spatial summation in
   human visual cortex. J. Neurophysiol. 110.
"""

import numpy as np

WAVELENGTHS_PX = (4.0, 8.0, 16.0)
ORIENTATIONS_RAD = tuple(np.pi * i / 4 for i in range(4))  # of the wave vector: 0 is a vertical bar
HUES_RAD = tuple(np.pi * i / 3 for i in range(6))  # 0 is red against green, pi / 2 blue
CELL_PX = 2  # maps are averaged over cells of 2 x 2 pixels
EXPONENT = 0.6  # of the compressive summation

N_ENERGY = len(WAVELENGTHS_PX) * len(ORIENTATIONS_RAD)
N_CHANNELS = N_ENERGY + 2 + len(HUES_RAD)

_CHUNK = 16  # pictures filtered at once: their maps stay in a core's cache
_PAD_PX = 8  # reflected border, so that opposite edges of a picture do not meet


def feature_maps(pictures: np.ndarray) -> np.ndarray:
    """Compute all maps of pictures.

    Parameters
    ----------
    pictures : ndarray of uint8, shape (n, height, width, 3)
        sRGB; height and width even.

    Returns
    -------
    maps : ndarray of float32, shape (n, n_channels, n_cells)
        Energy (wavelength by wavelength, four orientations each), on, off, then six hues; a cell
        is 2 x 2 pixels, row by row.

    Raises
    ------
    ValueError
        When the pictures are not colour pictures of bytes.
    """
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[-1] != 3:
        raise ValueError(
            f"pictures are {pictures.dtype} of shape {pictures.shape}: "
            "expected uint8 (n, height, width, 3)"
        )
    n, height, width, _ = pictures.shape
    maps = np.empty((n, N_CHANNELS, height // CELL_PX * (width // CELL_PX)), dtype=np.float32)
    for first in range(0, n, _CHUNK):
        rgb = pictures[first : first + _CHUNK].astype(np.float32) / 255
        rows = maps[first : first + _CHUNK]
        rows[:, :N_ENERGY] = _cells(gabor_energy(rgb.mean(axis=-1)))
        rows[:, N_ENERGY:] = _cells(_opponents(rgb))
    return maps


def gabor_energy(luminance: np.ndarray) -> np.ndarray:
    """Modulus of each complex Gabor response, (n, height, width) -> (n, 12, height, width)."""
    from scipy.fft import fft2, ifft2

    n, height, width = luminance.shape
    border = ((0, 0), (_PAD_PX, _PAD_PX), (_PAD_PX, _PAD_PX))
    spectrum = fft2(np.pad(luminance, border, mode="symmetric"))
    inside = np.s_[:, _PAD_PX : _PAD_PX + height, _PAD_PX : _PAD_PX + width]
    energy = np.empty((n, N_ENERGY, height, width), dtype=np.float32)
    for i, gain in enumerate(_filters(spectrum.shape[1:])):
        energy[:, i] = np.abs(ifft2(spectrum * gain)[inside])
    return energy


def receptive_fields(centres_px: np.ndarray, sizes_px: np.ndarray, width_px: int) -> np.ndarray:
    """Gaussian receptive fields on the cells of square pictures.

    Parameters
    ----------
    centres_px : ndarray, shape (n_voxels, 2)
        x (to the right) and y (down), in pixels; 0 is the outer edge of the first pixel.
    sizes_px : ndarray, shape (n_voxels,)
        Standard deviation.
    width_px : int
        Width of the pictures.

    Returns
    -------
    fields : ndarray of float32, shape (n_voxels, n_cells)
        Each row sums to one.
    """
    middles = (np.arange(width_px // CELL_PX) + 0.5) * CELL_PX
    x, y = (
        np.exp(-(((middles - centre[:, None]) / sizes_px[:, None]) ** 2) / 2)
        for centre in centres_px.T
    )
    fields = (y[:, :, None] * x[:, None, :]).reshape(len(sizes_px), -1)
    return (fields / fields.sum(axis=1, keepdims=True)).astype(np.float32)


def pool(maps: np.ndarray, fields: np.ndarray) -> np.ndarray:
    """Sum one channel over receptive fields and compress: (n, n_cells) -> (n, n_voxels)."""
    return (maps @ fields.T) ** EXPONENT


def _filters(shape: tuple[int, int]):
    """Yield the twelve frequency responses; the mean luminance passes none of them."""
    f_y, f_x = np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1])[None]
    for wavelength in WAVELENGTHS_PX:
        for angle in ORIENTATIONS_RAD:
            off_x = f_x - np.cos(angle) / wavelength
            off_y = f_y - np.sin(angle) / wavelength
            gain = np.exp(-(off_x**2 + off_y**2) / (2 * (1 / wavelength / 2.5) ** 2))
            gain[0, 0] = 0
            yield gain.astype(np.float32)


def _opponents(rgb: np.ndarray) -> np.ndarray:
    """On, off and six rectified hues, (n, height, width, 3) -> (n, 8, height, width)."""
    light = rgb.mean(axis=-1) - np.float32(0.5)
    red_green = rgb[..., 0] - rgb[..., 1]
    blue_yellow = rgb[..., 2] - (rgb[..., 0] + rgb[..., 1]) / 2
    hues = [red_green * np.cos(a) + blue_yellow * np.sin(a) for a in HUES_RAD]
    return np.maximum(np.stack([light, -light, *hues], axis=1), 0).astype(np.float32)


def _cells(maps: np.ndarray) -> np.ndarray:
    """Average over cells, (n, c, height, width) -> (n, c, n_cells)."""
    n, channels = maps.shape[:2]
    halves = maps[..., 0::2, :] + maps[..., 1::2, :]
    return ((halves[..., 0::2] + halves[..., 1::2]) / 4).reshape(n, channels, -1)
