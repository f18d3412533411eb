"""Brain-IT: vertices of all subjects meet in functional clusters, and query tokens read these [1]_.

The clusters are fitted before the training, on training trials alone (`BrainIT.prepare`). Two
branches, each a transformer of its own with embeddings of vertices of its own, read them: the
semantic one answers image tokens, the structural one the low-level picture, patch by patch.

A new subject needs no weights but the embeddings of its vertices: each begins as the known vertex
that is tuned most like it, in whose cluster it is.

Published, the structural branch answers features of a VGG network, and a network that is fitted to
each picture inverts them; here it answers the low-level target that the study has.

References
----------
.. [1] Beliy et al. (2026). Brain-IT: image reconstruction from fMRI via brain-interaction
   transformer. ICLR (arXiv 2510.25976).
"""

import numpy as np
import torch
from torch import Tensor, nn

from neurodecode.core.ranges import Count, CountOrNone, NotNegative
from neurodecode.models.base import BrainOutput, Sizes
from neurodecode.models.bit import BIT, token_contrast
from neurodecode.models.heads import check_trials
from neurodecode.models.tuning import Tuning, freeze_again
from neurodecode.models.voxel_clusters import (
    Covariance,
    mixture_clusters,
    nearest,
    principal_axes,
    tuning_vectors,
)

EVERYBODY = "all"  # whose vertices a published checkpoint has: it does not say


class Branch(nn.Module):
    """A transformer and its embeddings of every subject's vertices."""

    def __init__(self, channels: dict[str, int], dim: int, **bit):
        super().__init__()
        self.bit = BIT(dim=dim, **bit)
        self.voxel_embed = nn.ParameterDict(
            {s: nn.Parameter(torch.randn(n, dim)) for s, n in channels.items()}
        )

    def forward(self, activation: Tensor, subject: str, cluster: Tensor, drawn) -> Tensor:
        """Query tokens of trials, (n_trials, out_tokens, dim), before the last layer."""
        embed = self.voxel_embed[subject][None]
        return self.bit.queried(embed, activation, cluster[None], drawn)


class Vertices(nn.Module):
    """What is known of one subject's vertices: cluster and tuning."""

    def __init__(self, n: int, tuning_dim: int):
        super().__init__()
        self.register_buffer("cluster", torch.zeros(n, dtype=torch.int64))
        self.register_buffer("tuning", torch.zeros(n, tuning_dim))


