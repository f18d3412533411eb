"""Hold out stimuli distributed as those of training, but with few near neighbours there."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from neurodecode.core.ranges import PartShare, Positive
from neurodecode.rigour.splits.by_stimulus import (
    check_choices,
    check_sides,
    draw_groups,
    with_val,
)
from neurodecode.rigour.splits.distance import (
    check_embeddings,
    kernel_width,
    mmd,
    mmd_of_a_random_draw,
    stimulus_labels,
)
from neurodecode.rigour.splits.ties import count_groups, tied_groups

N_FEATURES = 1024  # random Fourier features that stand for the kernel while stimuli are exchanged
N_NEIGHBOURS = 5  # of each stimulus, that should not be cut from it
N_TRIES = 1000  # test groups for which an exchange is looked for in a round
N_ROUNDS = 6  # at most
SAFETY = 0.97  # of the limit: random features know the MMD to a few per cent


@dataclass(frozen=True)
class MatchedSplit:
    """Hold out stimuli that cover what training covers, and are not its near copies.

    A draw is improved by exchanging groups between test and training until the MMD of the two
    sides is at most `tau` times that of a random draw; then, as long as it stays there, so
    that as few stimuli as possible are parted from one of their five nearest. The comparison with
    a random split says how much of a score is owed to stimuli that resemble training. This is the
    idea of LAION-fMRI's ``tau`` split; a test set that the study froze is not honoured.

    Parameters
    ----------
    tau : float
        Largest MMD of test and training stimuli, in units of a random draw's root mean square:
        1 is a typical draw, less is matched more closely.
    test_fraction, val_fraction, ties, class_column
        As in `StimulusSplit`; val is a random draw.
    """

    holds_out: ClassVar[str] = "stimuli"
    reads: ClassVar[str] = "embeddings"

    tau: Positive = 1.0
    test_fraction: PartShare = 0.1
    val_fraction: PartShare = 0.1
    ties: tuple[str, ...] = ("stimulus_id",)
    class_column: str | None = None

    def __call__(self, trials, stimuli, rng, embeddings=None):
        """Label every trial; `embeddings` (n_stimuli, dim) are in the order of `stimuli`."""
        embeddings, ties = check_embeddings(embeddings, stimuli, "MatchedSplit"), tuple(self.ties)
        check_choices(trials, stimuli, self.test_fraction, self.val_fraction, ties)
        group = tied_groups(trials, ties)
        test = draw_groups(trials, group, self.test_fraction, "test", ties, rng)
        labels = with_val(trials, group, test, self.val_fraction, ties, rng)
        labels = exchange(trials, stimuli, group, labels, embeddings, self.tau, rng)
        check_matched(trials, stimuli, labels, embeddings, self.tau)
        check_sides(trials, labels, self.val_fraction, self.class_column)
        return labels


def exchange(trials, stimuli, group, labels, embeddings, tau, rng):
    """Exchange groups of equal size between test and train; labels of trials.

    Equal in the stimuli of every subject: the shares stay what they were.
    """
    place = dict(zip(stimuli["stimulus_id"], range(len(stimuli)), strict=True))
    width, counts = kernel_width(embeddings), count_groups(trials, group)
    member = membership(trials["stimulus_id"].map(place).to_numpy(), group, len(stimuli))
    features = member @ fourier_features(embeddings, width, rng)  # (n_groups, n_features)
    nearby = (member @ neighbour_graph(embeddings) @ member.T).tolil()  # (n_groups, n_groups)
    nearby.setdiag(0)
    side = labels[np.unique(group, return_index=True)[1]]
    n_test, n_train = (int(member[side == s].sum()) for s in ("test", "train"))
    pool = embeddings[member[side != "val"].sum(axis=0).astype(bool)]
    sizes = np.unique(counts.to_numpy(), axis=0, return_inverse=True)[1]
    random = mmd_of_a_random_draw(pool, n_test, n_train, width)
    limit = SAFETY * tau * random
    for _ in range(N_ROUNDS):
        improve(side, features, nearby.tocsr(), sizes, limit, (n_test, n_train), rng)
        of = lambda name, side=side: embeddings[member[side == name].sum(axis=0).astype(bool)]
        reached = mmd(of("test"), of("train"), width)
        if reached <= tau * random:
            break
        limit *= SAFETY * tau * random / reached  # the features were too hopeful
    return side[group]


def improve(side, features, nearby, sizes, limit, n_stimuli, rng):
    """Change `side` (n_groups,) in place: first below the limit of the MMD, then fewer parted."""
    weight = 1 / n_stimuli[0] + 1 / n_stimuli[1]
    of = lambda name: features[side == name].sum(axis=0)
    gap = of("test") / n_stimuli[0] - of("train") / n_stimuli[1]
    for _ in range(N_TRIES):
        out = rng.choice(np.flatnonzero(side == "test"))
        into = np.flatnonzero((side == "train") & (sizes == sizes[out]))
        if not into.size:
            continue
        gaps = gap + weight * (features[into] - features[out])
        after = np.linalg.norm(gaps, axis=1)
        far = np.linalg.norm(gap) > limit
        gain = np.linalg.norm(gap) - after if far else rejoined(side, nearby, out, into)
        gain = gain if far else np.where(after <= limit, gain, -np.inf)
        best = gain.argmax()
        if gain[best] > 1e-9:
            side[out], side[into[best]] = "train", "test"
            gap = gaps[best]


def rejoined(side, nearby, out, into):
    """Count the neighbours that come to one side when `out` leaves test and `into` enters it."""
    to_test = nearby @ (side == "test").astype(float)
    to_train = nearby @ (side == "train").astype(float)
    own = (to_train - to_test)[out]
    between = nearby[[out]].toarray()[0][into]
    return own + (to_test - to_train)[into] - 2 * between


def membership(stimulus, group, n_stimuli):
    """Return which stimuli are in which group: sparse, shape (n_groups, n_stimuli), 0 or 1."""
    from scipy.sparse import coo_array

    pairs = np.unique(np.stack([group, stimulus]), axis=1)
    shape = (int(group.max()) + 1, n_stimuli)
    return coo_array((np.ones(pairs.shape[1]), tuple(pairs)), shape=shape).tocsr()


def fourier_features(embeddings, width, rng):
    """Return features whose inner products are about the kernel: shape (n_stimuli, n_features)."""
    waves = rng.normal(0, 1 / width, (embeddings.shape[1], N_FEATURES)).astype(np.float32)
    phases = rng.uniform(0, 2 * np.pi, N_FEATURES).astype(np.float32)
    return np.sqrt(2 / N_FEATURES) * np.cos(embeddings @ waves + phases)


def neighbour_graph(embeddings):
    """Return who is among whose five nearest: sparse, symmetric, counts of 0, 1 or 2."""
    from sklearn.neighbors import kneighbors_graph

    k = min(N_NEIGHBOURS, len(embeddings) - 1)
    graph = kneighbors_graph(embeddings, k, mode="connectivity")
    return graph + graph.T


def check_matched(trials, stimuli, labels, embeddings, tau):
    """Raise ValueError where the MMD that was reached is more than was asked."""
    side, width = stimulus_labels(trials, stimuli, labels), kernel_width(embeddings)
    test, train = embeddings[side == "test"], embeddings[side == "train"]
    pool = np.concatenate([test, train])
    random = mmd_of_a_random_draw(pool, len(test), len(train), width)
    reached = mmd(test, train, width) / random
    if reached > tau:
        raise ValueError(
            f"the MMD of test and training stimuli could be brought to {reached:.2f} of a random "
            f"draw's, not to tau={tau:g}: ask tau={np.ceil(reached * 20) / 20:g}, or a larger "
            "test_fraction"
        )
