"""Captions of reconstructed pictures, by a captioner that sees nothing but the picture."""

import numpy as np

from neurodecode.core.build import build
from neurodecode.core.views import read_table

TABLE = "picture_captions.tsv"


def caption_pictures(node, out):
    """Write `<condition>/picture_captions.tsv`: what is said of each row's chosen picture.

    Parameters
    ----------
    node : dict or None
        Of the captioner, with ``captions(pictures) -> list of str``; None: nothing is written.
    out : neurodecode.core.views.Folder
        Holds every painted condition's ``pictures.npy`` and ``samples.tsv``.
    """
    if node is None:
        return
    captioner = build(node)
    for path in sorted(out.path("selection.json").parent.glob("*/pictures.npy")):
        condition = path.parent.name
        samples = read_table(path.with_name("samples.tsv"))
        table = chosen_captions(captioner, np.load(path, mmap_mode="r"), samples)
        out.save_table(f"{condition}/{TABLE}", table)


def chosen_captions(captioner, pictures, samples):
    """Caption the chosen picture of each row: a table of row_id, sample, caption.

    Parameters
    ----------
    captioner : object
    pictures : ndarray of uint8, shape (n_samples, h, w, 3)
        Rows on disk will do: the chosen ones alone are read.
    samples : DataFrame
        Columns row_id, sample, chosen; a line a picture.
    """
    picked = np.flatnonzero(samples["chosen"].to_numpy(bool))
    table = samples.iloc[picked][["row_id", "sample"]].reset_index(drop=True)
    return table.assign(caption=captioner.captions(np.asarray(pictures[picked])))
