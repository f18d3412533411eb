"""WAVE: a causal transformer reads a sequence of whole-brain volumes, parcel by parcel.

    embedder:  Linear-LayerNorm of each volume's parcels, plus an embedding of its time
    decoder:   GPT-2; what it says at a class token after the last volume, Linear-tanh
    projector: Linear, to the space of CLIP; contrasted with pictures at a learnt scale
    dim_mapper: Linear from the same code to all image tokens: the condition of a diffusion prior

Parameter names and shapes are those of the published checkpoints, whose embedder and decoder come
from [2]_. Left out is the published prompt network: it turns its eight outputs into CLIP's token
ids by rounding, through which no gradient flows, so that it and its bias stay as they began and
the words that are inserted are arbitrary. The contrast with captions is left out too: the pipeline
contrasts one embedding.

References
----------
.. [1] Wang et al. (2024). Decoding visual experience and mapping semantics through whole-brain
   analysis using fMRI foundation models. arXiv:2411.07121.
.. [2] Thomas, Re, Poldrack (2022). Self-supervised learning of brain dynamics from broad
   neuroimaging data. NeurIPS. (Causal sequence modelling.)
"""

import math

import torch
from torch import Tensor, nn

from neurodecode.core.ranges import Count, PartShare, Positive
from neurodecode.models.base import BrainOutput, Sizes
from neurodecode.models.heads import check_trials

PRECISION_S, LONGEST_S = 0.2, 300.0  # of the published embedding of times
SCALE = math.log(1 / 0.07)  # CLIP's first scale


class Embedder(nn.Module):
    """Volumes as vectors: their parcels, and when they were measured [2]_.

    Parameters
    ----------
    in_dim : int
        Parcels.
    embed_dim : int
    dropout : float
    """

    def __init__(self, in_dim: int = 1024, embed_dim: int = 768, dropout: float = 0.1):
        super().__init__()
        self.msk_embed = nn.Parameter(torch.randn(1, 1, in_dim))  # of the pretraining alone
        self.cls_embed = nn.Parameter(torch.randn(1, 1, in_dim))
        layers = nn.Linear(in_dim, embed_dim), nn.LayerNorm(embed_dim), nn.Dropout(dropout)
        self.embed_model = nn.ModuleDict({"model": nn.Sequential(*layers)})
        self.wt_re = nn.Embedding(round(LONGEST_S / PRECISION_S) + 1, embed_dim)

    def forward(self, volumes: Tensor, times_s: Tensor) -> Tensor:
        """Embed volumes (n, length, in_dim) at times (length,), and a class token after them.

        Returns
        -------
        embedded : Tensor, shape (n, length + 1, embed_dim)
        """
        volumes = torch.cat([volumes, self.cls_embed.expand(len(volumes), -1, -1)], dim=1)
        at = torch.round(times_s / PRECISION_S).long()
        at = torch.cat([at, at.new_tensor([self.wt_re.num_embeddings - 1])])  # it has no time
        return self.embed_model["model"](volumes) + self.wt_re(at)


class Decoder(nn.Module):
    """GPT-2 of embedded volumes, and a layer that reads its last token.

    Parameters
    ----------
    embed_dim, n_layers, n_heads : int
        Width, blocks and attention heads.
    n_positions : int
        Longest sequence, with the class token.
    dropout : float
    """

    def __init__(
        self,
        embed_dim: int = 768,
        n_layers: int = 4,
        n_heads: int = 12,
        n_positions: int = 512,
        dropout: float = 0.1,
    ):
        from transformers import GPT2Config, GPT2Model

        super().__init__()
        rates = {f"{part}_pdrop": dropout for part in ("resid", "attn", "embd")}
        self.transformer = GPT2Model(
            GPT2Config(
                vocab_size=1,
                n_positions=n_positions,
                n_embd=embed_dim,
                n_layer=n_layers,
                n_head=n_heads,
                use_cache=False,
                bos_token_id=0,
                eos_token_id=0,
                **rates,
            )
        )
        self.pooler_layer = nn.Sequential(
            nn.Linear(embed_dim, embed_dim), nn.Tanh(), nn.Dropout(dropout)
        )

    def forward(self, embedded: Tensor) -> Tensor:
        """Read sequences (n, length, embed_dim): (n, embed_dim)."""
        said = self.transformer(inputs_embeds=embedded).last_hidden_state
        return self.pooler_layer(said[:, -1])


