"""The model card (README.md) and the contact sheet that lie beside every trained model."""

import numpy as np

from neurodecode.zoo.options import MINUTES

GAP = 4  # pixels between the pictures of a sheet
LEAST_PX = 96  # pictures are enlarged to about this width, pixel by pixel
SHEET = "contact_sheet.png"
LEAK = """\
If pictures of a study's test part are among the training pictures, its reconstructions are no
evidence: name them in `test=FILE`, and they (and their copies) are held out. `zoo.json` lists all
that were.
"""


def target_card(folder, asked, shown, found):
    """Write the card of a trained target."""
    if shown.captions is None:
        how = "two views of each picture are matched (cut to 60-100 %, brightness, contrast)"
        limits = "It was trained without captions: it must not be asked for texts (captions, text\n"
        limits += "metrics), and exact colours and frames are no part of its pooled embedding.\n"
    else:
        how = "pictures are matched with their captions"
        limits = "It knows the words of the captions it was trained on, and no others.\n"
    _write(
        folder,
        "A small CLIP: 64 px pictures to 128 numbers and 16 tokens of 128.",
        asked,
        shown,
        {"training": how, "begun from": _start(asked)},
        found,
        limits,
    )


def generator_card(folder, asked, shown, found, sheet):
    """Write the card and the contact sheet of a generator."""
    limits = (
        "It paints what its training pictures show whatever it is given: a picture alone is no\n"
    )
    limits += "evidence of what was seen; compare with the controls.\n"
    network = f"PixArtTransformer2DModel on pixels, width {asked.width}, {asked.layers} blocks"
    _write(
        folder,
        f"From the image tokens of a target to a {asked.px} x {asked.px} picture.",
        asked,
        shown,
        {"network": network, "target": _target(asked), "begun from": _start(asked)},
        found,
        limits,
        sheet,
    )


def prior_card(folder, asked, shown, found, sheet):
    """Write the card and the contact sheet of a prior."""
    words = "principal components of the tokens"
    if shown.captions is not None:
        words = f"what common words of the captions tell, then {words}"
    _write(
        folder,
        "From a belief about a code of image tokens to tokens that a picture could have.",
        asked,
        shown,
        {"code": words, "target": _target(asked)},
        found,
        "It knows the pictures it was trained on and pictures like them.\n",
        sheet,
    )


def contact_sheet(rows: dict[str, np.ndarray]):
    """Lay rows of pictures (uint8, n of h x w x 3) under one another, each under its name."""
    from PIL import Image, ImageDraw

    first = next(iter(rows.values()))
    times = max(1, LEAST_PX // first.shape[1])
    side, head = times * first.shape[1], 16
    width = max(len(p) for p in rows.values()) * (side + GAP) + GAP
    sheet = Image.new("RGB", (width, len(rows) * (side + head + GAP)), "white")
    pen = ImageDraw.Draw(sheet)
    for i, (name, pictures) in enumerate(rows.items()):
        top = i * (side + head + GAP)
        pen.text((GAP, top + 2), name, fill="black")
        for j, picture in enumerate(pictures):
            large = Image.fromarray(picture).resize((side, side), Image.Resampling.NEAREST)
            sheet.paste(large, (GAP + j * (side + GAP), top + head))
    return sheet


def _write(folder, first, asked, shown, about, found, limits, sheet=None):
    n_held, n_damaged = int(shown.held.sum()), len(shown.folder.skipped)
    about = {
        "data": f"{len(shown.held) - n_held} pictures of {shown.folder.root.name}/; {n_held} more "
        f"were held out; {n_damaged} damaged files left out",
        **about,
        "effort": _effort(asked),
        "licence": "that of the pictures and of the weights it began from: fill in",
    }
    lines = [f"# {folder.name}", "", first, "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in about.items()]
    lines += ["", "```", _command(asked), "```", "", "## Figures", ""]
    lines += ["On held-out pictures, which no training saw.", "", "| figure | |", "|---|---|"]
    lines += [f"| {name} | {_number(value)} |" for name, value in found.items()]
    if any("FID" in name for name in found):
        lines += [
            "",
            "FID and KID are distances in the space of the target's pooled embedding, not those of",
            "Inception: half of the held-out pictures, painted, against the other half. Compare",
            "with the same of true pictures alone: FID grows as sets shrink. Painted in 4 steps,",
            "without guidance.",
        ]
    if sheet:
        contact_sheet(sheet).save(folder / SHEET)
        lines += ["", f"![Held-out pictures: {', '.join(sheet)}]({SHEET})"]
    lines += ["", "## Limits", "", limits, LEAK]
    (folder / "README.md").write_text("\n".join(lines), encoding="utf-8")


def _command(asked):
    from dataclasses import fields

    given = [
        f"{f.name}={_word(getattr(asked, f.name))}"
        for f in fields(asked)
        if f.name == "pictures" or getattr(asked, f.name) != f.default
    ]
    return "neurodecode train-zoo " + " ".join(given)


def _word(value):
    return f"[{','.join(value)}]" if isinstance(value, tuple) else value


def _effort(asked):
    steps = f"{asked.steps} steps" if asked.steps else ""
    minutes = f"{asked.minutes:g} minutes" if asked.minutes else ""
    said = " or ".join(part for part in (steps, minutes) if part) or f"{MINUTES:g} minutes"
    return f"at most {said}, batches of {asked.batch}, peak rate {asked.rate:g}, seed {asked.seed}"


def _start(asked):
    return "random weights" if asked.start == "none" else asked.start


def _target(asked):
    return "clip/ beside it" if "clip" in asked.parts else asked.clip


def _number(value):
    return f"{value:.4g}" if isinstance(value, float) else value
