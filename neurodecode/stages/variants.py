"""Variants of the model's pictures, each without one part: what does the low-level picture add?

They are painted from the same decoded answers, with the tokens and the noise of each row's chosen
sample, so that a difference to the full picture is the missing part's alone. The true picture has
no part in them.
"""

from dataclasses import replace
from functools import partial

import numpy as np

from neurodecode.core.build import build
from neurodecode.core.growing import Growing
from neurodecode.stages import reconstruct

OF = "model"  # the condition whose pictures they vary
ABOUT = {
    "semantic_only": "The same tokens and noise, begun from noise alone: no low-level picture.",
    "structure_only": "Begun from the low-level picture, with tokens of no brain.",
    "merged": "The full picture with the low-level picture merged into it (reconstruct.merge).",
    "low_level_only": "The low-level picture, enlarged: no generator.",
}
LINES = ["row_id", "sample", "chosen"]


def paint_variants(config, generator, inputs, samples, out):
    """Paint every variant of one subject's pictures, one a row, in folders of their own.

    Parameters
    ----------
    config : ReconstructConfig
    generator : neurodecode.diffusion.generator.Generator
    inputs : View
        Of predict: ``model/`` and the tokens of ``prior_only/`` are read.
    samples : DataFrame
        Of the model, with the column chosen; its pictures lie in ``out``.
    out : Folder
        Takes ``{variant}/pictures.npy``, ``{variant}/samples.tsv`` and ``variants.json``.
    """
    names = wanted(config, inputs)
    picked = samples[samples["chosen"]]
    for name in names:
        made = Growing(out.work, name, len(picked))
        paint = lambda some, f=PAINT[name]: {
            "pictures": f(config, generator, inputs, picked, some, out)
        }
        progress = partial(out.progress, label=f"{name}: pictures, in batches")
        made.fill(config.batch, paint, progress)
        made.give("pictures", out.path(f"{name}/pictures.npy"))
        out.save_table(f"{name}/samples.tsv", picked[LINES])
    about = [{"name": name, "of": OF, "about": ABOUT[name]} for name in names]
    out.save_json("variants.json", about)


def wanted(config, inputs):
    """Name the variants to paint: those asked for, else all for which there is what they need.

    Raises
    ------
    ValueError
        For an unknown variant, or one that lacks what it needs.
    """
    lacks = {name: lacking(name, config, inputs.files("predict")) for name in ABOUT}
    if config.variants is None:
        return [name for name, reason in lacks.items() if not reason]
    if strangers := sorted(set(config.variants) - set(ABOUT)):
        raise ValueError(
            f"reconstruct.variants names {', '.join(strangers)}: there are {', '.join(ABOUT)}"
        )
    names = [name for name in ABOUT if name in config.variants]
    if missing := next((name for name in names if lacks[name]), None):
        raise ValueError(f"reconstruct.variants names {missing}: {lacks[missing]}")
    return names


def lacking(name, config, files):
    """Why a variant cannot be told from the full picture, or made; "" where it can."""
    if f"{OF}/blurry.npy" not in files:
        return "the decoder says no low-level picture"
    begins = OF in config.start_from and config.strength < 1
    if name in ("semantic_only", "structure_only") and not begins:
        return "the full picture does not begin from the low-level one (strength, start_from)"
    if name == "structure_only" and "prior_only/tokens.npy" not in files:
        return "there are no tokens of prior_only"
    return ""


def semantic_only(config, generator, inputs, picked, some, out):
    """Paint as the full picture, from noise alone."""
    said = _said(inputs, picked, some)
    return reconstruct.generate(replace(config, strength=1.0), generator, OF, picked[some], said)


def structure_only(config, generator, inputs, picked, some, out):
    """Paint from the low-level picture, with tokens (and words) that no brain said."""
    said, nothing = _said(inputs, picked, some), _said(inputs, picked, some, "prior_only")
    told = lambda part: said(part) if part == "blurry" else nothing(part)
    return reconstruct.generate(config, generator, OF, picked[some], told)


def merged(config, generator, inputs, picked, some, out):
    """Merge the low-level picture into the full one."""
    full = np.load(out.path(f"{OF}/pictures.npy"), mmap_mode="r")[picked.index[some]]
    return build(config.merge)(full, _said(inputs, picked, some)("blurry"))


def low_level_only(config, generator, inputs, picked, some, out):
    """Enlarge the low-level picture."""
    from neurodecode.diffusion.merging import enlarged, grey_levels

    size = (generator.picture_px, generator.picture_px)
    return grey_levels(enlarged(_said(inputs, picked, some)("blurry"), size))


PAINT = {f.__name__: f for f in (semantic_only, structure_only, merged, low_level_only)}


def _said(inputs, picked, some, condition=OF):
    """What predict said of some rows: ``said(part)``, tokens of their chosen sample.

    Of other conditions than the model, which have one sample a row, that one.
    """
    rows = np.arange(len(picked))[some]
    lines = picked.index[some] if condition == OF else rows

    def said(part):
        return reconstruct.said_of(inputs, condition, part)[lines if part == "tokens" else rows]

    return said