class PublishedWave(nn.Module):
    """WAVE's encoder, projector and mapper of one subject, at their published sizes.

    Parameters
    ----------
    embedder, decoder : dict
        Options of `Embedder` and of `Decoder`.
    clip_size : int
        Length of CLIP's embedding.
    n_values : int
        Values of all image tokens together; 0: none, as after the first stage of training.
    """

    def __init__(
        self, embedder: dict, decoder: dict, clip_size: int = 768, n_values: int = 257 * 768
    ):
        super().__init__()
        self.embedder = Embedder(**embedder)
        self.decoder = Decoder(**decoder)
        hidden = self.embedder.wt_re.embedding_dim
        self.fmri_projector = nn.Linear(hidden, clip_size)
        self.dim_mapper = nn.Linear(hidden, n_values) if n_values else None
        self.img_logit_scale = nn.Parameter(torch.tensor(SCALE))

    def forward(self, volumes: Tensor, times_s: Tensor) -> tuple[Tensor, Tensor | None]:
        """Decode volumes (n, length, in_dim) at times (length,).

        Returns
        -------
        projected : Tensor, shape (n, clip_size)
            What is contrasted.
        tokens : Tensor, shape (n, n_values), or None
            The condition of the prior. It is mapped from the code, before the projection.
        """
        code = self.decoder(self.embedder(volumes, times_s))
        tokens = None if self.dim_mapper is None else self.dim_mapper(code)
        return self.fmri_projector(code), tokens


class Wave(nn.Module):
    """Decode trials of any known subject as sequences of volumes [1]_.

    A trial with times is a sequence of them; one without is a sequence of length 1. Published,
    all subjects have the same 1024 parcels; here each has an embedder of its own, and all share
    the rest. It draws no low-level picture.

    Parameters
    ----------
    sizes : Sizes
        What the data decide.
    hidden : int
        Width of the transformer.
    n_layers, n_heads : int
        Its blocks and attention heads.
    n_positions : int
        Longest sequence, with the class token.
    dropout : float
        In all of its layers.
    mask : float
        Share of the values of a trial that are set to 0 in training.
    shuffle : bool
        In training, deal each trial's volumes to its times anew.
    tr_s : float
        Seconds from one volume to the next.

    Raises
    ------
    ValueError
        If trials are longer than the transformer or the embedding of times can tell.
    """

    def __init__(
        self,
        sizes: Sizes,
        hidden: Count = 768,
        n_layers: Count = 4,
        n_heads: Count = 12,
        n_positions: Count = 512,
        dropout: PartShare = 0.1,
        mask: PartShare = 0.2,
        shuffle: bool = True,
        tr_s: Positive = 2.0,
    ):
        super().__init__()
        self.sizes, self.mask, self.shuffle = sizes, mask, shuffle
        length = sizes.n_times or 1
        if length + 1 > n_positions or (length - 1) * tr_s >= LONGEST_S:
            raise ValueError(
                f"trials of {length} volumes, {tr_s} s apart: this network reads at most "
                f"{n_positions - 1} of them and {LONGEST_S:g} s; raise n_positions, or name tr_s"
            )
        self.register_buffer("times_s", torch.arange(length) * tr_s, persistent=False)
        self.embedder = nn.ModuleDict(
            {s: Embedder(n, hidden, dropout) for s, n in sizes.channels.items()}
        )
        self.decoder = Decoder(hidden, n_layers, n_heads, n_positions, dropout)
        n_values = sizes.n_tokens * sizes.token_dim
        self.flat_tokens = sizes.dim == n_values
        self.fmri_projector = None if self.flat_tokens else nn.Linear(hidden, sizes.dim)
        self.dim_mapper = nn.Linear(hidden, n_values) if n_values else None
        self.img_logit_scale = nn.Parameter(torch.tensor(SCALE))

    def forward(self, responses: Tensor, subject: str) -> BrainOutput:
        """Decode trials (n_trials, n_channels of this subject[, n_times]).

        The pooled embedding comes at the length of its learnt scale.
        """
        check_trials(responses, subject, self.sizes)
        volumes = responses.transpose(1, 2) if responses.ndim == 3 else responses[:, None]
        if self.training:
            volumes = self._augmented(volumes)
        code = self.decoder(self.embedder[subject](volumes, self.times_s))
        tokens = None if self.dim_mapper is None else self.dim_mapper(code)
        contrasted = tokens if self.flat_tokens else self.fmri_projector(code)
        pooled = self.img_logit_scale.exp() * nn.functional.normalize(contrasted, dim=1)
        if tokens is not None:
            tokens = tokens.unflatten(1, (self.sizes.n_tokens, self.sizes.token_dim))
        return BrainOutput(tokens, pooled, None)

    def _augmented(self, volumes):
        kept = torch.rand_like(volumes) >= self.mask  # what is left is not scaled up, as published
        volumes = volumes * kept
        if not self.shuffle or volumes.shape[1] == 1:
            return volumes
        order = torch.rand(volumes.shape[:2], device=volumes.device).argsort(dim=1)
        return volumes.gather(1, order[..., None].expand_as(volumes))


