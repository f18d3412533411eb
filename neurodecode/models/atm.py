"""ATM-S: a transformer whose tokens are electrodes, then TSConv and a projection.

    token of electrode c = W x_c + b,  x_c its samples;  before them one token of the subject
    one layer of attention and feed-forward, norms after;  tokens  ->  TSConv  ->  projection

The published retrieval script keeps the first tokens as they are counted with the subject's: that
one passes for an electrode, and the last electrode is dropped. Its table of subjects has a row for
each of 10, counted from 0, and looks them up by the number in their name, counted from 1: the first
row is never used, and a number too large gives the whole batch a token that all subjects share.
`compat` keeps both; checkpoints of that script need it.

References
----------
.. [1] Li et al. (2024). Visual decoding and reconstruction via EEG embeddings with guided
   diffusion. NeurIPS. Defaults are those of its network for 63 electrodes, 250 samples and CLIP
   ViT-H/14.
"""

import math
import re
from dataclasses import replace

import torch
from torch import Tensor, nn

from neurodecode.core.ranges import Count, PartShare
from neurodecode.models.base import Sizes
from neurodecode.models.per_subject import PerSubject
from neurodecode.models.published import Shapes, renamed, shape_of, start_of
from neurodecode.models.tsconv import TSConv, convolutions_of, n_steps, projection

SYSTEM = "ATM-S"

LOGIT_SCALE = math.log(1 / 0.07)  # CLIP's parameter, here without its exponential


class ATMS(nn.Module):
    """The published network [1]_, with the parameter names of its checkpoints.

    Parameters
    ----------
    n_channels, n_times : int
        Of a trial.
    dim : int
        Of the embedding.
    n_subjects : int
        Rows of the table of subjects.
    d_model : int or None
        Width of a token, and samples that TSConv reads; None: `n_times`.
    n_heads, d_ff : int
        Of the transformer.
    filters, kernel, pool, stride : int
        See `neurodecode.models.tsconv.TSConv`.
    dropout, projection_dropout : float
        In the transformer; in TSConv and projection.
    compat : bool
        True keeps the published slips of tokens and of subjects.
    """

    def __init__(
        self,
        n_channels: int = 63,
        n_times: int = 250,
        dim: int = 1024,
        n_subjects: int = 10,
        d_model: int | None = None,
        n_heads: int = 4,
        d_ff: int = 256,
        filters: int = 40,
        kernel: int = 25,
        pool: int = 51,
        stride: int = 5,
        dropout: float = 0.25,
        projection_dropout: float = 0.5,
        compat: bool = False,
    ):
        super().__init__()
        d_model = d_model or n_times
        steps = n_steps(d_model, kernel, pool, stride)
        self.encoder = _Transformer(n_times, d_model, n_heads, d_ff, n_subjects, dropout, compat)
        convolutions = TSConv(n_channels, filters, kernel, pool, stride, projection_dropout)
        self.enc_eeg = nn.Sequential(convolutions, nn.Flatten())
        self.proj_eeg = projection(steps * filters, dim, projection_dropout)
        self.logit_scale = nn.Parameter(torch.tensor(LOGIT_SCALE))

    def forward(self, trials: Tensor, subjects: Tensor) -> Tensor:
        """Embed trials (n, n_channels, n_times) of subjects (n,), rows of the table: (n, dim)."""
        return self.proj_eeg(self.enc_eeg(self.encoder(trials, subjects)))


class _Transformer(nn.Module):
    def __init__(self, n_times, d_model, n_heads, d_ff, n_subjects, dropout, compat):
        super().__init__()
        self.enc_embedding = _Embedding(n_times, d_model, n_subjects, dropout, compat)
        self.encoder = nn.Module()
        self.encoder.attn_layers = nn.ModuleList([_Layer(d_model, n_heads, d_ff, dropout)])
        self.encoder.norm = nn.LayerNorm(d_model)
        self.compat = compat

    def forward(self, trials, subjects):
        tokens = self.enc_embedding(trials, subjects)  # (n, 1 + n_channels, d_model)
        for layer in self.encoder.attn_layers:
            tokens = layer(tokens)
        tokens = self.encoder.norm(tokens)
        return tokens[:, :-1] if self.compat else tokens[:, 1:]


