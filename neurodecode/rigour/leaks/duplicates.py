"""Near-duplicates among pictures: resized, cropped, mirrored, re-encoded or brightened copies.

Two steps. A perceptual hash (signs of the lowest 8 x 8 cosine coefficients of the luminance) of
each picture, of its mirror image and of slightly cropped views gives candidates. Each candidate is
aligned (shift and scale of both axes, brightness and contrast; Gauss-Newton from coarse to fine)
and confirmed by the correlation of the aligned pixels, in colour, and once more of their details
alone: scenes that resemble each other share light and layout, copies share the details too.
"""

from dataclasses import dataclass

import numpy as np

SIDE = 64  # pixels of a thumbnail's sides
HASH = 8  # lowest cosine coefficients along each axis
BITS = 14  # of the 63 that may differ in a candidate
CROPS = (  # views of a picture that are hashed: size, left, top, in shares of the whole
    (1.0, 0.0, 0.0),
    (0.95, 0.025, 0.025),
    (0.95, 0.0, 0.0),
    (0.95, 0.05, 0.0),
    (0.95, 0.0, 0.05),
    (0.95, 0.05, 0.05),
    (0.9, 0.05, 0.05),
)
# Alignment: pixels of a side, steps taken there, and the correlation below which it ends.
LEVELS = ((16, 0, 0.5), (16, 6, 0.7), (32, 4, 0.8), (64, 3, 0.85))
LOWEST, HIGHEST = np.array([[0.85, -0.12] * 2, [1.18, 0.12] * 2], np.float32)  # parts tried
# Confirmation.
LEAST_PIXELS = 0.96  # correlation of the aligned pixels of a duplicate
LEAST_DETAILS = 0.85  # of what is finer than an eighth of the picture
FINE = 1 / 8  # sd of the blur that takes the coarse away, in shares of the picture
FLAT = 3.0  # grey values; a contrast below that is noise
WHOLE = np.array([1.0, 0.0, 1.0, 0.0], np.float32)  # the part of a picture that is all of it
UNMOVED = 0.003  # largest difference from that of a copy that was not cropped
LEAST_CROP = 0.015  # what else must be missing of one side, in shares of it
EDGE = 0.006  # to which a part may stand beyond the edge: an error of the alignment
LEAST_TEXTURE = 0.55  # share of a picture that must have details if a copy may be cropped
TEXTURE, TEXTURE_SD = 2.0, 2.0  # grey values, and pixels of the halved thumbnail
CELL = 8  # pixels; cells of twice that are compared one by one
SUMS = np.array(  # which pixels are in which cell, along one side
    [[a <= pixel < a + 2 * CELL for pixel in range(SIDE)] for a in range(0, SIDE - CELL, CELL)],
    np.float32,
)
CONTRAST = 16.0  # grey values, of cells that can be unlike
MOST_UNLIKE_PLAIN = 0.05  # on a plain ground, where no cells tell what noise does, and elsewhere:
MOST_UNLIKE, LEAST_UNLIKE = 0.2, 0.005  # one minus the correlation of a cell; and in units of
TIMES_WHOLE, TIMES_PART = 15, 80  # the usual cell, of copies that are whole or cropped
SAME = 2.0  # largest difference, grey values, of a copy in any case
LEAST_AS_THEY_ARE = 0.9  # correlation at the coarsest level of copies that need no alignment
MOST_MOVED_AS_THEY_ARE = 0.1  # pixels of a thumbnail, beyond three standard errors, and
MOST_MOVED = 0.4  # of copies that were aligned
SURE = 0.15  # standard error, pixels, of cells that can have moved
WHITE = 240.0  # grey values from which a picture that was brightened may be clipped
LEAST_UNCLIPPED = 0.04  # share of pixels
# Sizes.
BLOCK = 1 << 22  # pairs whose hashes are compared at once
PICTURES = 2048  # hashed at once
BATCH = 128  # candidates aligned at once: their arrays stay in a core's cache
LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Duplicates:
    """Pairs of pictures that are the same but for their treatment.

    Parameters
    ----------
    pairs : ndarray of int, shape (n_pairs, 2)
        Row numbers, the smaller first.
    pixels, details : ndarray, shape (n_pairs,)
        Correlation of the aligned pixels, and of their details.
    mirrored : ndarray of bool, shape (n_pairs,)
    n_compared, n_candidates : int
        Pairs whose hashes were compared, and pairs that were aligned.
    """

    pairs: np.ndarray
    pixels: np.ndarray
    details: np.ndarray
    mirrored: np.ndarray
    n_compared: int
    n_candidates: int


