"""Make the README's picture: python scripts/readme_picture.py runs/demo/<finished run>.

Ten test pictures of the gallery drawn by a fixed seed, and below each what was read from the brain.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from neurodecode.core.views import read_table

COLUMNS, SCALE, GAP_PX, LABEL_PX = 10, 2, 6, 26


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of the run, as neurodecode run printed it")
    parser.add_argument("--subject", default="sub-01")
    parser.add_argument("--out", type=Path, default=Path("docs/img/demo.png"))
    options = parser.parse_args()
    originals, read = gallery(options.run, options.subject)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    sheet(originals, read, options.subject).save(options.out, optimize=True)
    print(options.out)


def gallery(run, subject):
    """Originals and chosen reconstructions of the first gallery rows, each a list of pictures."""
    done = json.loads((run / "run.json").read_text(encoding="utf-8"))["done"]
    folders = {(d["stage"], d["each"]): Path(d["folder"]) for d in done}
    made = folders["reconstruct", subject] / "model"
    samples = read_table(made / "samples.tsv")
    counts = samples["row_id"].map(samples["row_id"].value_counts())
    drawn = samples[(counts == counts.max()) & samples["chosen"].astype(bool)].iloc[:COLUMNS]
    stimulus = read_table(folders["predict", subject] / "rows.tsv").set_index("row_id")
    stimulus = stimulus["stimulus_id"]
    paths = read_table(folders["index", None] / "stimuli.tsv").set_index("stimulus_id")["path"]
    root = folders["simulate", None] / "bids"
    pictures = np.load(made / "pictures.npy", mmap_mode="r")
    return [root / paths[stimulus[r]] for r in drawn["row_id"]], [pictures[i] for i in drawn.index]


def sheet(originals, read, subject):
    """Two rows of pictures with a line of text above each."""
    from PIL import Image, ImageDraw, ImageFont

    side = read[0].shape[0] * SCALE
    step = LABEL_PX + side + GAP_PX
    sheet = Image.new("RGB", ((side + GAP_PX) * len(read) - GAP_PX, 2 * step - GAP_PX), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=15)
    labels = ("What was seen", f"What was read from the (simulated) brain of {subject}")
    rows = ([Image.open(p).convert("RGB") for p in originals], map(Image.fromarray, read))
    for i, (label, pictures) in enumerate(zip(labels, rows, strict=True)):
        draw.text((0, i * step + 3), label, fill="#1b1f24", font=font)
        for j, picture in enumerate(pictures):
            large = picture.resize((side, side), Image.Resampling.BICUBIC)
            sheet.paste(large, (j * (side + GAP_PX), i * step + LABEL_PX))
    return sheet


if __name__ == "__main__":
    main()
