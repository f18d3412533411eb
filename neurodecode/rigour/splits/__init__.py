"""Who may be trained on, who selects, who is tested: one rule per file, chosen in conf/split.

A rule is called with the tables of trials and stimuli and a generator, and labels every trial. One
that says ``reads = "embeddings"`` is also given the stimuli's embeddings. ``holds_out`` says what
stands on one side only: ``"stimuli"``, or ``"runs"`` in a study whose stimuli are in every run.
"""

from neurodecode.rigour.splits.by_run import RunSplit, folds_by_run
from neurodecode.rigour.splits.by_stimulus import StimulusSplit, split_by_stimulus
from neurodecode.rigour.splits.cluster import ClusterSplit
from neurodecode.rigour.splits.distance import diagnostics
from neurodecode.rigour.splits.hashed import HashSplit
from neurodecode.rigour.splits.matched import MatchedSplit
from neurodecode.rigour.splits.ood import OutOfDistributionSplit
from neurodecode.rigour.splits.sides import SPLITS, check_filled, count_sides, split_hash
from neurodecode.rigour.splits.ties import RUN, tied_groups

__all__ = [
    "RUN",
    "SPLITS",
    "ClusterSplit",
    "HashSplit",
    "MatchedSplit",
    "OutOfDistributionSplit",
    "RunSplit",
    "StimulusSplit",
    "check_filled",
    "count_sides",
    "diagnostics",
    "folds_by_run",
    "split_by_stimulus",
    "split_hash",
    "tied_groups",
]