class _Embedding(nn.Module):
    """Tokens of electrodes, the subject's before them; what no path reads is there to be loaded."""

    def __init__(self, n_times, d_model, n_subjects, dropout, compat):
        super().__init__()
        self.mask_token = nn.Parameter(torch.randn(1, d_model))  # not read
        self.value_embedding = nn.Linear(n_times, d_model)
        self.temporal_embedding = nn.Module()
        self.temporal_embedding.embed = nn.Linear(4, d_model, bias=False)  # not read: no time marks
        self.subject_embedding = _Subjects(n_subjects, d_model, compat)
        self.dropout = nn.Dropout(dropout)

    def forward(self, trials, subjects):
        subject = self.subject_embedding(subjects)[:, None]
        return self.dropout(torch.cat([subject, self.value_embedding(trials)], dim=1))


class _Subjects(nn.Module):
    def __init__(self, n_subjects, d_model, compat):
        super().__init__()
        self.shared_embedding = nn.Parameter(torch.randn(1, d_model))  # read under compat
        self.mask_embedding = nn.Parameter(torch.randn(1, d_model))  # not read
        self.subject_embedding = nn.Embedding(n_subjects, d_model)
        self.compat = compat

    def forward(self, subjects):
        if (subjects < self.subject_embedding.num_embeddings).all():
            return self.subject_embedding(subjects)
        if not self.compat:
            raise ValueError(
                f"subject {int(subjects.max())} has no row in a table of "
                f"{self.subject_embedding.num_embeddings}: build the network for more subjects"
            )
        return self.shared_embedding.expand(len(subjects), -1)


class _Layer(nn.Module):
    """Attention and feed-forward, each added and then normed."""

    def __init__(self, d_model, n_heads, d_ff, dropout):
        super().__init__()
        self.attention = _Attention(d_model, n_heads, dropout)
        self.linear1, self.linear2 = nn.Linear(d_model, d_ff), nn.Linear(d_ff, d_model)
        self.norm1, self.norm2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens):
        tokens = self.norm1(tokens + self.dropout(self.attention(tokens)))
        wide = self.dropout(nn.functional.gelu(self.linear1(tokens)))
        return self.norm2(tokens + self.dropout(self.linear2(wide)))