def near_duplicates(thumbnails, sides=None, also=()):
    """Find copies among pictures.

    Parameters
    ----------
    thumbnails : ndarray of uint8, shape (n_pictures, SIDE, SIDE, 3)
        Whole pictures scaled to a square; a memory map will do.
    sides : array of str, shape (n_pictures,), optional
        Only pairs from different sides are compared; a picture whose side is ``""`` with none.
        None: all pairs.
    also : sequence of (int, int)
        Further candidates, such as neighbours in embedding space.

    Returns
    -------
    found : Duplicates
        Sorted by row numbers.

    Raises
    ------
    ValueError
        If the thumbnails have another shape.
    """
    if thumbnails.shape[1:] != (SIDE, SIDE, 3):
        raise ValueError(f"thumbnails are {thumbnails.shape[1:]}, not {(SIDE, SIDE, 3)}")
    candidates, n_compared = hash_candidates(thumbnails, sides)
    asked = np.sort(np.asarray(also, int).reshape(-1, 2), axis=1)
    both = [(a, b, view, mirrored) for a, b in asked for view in (0,) for mirrored in (0, 1)]
    candidates = np.concatenate([candidates, np.asarray(both, int).reshape(-1, 4)])
    pixels, details = similarity(thumbnails, candidates)
    good = (pixels >= LEAST_PIXELS) & (details >= LEAST_DETAILS)
    kept = _best_of_each_pair(candidates[good], pixels[good])
    candidates, pixels, details = (x[good][kept] for x in (candidates, pixels, details))
    pairs = np.sort(candidates[:, :2], axis=1)
    return Duplicates(pairs, pixels, details, candidates[:, 3] == 1, n_compared, len(good))


