"""Judge what was trained by the held-out pictures; write its model card and contact sheet.

Held-out pictures were seen by no training. Distances of sets compare pictures painted from one half
of them with the true ones of the other half, beside the true ones of both: what a perfect generator
would earn. (Painted from the same pictures, they would be nearer than any other set can be.)
"""

import logging
import os

import numpy as np

from neurodecode.core.seeds import child_rng
from neurodecode.zoo import figures
from neurodecode.zoo.card import generator_card, prior_card, target_card
from neurodecode.zoo.options import target_node

log = logging.getLogger("neurodecode")
N_SHEET = 12
N_RETRIEVAL = 500


def judge_clip(asked, shown, out):
    """Score the trained target: captions found, or another view of a picture."""
    import torch

    from neurodecode.core.build import build
    from neurodecode.zoo.clip import view
    from neurodecode.zoo.pictures import squares
    from neurodecode.zoo.trainer import as_input

    target = build(target_node(asked, out))
    rows = _judged(asked, shown, N_RETRIEVAL)
    found = {}
    if shown.captions is not None:
        rows = np.array([row for row in rows if shown.captions[row]], int)
    pictures = squares(shown.folder, 64)[rows]
    if shown.captions is not None and len(rows):
        words = [shown.captions[row] for row in rows]
        pooled, spoken = target.pictures(pictures)[0], target.texts(words)
        best, said = (pooled @ spoken.T).argmax(axis=1), np.array(words)
        found["captions found, share of pictures"] = float(np.mean(said[best] == said))
        found["chance of that"] = float(np.mean([(said == word).mean() for word in said]))
    elif len(rows):
        x = as_input(torch.from_numpy(pictures))
        rng = torch.Generator().manual_seed(asked.seed)
        one, other = (target.embed(y.to(asked.device))[0].cpu().numpy() for y in (x, view(x, rng)))
        one, other = (y / np.linalg.norm(y, axis=1, keepdims=True) for y in (one, other))
        found["other views found, share of pictures"] = float(
            np.mean((one @ other.T).argmax(axis=1) == np.arange(len(one)))
        )
        found["chance of that"] = 1 / len(rows)
    found["held-out pictures judged"] = len(rows)
    target_card(out / "clip", asked, shown, found)
    return found


def judge_generator(asked, shown, out):
    """Score pictures painted from the true tokens of held-out pictures."""
    from neurodecode.core.build import build
    from neurodecode.diffusion.generator import TokenGenerator

    node = target_node(asked, out)
    pooled, tokens = shown.seen(node)
    rows = _judged(asked, shown)
    generator = TokenGenerator(str(out / "generator"), device=asked.device)
    made = generator.generate(tokens[rows], list(range(len(rows))))
    true = shown.folder.pictures[rows]
    found = figures.likeness(made, true)
    found |= _distances(build(node).pictures(made)[0], pooled[rows])
    found["ms per picture"] = figures.ms_per_picture(generator, tokens[rows][:64])
    found |= {"held-out pictures judged": len(rows), "measured on": _machine(asked)}
    sheet = {"true": true[:N_SHEET], "from true tokens": made[:N_SHEET]}
    generator_card(out / "generator", asked, shown, found, sheet)
    return found


def judge_prior(asked, shown, out):
    """Score tokens spelt out from true codes, and pictures drawn without any brain."""
    import torch

    from neurodecode.core.build import build
    from neurodecode.diffusion.latent_prior import pretrained

    node = target_node(asked, out)
    pooled, tokens = shown.seen(node)
    rows = _judged(asked, shown)
    prior = pretrained(str(out / "prior"), *tokens.shape[1:])
    true = (torch.from_numpy(tokens[rows]) - prior.mean) / prior.std
    with torch.no_grad():
        spelt = prior.decoder(prior.read(true)).unflatten(1, prior.mean.shape)
    error = (spelt - true).square().mean() / (true - true.mean(dim=0)).square().mean()
    found = {"components": float(prior.readout.shape[1])}
    found["variance of held-out tokens told by their code"] = 1 - float(error)
    sheet = {}
    if (generator := _generator_of(asked, out, tokens.shape[2])) is not None:
        seeds = list(range(len(rows)))
        natural = lambda t: (t * prior.std + prior.mean).numpy()
        painted = generator.generate(natural(spelt), seeds)
        drawn = generator.generate(natural(prior.sample(None, seeds, 12)), seeds)
        own = shown.folder.pictures[rows]
        if painted.shape == own.shape:
            told = figures.likeness(painted, own)
            found |= {f"{k} from true codes": v for k, v in told.items()}
        distances = _distances(build(node).pictures(drawn)[0], pooled[rows])
        both = {k: k if "true" in k else f"{k}, drawn without a brain" for k in distances}
        found |= {both[k]: v for k, v in distances.items()}
        sheet = {"true": own, "from true codes": painted, "drawn without a brain": drawn}
        sheet = {name: some[:N_SHEET] for name, some in sheet.items()}
    found |= {"held-out pictures judged": len(rows), "measured on": _machine(asked)}
    prior_card(out / "prior", asked, shown, found, sheet)
    return found


def _judged(asked, shown, most=None):
    """Rows of held-out pictures, at most so many, in random order."""
    rows = child_rng(asked.seed, "judged").permutation(np.flatnonzero(shown.held))
    return rows[: min(asked.judged, most or asked.judged)]


def _distances(made, true):
    """FID and KID in the target's space against the second half; of the made, and the true ones."""
    half = len(true) // 2
    found = {}
    for name, some in (("", made[:half]), (" of true pictures", true[:half])):
        found[f"FID in the target's space{name}"] = figures.frechet_distance(some, true[half:])
        found[f"KID in the target's space{name}"] = figures.kernel_distance(some, true[half:])
    return found


def _generator_of(asked, out, token_dim):
    """The generator trained here, else the shipped one if it takes these tokens, else None."""
    from neurodecode.diffusion.generator import TokenGenerator

    own = out / "generator"
    path = str(own) if (own / "model_index.json").is_file() else "shipped:generator"
    generator = TokenGenerator(path, device=asked.device)
    return generator if generator.token_shape[1] == token_dim else None


def _machine(asked):
    if asked.device == "cpu":
        import torch

        return f"a CPU, {torch.get_num_threads()} threads of {os.cpu_count()}"
    import torch

    return torch.cuda.get_device_name()