SUBJECT = "sub-01"  # how the one subject of a published checkpoint is called here
PREFIXES = ("voxel2clip.", "fmri_encoder.original_model.")
NEEDED = (
    "embedder.cls_embed",
    "decoder.transformer.wpe.weight",
    "decoder.pooler_layer.0.weight",
    "fmri_projector.weight",
)


def published(
    state: dict[str, tuple[int, ...]], n_heads: int = 12
) -> tuple[nn.Module, dict[str, str]]:
    """Build the network of a published checkpoint, of either stage, and say where its weights go.

    The prior in the same file (``net.*``), the prompt network and the contrast with texts have no
    place.

    Parameters
    ----------
    state : dict of tuple of int
        Shapes by key.
    n_heads : int
        Attention heads, which no shape tells.

    Returns
    -------
    network : Wave
        On the meta device, of one subject.
    names : dict of str
        From published keys to the network's.

    Raises
    ------
    ValueError
        If a part is missing.
    """
    full = {_own_name(key): key for key in state}
    if missing := [key for key in NEEDED if key not in full]:
        raise ValueError(f"no checkpoint of WAVE: it has no {', '.join(missing)}")
    shape = {name: tuple(state[key]) for name, key in full.items()}
    n_positions, hidden = shape["decoder.transformer.wpe.weight"]
    n_layers = len({name.split(".")[3] for name in full if ".transformer.h." in name})
    dim, n_values = shape["fmri_projector.weight"][0], shape.get("dim_mapper.weight", (0,))[0]
    n_tokens, token_dim = (n_values // dim, dim) if n_values % dim == 0 else (1, n_values)
    sizes = Sizes({SUBJECT: shape["embedder.cls_embed"][2]}, dim, n_tokens, token_dim)
    with torch.device("meta"):
        network = Wave(sizes, hidden, n_layers, n_heads, n_positions)
    embedder = f"embedder.{SUBJECT}."
    names = {
        key: key.replace(embedder, "embedder.") for key in network.state_dict()
    }  # ours to the published ones without their prefixes
    if missing := sorted(name for name in names.values() if name not in full):
        raise ValueError(f"no checkpoint of WAVE: it has no {', '.join(missing[:5])}")
    return network, {full[name]: key for key, name in names.items()}


def _own_name(key):
    for prefix in PREFIXES:
        key = key.removeprefix(prefix)
    return key