def hash_candidates(thumbnails, sides=None):
    """Return pairs whose hashes nearly agree, and how many pairs were compared.

    Returns
    -------
    candidates : ndarray of int, shape (n_candidates, 4)
        Picture a, picture b, which of `CROPS` of a looks like b, and whether b was mirrored.
    n_compared : int
    """
    codes, mirrored = hashes(thumbnails)
    n, found = len(codes), []
    rows = max(1, BLOCK // max(n, 1))
    number = np.unique(sides, return_inverse=True)[1] if sides is not None else np.arange(n)
    shown = np.asarray(sides) != "" if sides is not None else np.ones(n, bool)
    n_compared = 0
    for first in range(0, n, rows):
        a = slice(first, first + rows)
        apart = (number[a, None] != number) & shown[a, None] & shown
        n_compared += int(apart.sum())
        for flip, whole in enumerate((codes[:, 0], mirrored)):
            best, view = np.full(apart.shape, 64, np.uint8), np.zeros(apart.shape, np.uint8)
            for crop in range(len(CROPS)):
                differing = np.bitwise_count(codes[a, crop, None] ^ whole)
                view[differing < best] = crop
                np.minimum(best, differing, out=best)
            i, j = np.nonzero((best <= BITS) & apart)
            found.append(np.stack([i + first, j, view[i, j], np.full(len(i), flip)], axis=1))
    return np.concatenate(found or [np.zeros((0, 4), int)]), n_compared // 2


def hashes(thumbnails):
    """Return the hash of every view of each picture, and of the whole picture mirrored.

    Returns
    -------
    codes : ndarray of uint64, shape (n_pictures, len(CROPS))
    mirrored : ndarray of uint64, shape (n_pictures,)
    """
    turned = (-1.0) ** np.arange(HASH)  # mirroring changes the sign of odd waves
    codes = np.zeros((len(thumbnails), len(CROPS)), np.uint64)
    mirrored = np.zeros(len(thumbnails), np.uint64)
    for first in range(0, len(thumbnails), PICTURES):
        rows = slice(first, first + PICTURES)
        grey = np.asarray(thumbnails[rows], np.float32) @ LUMINANCE
        for number, (size, left, top) in enumerate(CROPS):
            waves = _cosines(size, top) @ grey @ _cosines(size, left).T  # (n, HASH, HASH)
            codes[rows, number] = _packed(waves)
            if number == 0:
                mirrored[rows] = _packed(waves * turned)
    return codes, mirrored


def _cosines(size, start):
    """Waves over a part of a thumbnail's side, as weights of its pixels: (HASH, SIDE)."""
    place = (np.arange(SIDE) + 0.5) / SIDE
    within = (place >= start) & (place <= start + size)
    phase = (place - start) / size
    return (np.cos(np.pi * np.arange(HASH)[:, None] * phase) * within).astype(np.float32)


def _packed(waves):
    """Signs of all waves but the mean, as bits of a whole number."""
    signs = waves.reshape(len(waves), -1) > 0
    signs[:, 0] = False
    return np.packbits(signs, axis=1).view(np.uint64)[:, 0]


def similarity(thumbnails, candidates):
    """Correlate candidates, all pixels and details, as they are and aligned; -1 if let go."""
    pixels, details = np.full((2, len(candidates)), -1.0)
    coarse = reduced(thumbnails, LEVELS[0][0])
    for first in range(0, len(candidates), BATCH):
        rows = np.arange(first, min(first + BATCH, len(candidates)))
        for found, warp in (
            as_they_are(thumbnails, coarse, candidates, rows),
            aligned(thumbnails, coarse, candidates, rows),
        ):
            if not len(found):
                continue
            a, b = _pair(thumbnails, candidates[found], SIDE)
            new = np.stack(agreement(a, b, warp))
            new[1, ~one_picture(a, b, warp)] = -1.0
            new[:, _same(a, b) & (warp == WHOLE).all(axis=1)] = 1.0
            better = new[1] > details[found]
            pixels[found[better]], details[found[better]] = new[:, better]
    return pixels, details


def as_they_are(thumbnails, coarse, candidates, rows):
    """Take candidates that agree without being aligned: of flat pictures no place can be found."""
    a, b = _pair(coarse, candidates[rows], LEVELS[0][0])
    clear = _unclipped(a, b)[..., 0]
    alike = correlation(_grey(a), _grey(b), clear) >= LEAST_AS_THEY_ARE
    rows = rows[alike | _same(a, b)]
    return rows, np.tile(WHOLE, (len(rows), 1))


def _same(a, b):
    """Say whether pictures differ by no more than rounding does, however little they show."""
    return np.abs(a - b).max(axis=(1, 2, 3)) <= SAME


def aligned(thumbnails, coarse, candidates, rows):
    """Align candidates from coarse to fine; those that still agree, and the parts that do."""
    views = np.array(CROPS, np.float32)[candidates[rows, 2]]
    warp = np.stack([views[:, 0], views[:, 2], views[:, 0], views[:, 1]], axis=1)
    for side, n_steps, least in LEVELS:
        if not len(rows):
            break
        known = coarse if side == LEVELS[0][0] else thumbnails
        a, b = _pair(known, candidates[rows], side)
        clear = _unclipped(a, b)[..., 0]
        warp, close = align(_grey(a), _grey(b), clear, warp, n_steps)
        rows, warp = rows[close >= least], warp[close >= least]
    return rows, warp


def one_picture(a, b, warp):
    """Tell views of one picture from pictures of like things: bool, shape (n,).

    A copy is whole, or a part of the other picture; its parts have not moved against each other;
    and it is as like everywhere as its noise allows. One object on a plain ground looks like a
    cropped view of itself from nearby: where so little is seen, only whole copies can be told.
    """
    off = np.abs(warp - WHOLE).max(axis=1)
    whole = off <= UNMOVED
    plain = texture(a, b) < LEAST_TEXTURE
    views = whole | (is_part(warp) & ~plain)
    worst, usual = unlikeness(a, b, warp)
    times = np.where(whole, TIMES_WHOLE, TIMES_PART)
    most = np.where(plain, MOST_UNLIKE_PLAIN, MOST_UNLIKE)
    alike = worst <= np.minimum(most, LEAST_UNLIKE + times * usual)
    most = np.where(off == 0, MOST_MOVED_AS_THEY_ARE, MOST_MOVED)
    return views & alike & (moved_px(a, b, warp) <= most)


def is_part(warp):
    """Say whether one picture lies within the other, and is smaller: bool, shape (n,)."""
    start, end = warp[:, 1::2], warp[:, 1::2] + warp[:, ::2]
    inside = ((start >= -EDGE) & (end <= 1 + EDGE)).all(axis=1)
    outside = ((start <= EDGE) & (end >= 1 - EDGE)).all(axis=1)
    return (inside | outside) & (np.abs(warp[:, ::2] - 1).max(axis=1) >= LEAST_CROP)


def unlikeness(a, b, warp):
    """One minus the correlation within cells that have contrast: the worst, and the lower quartile.

    Returns
    -------
    worst, usual : ndarray, shape (n,)
    """
    parts = [warped(a[..., c], warp) for c in range(3)]
    seen = parts[0][1] * _unclipped(a, b)[..., 0]
    weight = _cells(seen)
    mean = lambda x: _cells(seen * x) / np.maximum(weight, 1)
    pairs = [(part, b[..., c]) for c, (part, _) in enumerate(parts)]
    shared = lambda x, y: mean(x * y) - mean(x) * mean(y)
    both = sum(shared(x, y) for x, y in pairs)
    one, other = (sum(shared(p[i], p[i]) for p in pairs) for i in (0, 1))
    plain = (np.maximum(one, other) / 3 <= CONTRAST**2) | (weight <= 2 * CELL**2)
    scale = np.sqrt(np.maximum(one, 1) * np.maximum(other, 1))
    cells = np.where(plain, np.nan, 1 - both / scale).reshape(len(a), -1)
    cells[plain.reshape(len(a), -1).all(axis=1)] = 0  # nothing has contrast: nothing speaks against
    return np.nanmax(cells, axis=1), np.nanquantile(cells, 0.25, axis=1)


def moved_px(a, b, warp):
    """Return the largest shift of a part of the picture that its noise does not explain, (n,).

    In every cell: b = gain a + offset + shift along its slopes, by least squares.
    """
    part, seen = warped(_grey(a), warp)
    b, seen = _grey(b), seen * _unclipped(a, b)[..., 0]
    weight = _cells(seen)
    mean = lambda x: _cells(seen * x) / np.maximum(weight, 1)
    shared = lambda x, y: mean(x * y) - mean(x) * mean(y)
    terms = [part, *np.gradient(part, axis=(1, 2))]
    normal = np.stack([np.stack([shared(x, y) for y in terms], -1) for x in terms], -2)
    normal = normal + np.eye(3, dtype=np.float32)  # a grey value: of flat cells nothing is known
    right = np.stack([shared(x, b) for x in terms], axis=-1)
    inverse = np.linalg.inv(normal)
    solved = (inverse @ right[..., None])[..., 0]
    left = np.maximum(shared(b, b) - (solved * right).sum(axis=-1), 0) + 0.5
    gain = np.where(np.abs(solved[..., :1]) > 0.2, solved[..., :1], 1.0)
    variance = np.stack([inverse[..., 1, 1], inverse[..., 2, 2]], axis=-1) * left[..., None]
    # neighbouring pixels are alike: a third of them counts
    error = np.sqrt(3 * variance / np.maximum(weight, 1)[..., None]) / np.abs(gain)
    known = (weight > 2 * CELL**2)[..., None] & (error < SURE)
    beyond = np.maximum(np.abs(solved[..., 1:] / gain) - 3 * error, 0)
    return np.where(known, beyond, 0).max(axis=(1, 2, 3))


def _cells(x):
    """Sum over overlapping squares of 2 CELL pixels a side: (n, 7, 7) of (n, 64, 64)."""
    return SUMS @ x @ SUMS.T


def texture(a, b):
    """Return the share of a picture that has details, in the plainer of two: shape (n,)."""
    shares = []
    for pictures in (_halved(a), _halved(b)):
        fine = (pictures - _blurred(pictures, TEXTURE_SD)) ** 2
        cells = _grey(_halved(_halved(fine)))
        shares.append((cells > TEXTURE**2).mean(axis=(1, 2)))
    return np.minimum(*shares)


def _blurred(pictures, sd_px):
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(pictures, (0, sd_px, sd_px, 0))


def reduced(thumbnails, side):
    """Average all pictures to `side` pixels: uint8, a sixteenth of the memory at 16 of 64."""
    small = np.empty((len(thumbnails), side, side, 3), np.uint8)
    for first in range(0, len(thumbnails), PICTURES):
        rows = slice(first, first + PICTURES)
        small[rows] = np.rint(_averaged(np.asarray(thumbnails[rows], np.float32), side))
    return small


def _averaged(pictures, side):
    """Halve pictures until they have `side` pixels: (n, side, side, 3)."""
    while pictures.shape[1] > side:
        pictures = _halved(pictures)
    return pictures


def _pair(pictures, candidates, side):
    """Both pictures of each candidate, averaged to `side` pixels; the second mirrored if so."""
    of = lambda rows: _averaged(np.asarray(pictures[rows], np.float32), side)
    a, b = of(candidates[:, 0]), of(candidates[:, 1])
    return a, np.where(candidates[:, 3, None, None, None] == 1, b[:, :, ::-1], b)


def align(a, b, clear, warp, n_steps):
    """Find the part of `a` that looks like `b`, by Gauss-Newton steps.

    Parameters
    ----------
    a, b, clear : ndarray, shape (n, side, side)
        `clear` weights the pixels of b.
    warp : ndarray, shape (n, 4)
        Scale and start of the part along the rows, and along the columns, in shares of `a`.
    n_steps : int

    Returns
    -------
    warp : ndarray, shape (n, 4)
    correlation : ndarray, shape (n,)
        Of the pixels that both have.
    """
    side = a.shape[1]
    place = ((np.arange(side) + 0.5) / side).astype(np.float32)
    for _ in range(n_steps):
        part, seen = warped(a, warp)
        seen = seen * clear
        slopes = np.stack(np.gradient(part, axis=(1, 2))) * side
        # b = gain part + offset + slope along rows (scale place + start) + the same along columns
        ones, y, x = np.ones_like(part), place[:, None], place
        columns = [part, ones, slopes[0] * y, slopes[0], slopes[1] * x, slopes[1]]
        design = np.stack(columns, axis=-1).reshape(len(a), -1, 6)
        weighted = design * seen.reshape(len(a), -1, 1)
        normal = np.einsum("npi,npj->nij", weighted, design, optimize=True)
        ridge = 1e-4 * np.trace(normal, axis1=1, axis2=2)[:, None, None] / 6
        normal += ridge * np.eye(6, dtype=np.float32)
        right = np.einsum("npi,np->ni", weighted, b.reshape(len(a), -1), optimize=True)
        solved = np.linalg.solve(normal, right[..., None])[..., 0]
        gain = np.where(np.abs(solved[:, :1]) > 0.1, solved[:, :1], 1.0)
        # slopes are those of the part: a step within it is a step within a times its scale
        step = np.clip(solved[:, 2:] / gain, -0.03, 0.03) * warp[:, [0, 0, 2, 2]]
        warp = np.clip(warp + step, LOWEST, HIGHEST)
    part, seen = warped(a, warp)
    return warp, correlation(part, b, seen * clear)


def warped(a, warp):
    """Return the parts of pictures that `warp` names, and which of their pixels lie within."""
    side = a.shape[1]
    rows, within_rows = _sampling(warp[:, 0], warp[:, 1], side)
    columns, within_columns = _sampling(warp[:, 2], warp[:, 3], side)
    part = rows @ a @ columns.transpose(0, 2, 1)
    return part, within_rows[:, :, None] * within_columns[:, None, :]


def _sampling(scale, start, side):
    """Linear interpolation along one axis as matrices (n, side, side); which points lie within."""
    place = (np.arange(side, dtype=np.float32) + 0.5) / side
    at = (place * scale[:, None] + start[:, None]) * side - 0.5  # (n, side)
    at = at.astype(np.float32)
    pixel = np.arange(side, dtype=np.float32)
    weights = np.maximum(0, 1 - np.abs(np.clip(at, 0, side - 1)[..., None] - pixel))
    return weights, ((at >= -0.5) & (at <= side - 0.5)).astype(np.float32)


def agreement(a, b, warp):
    """Correlate aligned pictures in colour: all pixels, and details; (n, SIDE, SIDE, 3) each."""
    parts = [warped(a[..., c], warp) for c in range(3)]
    part, seen = np.stack([p for p, _ in parts], axis=-1), parts[0][1]
    seen = seen[..., None] * _unclipped(part, b)
    part, b, seen = (_halved(x) for x in (part, b, seen))
    pixels = correlation(part, b, seen)
    return pixels, correlation(details_of(part), details_of(b), seen)


def _unclipped(a, b):
    """Tell pixels without white in or beside them; all of them where that leaves too few."""
    from scipy.ndimage import maximum_filter

    reach = 3 if a.shape[1] == SIDE else 1
    both = np.maximum(a, b)
    brightest = np.maximum(np.maximum(both[..., 0], both[..., 1]), both[..., 2])
    brightest = maximum_filter(brightest, (1, reach, reach))
    kept = (brightest < WHITE).astype(np.float32)[..., None]
    enough = kept.mean(axis=(1, 2, 3), keepdims=True) >= LEAST_UNCLIPPED
    return np.where(enough, kept, 1.0)


def _halved(pictures):
    """Average squares of two by two pixels."""
    rows = pictures[:, ::2] + pictures[:, 1::2]  # numpy's mean over short axes is ten times slower
    return (rows[:, :, ::2] + rows[:, :, 1::2]) / 4


def _grey(pictures):
    """Average the colours: (n, side, side)."""
    return (pictures[..., 0] + pictures[..., 1] + pictures[..., 2]) / 3


def details_of(pictures):
    """What is finer than an eighth of the picture, in units of its local contrast."""
    sd_px = FINE * pictures.shape[1]
    fine = pictures - _blurred(pictures, sd_px)
    local = _blurred(_grey(fine**2)[..., None], sd_px)
    return fine / np.sqrt(local + FLAT**2)


def correlation(a, b, weight):
    """Correlate pictures pixel by pixel, weighted; 0 where one of them is flat: shape (n,)."""
    axes = tuple(range(1, a.ndim))
    weight = np.broadcast_to(weight, a.shape)
    total = weight.sum(axis=axes, keepdims=True)
    centred = [x - (weight * x).sum(axis=axes, keepdims=True) / total for x in (a, b)]
    product = lambda x, y: (weight * x * y).sum(axis=axes)
    scale = np.sqrt(product(centred[0], centred[0]) * product(centred[1], centred[1]))
    return np.divide(product(*centred), scale, out=np.zeros(len(a)), where=scale > 1e-3)


def _best_of_each_pair(candidates, pixels):
    """Row numbers of the best candidate of each pair of pictures, in the order of the pairs."""
    pairs = np.sort(candidates[:, :2], axis=1)
    order = np.lexsort((-pixels, pairs[:, 1], pairs[:, 0]))
    first = np.ones(len(order), bool)
    first[1:] = (pairs[order][1:] != pairs[order][:-1]).any(axis=1)
    return order[first]
