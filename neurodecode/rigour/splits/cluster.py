"""Hold out whole clusters of stimuli: what is tested shares no category with training."""

from dataclasses import dataclass
from typing import ClassVar

from neurodecode.core.ranges import Count, PartShare
from neurodecode.rigour.splits.by_stimulus import check_sides, split_by_stimulus
from neurodecode.rigour.splits.distance import check_embeddings

TIE = "cluster of stimuli"


@dataclass(frozen=True)
class ClusterSplit:
    """Hold out clusters of stimuli: a decoder that only names known clusters falls to chance.

    A cluster is one more tie: all its trials lie on one side, and test, val and training have no
    cluster in common (Shirakawa et al., arXiv 2405.10078). A test set that the study froze is not
    honoured: it may share clusters with training.

    Parameters
    ----------
    column : str or None
        Column of stimuli.tsv whose values are the clusters; None: k-means on the embeddings.
    n_clusters : int
        Of k-means. A cluster is taken whole, so it must be smaller than twice the share asked.
    test_fraction, val_fraction, ties, class_column
        As in `StimulusSplit`; val is drawn by clusters too.
    """

    holds_out: ClassVar[str] = "stimuli"

    column: str | None = None
    n_clusters: Count = 20
    test_fraction: PartShare = 0.1
    val_fraction: PartShare = 0.1
    ties: tuple[str, ...] = ("stimulus_id",)
    class_column: str | None = None

    @property
    def reads(self):
        """What the rule reads beside the tables: embeddings, unless a column names the clusters."""
        return "embeddings" if self.column is None else ""

    def __call__(self, trials, stimuli, rng, embeddings=None):
        """Label every trial; `embeddings` (n_stimuli, dim) are in the order of `stimuli`."""
        if self.column is None:
            cluster = k_means(
                check_embeddings(embeddings, stimuli, "ClusterSplit"), self.n_clusters, rng
            )
        else:
            cluster = named(stimuli, self.column, "ClusterSplit").to_numpy()
        of_stimulus = dict(zip(stimuli["stimulus_id"], cluster, strict=True))
        tied = trials.assign(**{TIE: trials["stimulus_id"].map(of_stimulus)})
        drawn = stimuli.assign(partition="")
        ties = (*self.ties, TIE)
        labels = split_by_stimulus(tied, drawn, self.test_fraction, self.val_fraction, ties, rng)
        check_sides(trials, labels, self.val_fraction, self.class_column)
        return labels


def k_means(embeddings, n_clusters, rng):
    """Return the cluster of each stimulus, by k-means: ndarray of int, shape (n_stimuli,)."""
    from sklearn.cluster import KMeans

    if n_clusters > len(embeddings):
        raise ValueError(f"n_clusters={n_clusters} are more than the {len(embeddings)} stimuli")
    seed = int(rng.integers(2**31))
    return KMeans(n_clusters, n_init=4, random_state=seed).fit_predict(embeddings)


def named(stimuli, column, rule):
    """Return a column of stimuli.tsv as text; ValueError where it is missing or empty."""
    if column not in stimuli:
        raise ValueError(
            f"{rule}: {column!r} is not a column of stimuli.tsv {list(stimuli.columns)}"
        )
    values = stimuli[column].astype(str)
    lacking = stimuli["stimulus_id"][values.isin(["", "nan"])]
    if len(lacking):
        raise ValueError(
            f"{rule}: {len(lacking)} stimuli have no {column}, e.g. {lacking.iloc[0]!r}: name one "
            "for every stimulus"
        )
    return values