class _Attention(nn.Module):
    """Heads of d_model // n_heads; what is left of the width is not used (4 x 62 of 250)."""

    def __init__(self, d_model, n_heads, dropout):
        super().__init__()
        inner = n_heads * (d_model // n_heads)
        if not inner:
            raise ValueError(f"n_heads is {n_heads}, more than the {d_model} numbers of a token")
        self.query_projection = nn.Linear(d_model, inner)
        self.key_projection = nn.Linear(d_model, inner)
        self.value_projection = nn.Linear(d_model, inner)
        self.out_projection = nn.Linear(inner, d_model)
        self.n_heads, self.dropout = n_heads, nn.Dropout(dropout)

    def forward(self, tokens):
        apart = lambda layer: layer(tokens).unflatten(2, (self.n_heads, -1)).transpose(1, 2)
        query, key, value = map(
            apart, (self.query_projection, self.key_projection, self.value_projection)
        )
        weights = (query @ key.transpose(2, 3) / math.sqrt(query.shape[3])).softmax(dim=3)
        said = (self.dropout(weights) @ value).transpose(1, 2).flatten(2)
        return self.out_projection(said)


class ATM(PerSubject):
    """Decode trials (n_channels, n_times) of any known subject; see `neurodecode.models.base`.

    The pooled embedding is multiplied by the learnt scale, ln(1 / 0.07) at first and used without
    an exponential, as published: train it with loss=clip. Tokens and low-level picture, where the
    study asks for them, are read linearly from the embedding.

    Parameters
    ----------
    sizes : Sizes
        What the data decide; `n_times` must be there.
    shared : bool
        True: one network for all subjects, told who it reads; False: one for each, as published.
    subject_rows : int or None
        Rows of the table of subjects; None: as many as subjects, or 10 with `compat`.
    n_heads, d_ff, filters, kernel, pool, stride, dropout, projection_dropout, compat
        See `ATMS`. With `compat` a subject's row is the number at the end of its name; without,
        subjects are counted from 0.
    """

    def __init__(
        self,
        sizes: Sizes,
        shared: bool = False,
        subject_rows: Count | None = None,
        n_heads: Count = 4,
        d_ff: Count = 256,
        filters: Count = 40,
        kernel: Count = 25,
        pool: Count = 51,
        stride: Count = 5,
        dropout: PartShare = 0.25,
        projection_dropout: PartShare = 0.5,
        compat: bool = False,
    ):
        row = {s: _number(s) if compat else k for k, s in enumerate(sizes.channels)}
        rows = subject_rows or (10 if compat else len(row))
        how = (n_heads, d_ff, filters, kernel, pool, stride, dropout, projection_dropout, compat)
        make = lambda n: ATMS(n, sizes.n_times, sizes.dim, rows, None, *how)
        super().__init__(sizes, shared, make)
        self.row, self.rows_of_subjects = row, "the table of subjects" if shared else None

    def embedded(self, network: nn.Module, responses: Tensor, subject: str) -> Tensor:
        """What the network says of trials of this subject, whom it looks up: (n_trials, dim)."""
        rows = torch.full((len(responses),), self.row[subject], device=responses.device)
        return network(responses, rows)

    def scale(self, network: nn.Module) -> Tensor:
        """The learnt scale, as it is."""
        return network.logit_scale


def published(state: Shapes) -> tuple[nn.Module, dict[str, str]]:
    """Build the network of a published checkpoint on the meta device, and rename its keys.

    Parameters
    ----------
    state : dict of tuple
        Shapes by published key, whatever stands before ``encoder.enc_embedding``.

    Returns
    -------
    network : ATM
        With the published slips, of one subject, ``sub-01``.
    names : dict of str
        ``{published key: key in the network}``; layers that nothing reads have none.

    Raises
    ------
    ValueError
        If the layout is not the published one.
    """
    embedding = "encoder.enc_embedding.value_embedding.weight"
    start = start_of(state, embedding, SYSTEM)
    layer = f"{start}encoder.encoder.attn_layers.0."
    if f"{layer}conv1.weight" in state:
        raise ValueError(
            "its feed-forward layers are 1 × 1 convolutions, an older form: take their last axis "
            "off and call conv1 and conv2 linear1 and linear2"
        )
    options, dim, _ = convolutions_of(state, f"{start}enc_eeg.0.", f"{start}proj_eeg.", SYSTEM)
    sizes = Sizes({"sub-01": options.pop("n_channels")}, dim)
    sizes = replace(sizes, n_times=shape_of(state, start + embedding, SYSTEM)[1])
    table = f"{start}encoder.enc_embedding.subject_embedding.subject_embedding.weight"
    options["d_ff"] = shape_of(state, f"{layer}linear1.weight", SYSTEM)[0]
    options["subject_rows"] = shape_of(state, table, SYSTEM)[0]
    with torch.device("meta"):
        network = ATM(sizes, compat=True, **options)
    return network, renamed(state, start, network)


def _number(subject):
    """The number at the end of a subject's name, as the published code counts subjects."""
    found = re.search(r"\d+$", subject)
    if found is None:
        raise ValueError(
            f"{subject!r} ends in no number, by which the published table of subjects is read: "
            "set model.compat=false"
        )
    return int(found.group())
