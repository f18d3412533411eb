"""`neurodecode train-zoo`: a target, a generator and a prior of a user's own pictures.

The parts are trained one after the other, each from what the one before left on disk. `zoo.json`
says what is done; what is under way lies in `training/`, so that the same command goes on after a
kill.
"""

import logging
import shutil
from collections import Counter
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

import numpy as np

from neurodecode.core.build import build
from neurodecode.core.checks import dataclass_from
from neurodecode.core.documents import read_json
from neurodecode.core.errors import ConfigError
from neurodecode.core.key import digest
from neurodecode.core.sealed import write_json
from neurodecode.zoo.options import MINUTES, ORDER, Zoo, check, target_node, use_line

log = logging.getLogger("neurodecode")
RECORD, TRAINING = "zoo.json", "training"
CLIP_PX = 64
SEEN_PX = 256  # targets see no more of a picture: most scale it to less
BATCH_PRIOR, RATE_PRIOR = 1024, 2e-3  # its networks are small


def train_zoo(choice: str | None = None, **options) -> str:
    """Train the parts that are asked for; return what is printed at the end.

    Parameters
    ----------
    choice : str or None
        The choice of conf/embed that names the target, if one does: for what is printed.
    **options
        The fields of `Zoo`.

    Raises
    ------
    ConfigError, ValueError, FileNotFoundError
        For options and files that do not fit.
    Stopped
        When told to stop; the same command goes on.
    """
    from neurodecode.zoo.judge import judge_clip, judge_generator, judge_prior

    if options.get("pictures") is None:
        raise ConfigError("train-zoo needs a folder of pictures: give pictures=DIR")
    asked = dataclass_from(options, Zoo, "train-zoo")
    check(asked)
    out = Path(asked.out).expanduser()
    shown = read(asked)
    done = begun(asked, shown, out)
    work = {"clip": (_clip, judge_clip), "generator": (_generator, judge_generator)}
    work["prior"] = (_prior, judge_prior)
    for part in (p for p in ORDER if p in asked.parts):
        if part in done["figures"]:
            log.info("%s: done already", part)
            continue
        train, judge = work[part]
        log.info("%s: training on %d pictures", part, (~shown.held).sum())
        train(asked, shown, out)
        done["figures"][part] = judge(asked, shown, out)
        write_json(out / RECORD, done)
        log.info("%s: %s", part, ", ".join(_said(done["figures"][part])))
    shutil.rmtree(out / TRAINING, ignore_errors=True)
    return f"models, cards and contact sheets: {out}\n{use_line(asked, out, choice)}"


class Shown:
    """The pictures, which of them are held out, and what is said of them."""

    def __init__(self, folder, held, captions):
        self.folder, self.held, self.captions = folder, held, captions
        self._seen = {}

    def seen(self, node: dict) -> tuple[np.ndarray, np.ndarray]:
        """Pooled rows and tokens of all pictures by a target, computed once."""
        key = digest(node)
        if key not in self._seen:
            self._seen[key] = embedded(build(node), self.folder)
        return self._seen[key]


def read(asked: Zoo) -> Shown:
    """Read the folder, put copies together and hold a tenth out."""
    from neurodecode.zoo import pictures as reading

    folder = reading.read_folder(asked.pictures, asked.px, asked.damaged == "skip")
    groups = reading.groups_of_copies(folder.thumbnails, asked.duplicates == "near")
    also = reading.rows_of_table(asked.test, folder) if asked.test else []
    held = reading.hold_out(groups, asked.seed, also=also)
    captions = reading.read_captions(asked.captions, folder) if asked.captions else None
    log.info(
        "%d pictures, %d of them copies of others; %d are held out",
        len(held),
        len(held) - groups.max() - 1,
        held.sum(),
    )
    return Shown(folder, held, captions)


def begun(asked: Zoo, shown: Shown, out: Path) -> dict:
    """What is done already in the folder; write the record of a new one.

    Raises
    ------
    ConfigError
        If it is of other settings or pictures, naming those that differ.
    """
    settings = asdict(asked) | {"parts": list(asked.parts)}
    for name in ("out", "device"):
        settings.pop(name)
    settings["pictures_digest"] = sha256(shown.folder.pictures.tobytes()).hexdigest()
    settings["names_digest"] = digest(shown.folder.names)
    settings["captions_digest"] = digest(shown.captions)
    if (out / RECORD).is_file():
        done = read_json(out / RECORD)
        before = done.get("settings") or {}
        if differ := sorted(k for k in settings if settings[k] != before.get(k)):
            raise ConfigError(
                f"{out} holds a training with other {', '.join(differ)}: give another out=, or "
                "remove it"
            )
        return done
    (out / TRAINING).mkdir(parents=True, exist_ok=True)
    done = {"settings": settings, "figures": {}}
    done["held_out"] = [n for n, h in zip(shown.folder.names, shown.held, strict=True) if h]
    write_json(out / RECORD, done)
    return done