class BrainIT(nn.Module):
    """Brain-IT as a network of this package.

    Parameters
    ----------
    sizes : Sizes
    dim : int
        Width of all tokens.
    centres : int
        Clusters, and brain tokens.
    heads, blocks : int
        Of the transformers.
    drawn : int
        Vertices that are drawn anew for each trial in training, with replacement; 0: all, always.
    tuning_dim : int
        Numbers that say what a vertex answers to; at most as many as the pooled embedding has.
    covariance : {"full", "tied", "diag", "spherical"}
        Of the clusters.
    semantic, structural : bool
        Which branches there are. Without the semantic one, tokens are read linearly from what the
        structural one found, as the pooled embedding is, so that its pictures can be compared.
    patch : int
        Side of the low-level picture's patches.
    structural_contrast : float
        Weight of `token_contrast` of patches, beside the error of the low-level picture.
    contrast : bool
        Whether the loss of the pooled embedding trains the transformers too; False: it trains the
        layer that reads the embedding and nothing else. As published nothing is contrasted.
    new_subject : str or None
        A subject that the network is tuned to once it knows the others; None: all at once.
    source_epochs : int
        Epochs, from the first, in which the others are learnt; 0: they come trained, train.start.
    """

    def __init__(
        self,
        sizes: Sizes,
        dim: Count = 512,
        centres: Count = 128,
        heads: Count = 8,
        blocks: CountOrNone = 5,
        drawn: CountOrNone = 15000,
        tuning_dim: Count = 256,
        covariance: Covariance = "full",
        semantic: bool = True,
        structural: bool = True,
        patch: Count = 4,
        structural_contrast: NotNegative = 0.0,
        contrast: bool = False,
        new_subject: str | None = None,
        source_epochs: CountOrNone = 0,
    ):
        super().__init__()
        _check(sizes, semantic, structural, patch)
        self.sizes, self.drawn, self.covariance, self.patch = sizes, drawn, covariance, patch
        self.centres, self.contrast = centres, contrast
        self.structural_contrast = structural_contrast
        how = {"dim": dim, "centres": centres, "heads": heads, "blocks": blocks}
        branch = lambda tokens, width: Branch(
            sizes.channels, **how, out_tokens=tokens, out_dim=width
        )
        self.semantic = branch(sizes.n_tokens, sizes.token_dim) if semantic else None
        self.structural = branch(*_patches(sizes.blurry, patch)) if structural else None
        self.pooled = nn.Linear(dim, sizes.dim)
        reads = sizes.n_tokens and not semantic
        self.tokens = nn.Linear(dim, sizes.token_dim) if reads else None
        grid = (sizes.n_tokens, sizes.token_dim)
        self.places = nn.Parameter(torch.zeros(grid)) if reads else None
        n_axes = min(tuning_dim, sizes.dim)
        self.register_buffer("axes", torch.zeros(n_axes, sizes.dim))
        self.register_buffer("mean", torch.zeros(sizes.dim))
        self.vertices = nn.ModuleDict({s: Vertices(n, n_axes) for s, n in sizes.channels.items()})
        self.tuning = Tuning(list(sizes.channels), new_subject, source_epochs)
        self.register_load_state_dict_post_hook(freeze_again)
        self._said = {}

    def prepare(
        self,
        responses: dict[str, np.ndarray],
        targets: dict[str, dict[str, np.ndarray]],
        groups: dict[str, np.ndarray],
        seed: int,
    ) -> None:
        """Find the clusters of vertices, from training trials; of a new subject after the others.

        What came with a trained network stays as it is.

        Parameters
        ----------
        responses : dict of ndarray, shape (n_trials, n_channels)
            Of each subject.
        targets : dict of dict of ndarray
            Of each subject, by name; ``pooled``, (n_trials, dim), is looked at.
        groups : dict of ndarray, shape (n_trials,)
            The run of each trial, which does not matter here.
        seed : int
        """
        targets = {s: of["pooled"] for s, of in targets.items()}
        new = self.tuning.new_subject
        known = [s for s in responses if s != new]
        if not bool(self.axes.any()):
            everything = np.concatenate([targets[s] for s in known])
            self._keep("mean", "axes", *principal_axes(everything, len(self.axes), seed % 2**32))
        for s in responses:
            own = self.vertices[s]
            if not bool(own.tuning.any()):
                features = (targets[s] - self.mean.numpy()) @ self.axes.numpy().T
                own.tuning.copy_(torch.from_numpy(tuning_vectors(responses[s], features)))
        if not any(bool(self.vertices[s].cluster.any()) for s in known):
            tuning = np.concatenate([self.vertices[s].tuning.numpy() for s in known])
            found = mixture_clusters(tuning, self.centres, self.covariance, seed)
            first = 0
            for s in known:
                n = len(self.vertices[s].cluster)
                self.vertices[s].cluster.copy_(torch.from_numpy(found[first : first + n]))
                first += n
        if new is not None:
            self.vertices[new].cluster.copy_(self._of_likest("cluster"))

    def forward(self, responses: Tensor, subject: str) -> BrainOutput:
        """Decode trials of one subject, (n_trials, n_channels of this subject)."""
        check_trials(responses, subject, self.sizes)
        cluster, drawn = self.vertices[subject].cluster, self._draw(responses)
        read = lambda branch: branch(responses, subject, cluster, drawn)
        tokens, blurry, code = None, None, None
        if self.structural is not None:
            code = read(self.structural)
            patches = self.structural.bit.proj(code)
            if self.training and self.structural_contrast:
                self._said[subject] = patches
            blurry = picture_of(patches, self.sizes.blurry, self.patch)
        if self.semantic is not None:
            code = read(self.semantic)
            tokens = self.semantic.bit.proj(code)
        code = code.mean(dim=1) if self.contrast else code.mean(dim=1).detach()
        if self.tokens is not None:
            tokens = self.tokens(code)[:, None] + self.places
        output = BrainOutput(tokens, self.pooled(code), blurry)
        return self.tuning.withheld(output, subject) if self.training else output

    def own_costs(
        self, responses: dict[str, Tensor], wanted: dict[str, dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """The contrast of low-level patches, of the answers to these trials, already weighted."""
        said, self._said = self._said, {}
        said = {s: patches for s, patches in said.items() if s in self.tuning.learning()}
        if not said:
            return {}
        true = [patches_of(wanted[s]["blurry"], self.patch) for s in said]
        cost = token_contrast(torch.cat([*said.values()]), torch.cat(true))
        return {"structure": self.structural_contrast * cost}

    def after_epoch(self, epoch: int) -> None:
        """Begin to tune to the new subject when the others are learnt; epochs count from 0."""
        if self.tuning.is_due(epoch):
            self.begun()

    def begun(self, random: set[str] | None = None) -> None:
        """Give a new subject's vertices the embeddings of those tuned likest; freeze the others.

        Parameters
        ----------
        random : set of str, optional
            Parameters that a start left random: embeddings that came with it stay. None: all are.
        """
        self.tuning.begin()
        new = self.tuning.new_subject
        for name in ("semantic", "structural") if new is not None else ():
            branch, key = getattr(self, name), f"{name}.voxel_embed.{new}"
            if branch is not None and (random is None or key in random):
                with torch.no_grad():
                    branch.voxel_embed[new].copy_(self._of_likest("voxel_embed", branch))
        freeze_again(self)

    def tuned(self) -> list[nn.Parameter]:
        """What is trained of a new subject."""
        return [branch.voxel_embed[self.tuning.new_subject] for branch in self._branches()]

    def _branches(self):
        return [branch for branch in (self.semantic, self.structural) if branch is not None]

    def _draw(self, responses):
        """Which vertices are linked in each trial; None: all. One drawn twice is linked once."""
        n = responses.shape[1]
        if not self.training or not self.drawn or self.drawn >= n:
            return None
        places = torch.randint(n, (len(responses), self.drawn), device=responses.device)
        drawn = torch.zeros(responses.shape, dtype=torch.bool, device=responses.device)
        return drawn.scatter_(1, places, True)

    def _of_likest(self, what, branch=None):
        """Cluster or embedding of the known vertex tuned most like each of the new subject's."""
        new = self.tuning.new_subject
        known = [s for s in self.sizes.channels if s != new]
        tuning = {s: self.vertices[s].tuning.cpu().numpy() for s in self.sizes.channels}
        likest = nearest(tuning[new], np.concatenate([tuning[s] for s in known]))
        values = [
            self.vertices[s].cluster if branch is None else branch.voxel_embed[s] for s in known
        ]
        return torch.cat(values)[torch.from_numpy(likest).to(values[0].device)]

    def _keep(self, first, second, *arrays):
        for name, array in zip((first, second), arrays, strict=True):
            getattr(self, name).copy_(torch.from_numpy(array))


def _check(sizes, semantic, structural, patch):
    if not (semantic or structural):
        raise ValueError("semantic and structural are both false: one branch at least is needed")
    if sizes.n_times:
        raise ValueError("this network reads one number per channel, and the trials have times")
    if semantic and not sizes.n_tokens:
        raise ValueError("the embedding has no tokens for the semantic branch: semantic=false")
    if structural and not sizes.blurry:
        raise ValueError("the study has no low-level target: structural=false")
    if structural and any(side % patch for side in sizes.blurry[:2]):
        raise ValueError(
            f"the low-level picture of {sizes.blurry[0]} × {sizes.blurry[1]} cannot be cut into "
            f"patches of {patch} × {patch}: choose another patch"
        )


def _patches(shape, patch):
    height, width, n_layers = shape
    return (height // patch) * (width // patch), patch * patch * n_layers


def patches_of(pictures: Tensor, patch: int) -> Tensor:
    """Cut pictures (n, height, width, c) into patches: (n, n_patches, patch² c), row by row."""
    cut = pictures.unflatten(2, (-1, patch)).unflatten(1, (-1, patch))  # n, rows, p, columns, p, c
    return cut.transpose(2, 3).flatten(3).flatten(1, 2)


def picture_of(patches: Tensor, shape: tuple[int, int, int], patch: int) -> Tensor:
    """Put patches together again: the inverse of `patches_of`."""
    height, width, n_layers = shape
    grid = patches.unflatten(1, (height // patch, width // patch)).unflatten(
        3, (patch, patch, n_layers)
    )
    return grid.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def published(state: dict[str, tuple[int, ...]], heads: int = 8) -> tuple[BrainIT, dict[str, str]]:
    """Find the network of a published checkpoint's semantic branch, on the meta device.

    The vertices of all subjects are one subject's, ``all``: a checkpoint does not say whose they
    are. Its clusters stand in another file.

    Parameters
    ----------
    state : dict of tuple
        Names and shapes of the checkpoint's tensors, with the prefix ``gnn_model.`` or without.
    heads : int
        Of the transformer: no shape tells it.

    Returns
    -------
    network : BrainIT
        Without the layer that reads the pooled embedding: there is none as published.
    renamed : dict of str
        Names in the network by names in the checkpoint.

    Raises
    ------
    ValueError
        If the layout is another one; the message names what is missing.
    """
    keys = {k.removeprefix("gnn_model."): k for k in state if not k.startswith("diffusion_engine.")}
    needed = ("voxel_embed", "centers", "pred_tokens", "proj.weight", "blocks.0.attn.qkv.weight")
    missing = [name for name in needed if name not in keys]
    if missing:
        raise ValueError(f"this is no Brain-IT checkpoint: it has no {', '.join(missing)}")
    shape = lambda name: tuple(state[keys[name]])
    (n_voxels, dim), (centres, _) = shape("voxel_embed"), shape("centers")
    n_tokens, token_dim = shape("pred_tokens")[0], shape("proj.weight")[0]
    sizes = Sizes({EVERYBODY: n_voxels}, token_dim, n_tokens, token_dim)
    blocks = len({k.split(".")[1] for k in keys if k.startswith("blocks.")})
    with torch.device("meta"):
        network = BrainIT(sizes, dim, centres, heads, blocks, structural=False)
    network.pooled = None
    ours = network.state_dict()
    names = {k: f"semantic.{'' if k == 'voxel_embed' else 'bit.'}{k}" for k in keys}
    names["voxel_embed"] += f".{EVERYBODY}"
    return network, {keys[k]: name for k, name in names.items() if name in ours}
