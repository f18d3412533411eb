"""MindBridge: one network for all subjects, each with a way in and a way back to the brain [1]_.

    x   = voxels of any subject, pooled to one size in the order in which they lie
    e_s = Embedder_s(x)        each subject's own: adapter, linear layer
    z   = Translator(e_s)      shared residual blocks
    Head_image(z), Head_text(z)
    x'  = Builder_s(e_s)       each subject's own, back to its voxels: `pseudo_responses`

Beside the losses of the heads, a brain rebuilt from its own embedding should be the brain that was
measured (reconstruction), and the embedding of a brain built for somebody else the one it was built
from (cycle).

Reset-tuning teaches a trained network a new subject: all is frozen but the embedder and the builder
of the new subject, and the cycle leads from the others to them.

References
----------
.. [1] Wang et al. (2024). MindBridge: a cross-subject brain decoding framework. CVPR. Defaults of
   `MindBridge` are those of its released model.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurodecode.core.ranges import Count, CountOrNone, NotNegative
from neurodecode.models.base import BrainOutput, Sizes
from neurodecode.models.heads import check_trials
from neurodecode.models.tuning import Tuning, freeze_again

Pooling = Literal["max", "avg", "resize"]
NSDGENERAL = (15724, 14278, 15226, 13153, 13039, 17907, 12682, 14386)  # voxels of subjects 1 to 8


def pooled_to(responses: Tensor, size: int, how: Pooling = "max") -> Tensor:
    """Bring voxels of any number to one size, keeping their order.

    Bin i of `size` spans voxels floor(i n / size) to ceil((i + 1) n / size); neighbouring bins may
    share some, and where there are fewer voxels than bins they are repeated.

    Parameters
    ----------
    responses : Tensor, shape (n_trials, n_channels)
        Channels that lie together in the brain should stand together.
    size : int
    how : {"max", "avg", "resize"}
        Largest or mean value of a bin, as published the largest, which biases scaled responses
        upwards; or linear interpolation.

    Returns
    -------
    pooled : Tensor, shape (n_trials, size)
    """
    if how == "max":
        return F.adaptive_max_pool1d(responses, size)
    if how == "avg":
        return F.adaptive_avg_pool1d(responses, size)
    return F.interpolate(responses[:, None], size, mode="linear", align_corners=False)[:, 0]


class Adapter(nn.Module):
    """A bottleneck beside the identity; it starts as the identity."""

    def __init__(self, width: int, bottleneck: int):
        super().__init__()
        self.down_proj = nn.Linear(width, bottleneck)
        self.up_proj = nn.Linear(bottleneck, width)
        nn.init.zeros_(self.up_proj.weight)
        nn.init.zeros_(self.up_proj.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Add what passes the bottleneck: shapes (..., width)."""
        return x + self.up_proj(F.relu(self.down_proj(x)))