def embedded(target, folder) -> tuple[np.ndarray, np.ndarray]:
    """Pooled rows and tokens of the pictures of a folder, from their files."""
    from neurodecode.data.stimuli import picture_size, square_picture

    pooled, tokens = [], []
    sides = [min(*picture_size(folder.root / name), SEEN_PX) for name in folder.names]
    for first in range(0, len(sides), 128):
        rows = range(first, min(first + 128, len(sides)))
        some = {}
        for side in {sides[i] for i in rows}:
            own = [i for i in rows if sides[i] == side]
            squares = [square_picture(folder.root / folder.names[i], side) for i in own]
            some |= dict(
                zip(own, zip(*target.pictures(np.stack(squares)), strict=True), strict=True)
            )
        pooled += [some[i][0] for i in rows]
        tokens += [some[i][1] for i in rows]
    return np.stack(pooled), np.stack(tokens)


def effort(asked: Zoo, share: float = 1.0, **other):
    """Steps and minutes of a part, or of a share of it."""
    from neurodecode.zoo.trainer import Effort

    minutes = asked.minutes or (None if asked.steps else MINUTES)
    given = {"batch": asked.batch, "rate": asked.rate} | other
    return Effort(
        steps=asked.steps or 1_000_000,
        minutes=minutes and share * minutes,
        device=asked.device,
        seed=asked.seed,
        **given,
    )


def _clip(asked, shown, out):
    import open_clip
    import torch

    from neurodecode.zoo.clip import SHIPPED, save_model_files, train_clip
    from neurodecode.zoo.pictures import squares

    torch.manual_seed(asked.seed)
    folder, said = out / "clip", shown.captions
    start = _start(asked, "clip", SHIPPED)
    rows = np.flatnonzero(
        ~shown.held if said is None else ~shown.held & np.array(list(map(bool, said)))
    )
    texts = which = None
    words = sorted({said[row] for row in rows}) if said else ["picture"]
    save_model_files(folder, words, start)
    if said:
        if len(rows) < 2:
            raise ConfigError(f"{asked.captions} says something of {len(rows)} training pictures")
        texts = open_clip.get_tokenizer(f"local-dir:{folder}")(words).to(asked.device)
        number = {word: i for i, word in enumerate(words)}
        which = torch.tensor([number[said[row]] for row in rows], device=asked.device)
    pictures = torch.from_numpy(squares(shown.folder, CLIP_PX)[rows]).to(asked.device)
    state = out / TRAINING / "clip.state"
    train_clip(folder, pictures, texts, which, effort(asked), start=start, state=state)


def _generator(asked, shown, out):
    import torch

    from neurodecode.zoo.generator import begin_from, network, save_generator, train_generator

    torch.manual_seed(asked.seed)
    tokens = shown.seen(target_node(asked, out))[1]
    model = network(asked.px, tokens.shape[2], asked.width, asked.layers)
    if (start := _start(asked, "generator", "shipped:generator")) is not None:
        log.info("%.1f %% of the parameters are those of %s", 100 * begin_from(model, start), start)
    on_device = lambda values: torch.from_numpy(values[~shown.held]).to(asked.device)
    trained = train_generator(
        model.to(asked.device),
        on_device(shown.folder.pictures),
        on_device(tokens),
        effort(asked),
        edges=asked.edges,
        compiled=asked.compile,
        state=out / TRAINING / "generator.state",
    )
    save_generator(trained, out / "generator")


def _prior(asked, shown, out):
    import torch

    from neurodecode.diffusion.latent_prior import save
    from neurodecode.zoo import prior as training

    torch.manual_seed(asked.seed)
    tokens = torch.from_numpy(shown.seen(target_node(asked, out))[1][~shown.held])
    words = word_table(shown.captions, ~shown.held)
    prior, n_told = training.with_code(tokens, words, asked.components)
    tokens = ((tokens - prior.mean) / prior.std).to(asked.device)
    prior = prior.to(asked.device)
    code = torch.cat([prior.read(some) for some in tokens.split(1000)])
    half = effort(asked, 0.5, batch=BATCH_PRIOR, rate=RATE_PRIOR)
    state = out / TRAINING
    prior.decoder = training.train_decoder(prior, code, tokens, half, state / "decoder.state")
    prior.denoiser = training.train_denoiser(prior, code, n_told, half, state / "denoiser.state")
    save(prior, out / "prior")


def word_table(captions, rows, most: int = 64) -> np.ndarray:
    """Which common words each caption has: (n, n_words) of 0 and 1; no column without captions.

    Parameters
    ----------
    captions : list of (str or None), or None
    rows : ndarray of bool
        The pictures that count.
    most : int
        Words kept: the most frequent of those in 2 to 98 % of the captions.
    """
    n = int(rows.sum())
    if captions is None:
        return np.zeros((n, 0), np.float32)
    said = [set((captions[i] or "").lower().split()) for i in np.flatnonzero(rows)]
    counts = Counter(word for words in said for word in words)
    common = [word for word, c in counts.items() if 0.02 * n <= c <= 0.98 * n]
    common = sorted(common, key=lambda word: (-counts[word], word))[:most]
    there = [[word in words for word in common] for words in said]
    return np.array(there, np.float32).reshape(n, len(common))


def _start(asked, part, shipped):
    if asked.start == "none":
        return None
    return shipped if asked.start == "shipped" else str(Path(asked.start).expanduser() / part)


def _said(figures):
    return (f"{name} {value:.3g}" for name, value in figures.items() if isinstance(value, float))