class Translator(nn.Module):
    """Residual blocks that all subjects share."""

    def __init__(self, h: int, n_blocks: int):
        super().__init__()
        self.mlp = nn.ModuleList(
            nn.Sequential(nn.Linear(h, h), nn.LayerNorm(h), nn.GELU(), nn.Dropout(0.15))
            for _ in range(n_blocks)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Translate embedded brains, (n_trials, h)."""
        for block in self.mlp:
            x = x + block(x)
        return x


class MindBridge(nn.Module):
    """The published network, by its parameter names and shapes [1]_.

    Parameters
    ----------
    in_dim : int
        Voxels after pooling.
    h : int
        Width of the shared code.
    n_blocks : int
    out_dim_image, out_dim_text : int
        Values of all tokens; 0: no such head.
    subj_list : list
        Names of subjects.
    bottleneck : int
        Of the adapters.
    adapting : bool
        Whether there are builders.
    """

    def __init__(
        self,
        in_dim: int = 8192,
        h: int = 2048,
        n_blocks: int = 4,
        out_dim_image: int = 257 * 768,
        out_dim_text: int = 77 * 768,
        subj_list: list = (1, 2, 5, 7),
        bottleneck: int = 128,
        adapting: bool = True,
    ):
        super().__init__()
        names = [str(s) for s in subj_list]
        self.embedder = nn.ModuleDict({s: _embedder(in_dim, h, bottleneck) for s in names})
        self.translator = Translator(h, n_blocks)
        self.head_image = nn.Linear(h, out_dim_image)
        self.head_text = nn.Linear(h, out_dim_text) if out_dim_text else None
        self.builder = nn.ModuleDict(
            {s: _builder(in_dim, h, bottleneck) for s in names if adapting}
        )

    def forward(self, voxels: Tensor, subject) -> tuple[Tensor, Tensor | None]:
        """Decode one subject's pooled voxels, (n_trials, in_dim): flat image and text tokens."""
        z = self.translator(self.embedder[str(subject)](voxels))
        return self.head_image(z), None if self.head_text is None else self.head_text(z)

    def reconstruct(self, voxels: Tensor, subject) -> Tensor:
        """Rebuild one subject's pooled voxels from their embedding: (n_trials, in_dim)."""
        return self.builder[str(subject)](self.embedder[str(subject)](voxels))

    def pseudo(self, voxels: Tensor, subject, other) -> Tensor:
        """What another subject's pooled voxels would be for the same embedding."""
        return self.builder[str(other)](self.embedder[str(subject)](voxels))

    def cycle(self, embedded: Tensor, other) -> Tensor:
        """Mean squared error of embeddings that went through the brain of another subject."""
        return F.mse_loss(self.embedder[str(other)](self.builder[str(other)](embedded)), embedded)


class MindBridgeDecoder(nn.Module):
    """MindBridge as a network of this package: voxels of any subject to tokens.

    The flat image tokens are the pooled embedding, where that is all tokens at unit length
    (embed.pooled=tokens); the tokens themselves are these, scaled feature by feature to the units
    in which they are asked for. Else the pooled embedding has a linear head of its own. It says no
    low-level picture: there is none as published.

    Parameters
    ----------
    sizes : Sizes
    size : int
        Channels after pooling.
    pooling : {"max", "avg", "resize"}
        See `pooled_to`.
    hidden : int
        Width of the shared code.
    n_blocks : int
        Residual blocks of the translator.
    bottleneck : int
        Width of the adapters' middle.
    text_dim : int
        Values of the head of texts, which published weights have; nothing trains it here. 0: none.
    reconstruction, cycle : float
        Weights of the two terms, where there are two subjects or more.
    new_subject : str or None
        A subject that the network is tuned to once it knows the others; None: all at once.
    source_epochs : int
        Epochs, from the first, in which the others are learnt; what they learn takes nothing from
        the new subject but its pictures, as distractors. 0: they come trained, train.start.
    """

    def __init__(
        self,
        sizes: Sizes,
        size: Count = 8192,
        pooling: Pooling = "max",
        hidden: Count = 2048,
        n_blocks: CountOrNone = 4,
        bottleneck: Count = 128,
        text_dim: CountOrNone = 0,
        reconstruction: NotNegative = 1.0,
        cycle: NotNegative = 1.0,
        new_subject: str | None = None,
        source_epochs: CountOrNone = 0,
    ):
        super().__init__()
        self.sizes, self.size, self.pooling = sizes, size, pooling
        self.weights = {"reconstruction": reconstruction, "cycle": cycle}
        n_values, names = sizes.n_tokens * sizes.token_dim, list(sizes.channels)
        several, n_out = len(names) > 1, n_values or sizes.dim
        self.bridge = MindBridge(
            size, hidden, n_blocks, n_out, text_dim, names, bottleneck, adapting=several
        )
        self.pooled = nn.Linear(hidden, sizes.dim) if sizes.dim != n_out else None
        grid = (sizes.n_tokens, sizes.token_dim)
        flat = n_values == sizes.dim
        self.gain = nn.Parameter(torch.ones(grid)) if flat else None
        self.offset = nn.Parameter(torch.zeros(grid)) if flat else None
        self.tuning = Tuning(list(names), new_subject, source_epochs)
        self.register_load_state_dict_post_hook(freeze_again)

    def forward(self, responses: Tensor, subject: str) -> BrainOutput:
        """Decode trials of one subject, (n_trials, n_channels of this subject[, n_times])."""
        z = self.bridge.translator(self.embedded(responses, subject))
        image, sizes = self.bridge.head_image(z), self.sizes
        tokens, pooled = None, image
        if sizes.n_tokens:
            tokens = image.unflatten(1, (sizes.n_tokens, sizes.token_dim))
        if self.pooled is not None:
            pooled = self.pooled(z)
        if self.gain is not None:  # scaled without a say in what is learnt
            unit = F.normalize(image.detach(), dim=1) * image.shape[1] ** 0.5
            tokens = unit.view_as(tokens) * self.gain + self.offset
        output = BrainOutput(tokens, pooled, None)
        return self.tuning.withheld(output, subject) if self.training else output

    def pool(self, responses: Tensor, subject: str) -> Tensor:
        """The pooled channels of one subject's trials: (n_trials, size)."""
        check_trials(responses, subject, self.sizes)
        return pooled_to(responses.flatten(1), self.size, self.pooling)

    def embedded(self, responses: Tensor, subject: str) -> Tensor:
        """The embedding of one subject's trials, in the space of all: (n_trials, hidden)."""
        return self.bridge.embedder[subject](self.pool(responses, subject))

    def pseudo_responses(self, responses: Tensor, subject: str, other: str) -> Tensor:
        """What another subject's pooled channels would be in these trials: (n_trials, size).

        Raises
        ------
        ValueError
            If the network knows no other subject, whose channels it could build.
        """
        if other not in self.bridge.builder:
            known = ", ".join(self.bridge.builder) or "nobody: it was trained on one subject"
            raise ValueError(f"this network can build channels of {known}; not of {other!r}")
        return self.bridge.builder[other](self.embedded(responses, subject))

    def own_costs(
        self, responses: dict[str, Tensor], wanted: dict[str, dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Reconstruction and cycle of this batch, already weighted.

        The cycle goes once from every subject, to another one a random distance further on: in
        expectation that is the published random pair. In reset-tuning it goes from the others to
        the new subject, and only the new subject is reconstructed.
        """
        if not len(self.bridge.builder):
            return {}
        voxels = {s: self.pool(x, s) for s, x in responses.items() if s in self.tuning.learning()}
        embed, build = self.bridge.embedder, self.bridge.builder
        errors = [F.mse_loss(build[s](embed[s](x)), x) for s, x in voxels.items()]
        costs = {"reconstruction": self.weights["reconstruction"] * torch.stack(errors).mean()}
        pairs = self.tuning.pairs(list(responses))
        turned = [
            self.bridge.cycle(embed[a](self.pool(responses[a], a)), other=b) for a, b in pairs
        ]
        if turned:
            costs["cycle"] = self.weights["cycle"] * torch.stack(turned).mean()
        return costs

    def after_epoch(self, epoch: int) -> None:
        """Begin to tune to the new subject when the others are learnt; epochs count from 0."""
        if self.tuning.is_due(epoch):
            self.begun()

    def begun(self, random: set[str] | None = None) -> None:
        """Freeze all but the new subject's part: the others come trained, or are learnt.

        What a start left random, `random`, does not matter here.
        """
        self.tuning.begin()
        freeze_again(self)

    def tuned(self) -> list[nn.Module]:
        """What is trained of a new subject."""
        new = self.tuning.new_subject
        return [self.bridge.embedder[new], self.bridge.builder[new]]


def _embedder(in_dim, h, bottleneck):
    return nn.Sequential(
        Adapter(in_dim, bottleneck),
        nn.Linear(in_dim, h),
        nn.LayerNorm(h),
        nn.GELU(),
        nn.Dropout(0.5),
    )


def _builder(in_dim, h, bottleneck):
    return nn.Sequential(
        nn.Linear(h, in_dim), nn.LayerNorm(in_dim), nn.GELU(), Adapter(in_dim, bottleneck)
    )


def published(state: dict[str, tuple[int, ...]]) -> tuple[MindBridgeDecoder, dict[str, str]]:
    """Find the network of a published checkpoint, on the meta device, and its names there.

    Its tokens are one flat embedding here: what scales them to a study's units was not published.
    Voxels of a subject are those of nsdgeneral where the checkpoint's subjects are numbers from 1
    to 8 and 8192 are pooled; else as many as are pooled.

    Parameters
    ----------
    state : dict of tuple
        Names and shapes of the checkpoint's tensors.

    Returns
    -------
    network : MindBridgeDecoder
    renamed : dict of str
        Names in the network by names in the checkpoint.

    Raises
    ------
    ValueError
        If the layout is another one; the message names what is missing.
    """
    keys = {k.removeprefix("module."): k for k in state}
    shape = lambda name: tuple(state[keys[name]])
    subjects = [
        k.split(".")[1] for k in keys if k.startswith("embedder.") and "down_proj.weight" in k
    ]
    needed = ["head_image.weight", "translator.mlp.0.0.weight"]
    missing = [name for name in needed if name not in keys] + ["embedder.*"] * (not subjects)
    if missing:
        raise ValueError(f"this is no MindBridge checkpoint: it has no {', '.join(missing)}")
    (bottleneck, size), (n_out, hidden) = (
        shape(f"embedder.{subjects[0]}.0.down_proj.weight"),
        shape("head_image.weight"),
    )
    sizes = Sizes({s: _n_voxels(s, size) for s in subjects}, n_out)
    text = shape("head_text.weight")[0] if "head_text.weight" in keys else 0
    n_blocks = len({k.split(".")[2] for k in keys if k.startswith("translator.mlp.")})
    with torch.device("meta"):
        network = MindBridgeDecoder(sizes, size, "max", hidden, n_blocks, bottleneck, text_dim=text)
    ours = network.state_dict()
    return network, {k: f"bridge.{name}" for name, k in keys.items() if f"bridge.{name}" in ours}


def _n_voxels(subject, size):
    known = subject.isdecimal() and 1 <= int(subject) <= len(NSDGENERAL) and size == 8192
    return NSDGENERAL[int(subject) - 1] if known else size
