"""Which picture is shown when: runs, their order, repeats, blank trials.

Runs come in blocks of as many runs as a picture has presentations, and a repeated picture is shown
once in each run of its block, so that its presentations do not share slow noise. Test pictures have
blocks of their own. Which training pictures share a block is the same for all subjects: a block
is then the smallest set of runs that can be held out without a picture on both sides. Order within
runs, order of the runs, and times are each subject's own.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

TRIALS_PER_RUN = 60  # at most
TRAIN_BLOCKS = 8  # at least, where there are pictures enough: one of them makes a validation set
TRAIN_REPEATS = 3  # presentations of a repeated training picture
LEAD_IN_S = 6.0  # before the first picture of a run
TAIL_S = 14.0  # after the last: its response comes back down
BLANKS_PER_TRIAL = 0.15


@dataclass(frozen=True)
class Block:
    """Runs that belong together."""

    once: np.ndarray  # ids of pictures shown in one run of the block
    every: np.ndarray  # ids of pictures shown once in every run
    n_runs: int


def make_blocks(
    train: np.ndarray,
    test: np.ndarray,
    n_repeated: int,
    test_repeats: int,
    rng: np.random.Generator,
    *,
    trials_per_run: int = TRIALS_PER_RUN,
    train_repeats: int = TRAIN_REPEATS,
) -> list[Block]:
    """Deal pictures to blocks of runs.

    Parameters
    ----------
    train, test : ndarray of str
        Stimulus ids.
    n_repeated : int
        How many training pictures are shown `train_repeats` times; the others are shown once.
    test_repeats : int
        Presentations of each test picture.
    rng : numpy.random.Generator
    trials_per_run : int
        At most.
    train_repeats : int
        Presentations of a repeated training picture, and runs of a training block.

    Returns
    -------
    blocks : list of Block
        Training blocks, then test blocks.
    """
    n_trials = len(train) + (train_repeats - 1) * n_repeated
    n_blocks = max(-(-n_trials // (train_repeats * trials_per_run)), TRAIN_BLOCKS)
    n_blocks = min(n_blocks, max(1, len(train) // train_repeats))
    shuffled = rng.permutation(train)
    once = [shuffled[n_repeated:][i::n_blocks] for i in range(n_blocks)]
    every = [shuffled[:n_repeated][n_blocks - 1 - i :: n_blocks] for i in range(n_blocks)]
    blocks = [Block(o, e, train_repeats) for o, e in zip(once, every, strict=True)]
    n_test_blocks = -(-len(test) // trials_per_run)
    tested = rng.permutation(test)
    return blocks + [
        Block(tested[:0], tested[i::n_test_blocks], test_repeats) for i in range(n_test_blocks)
    ]


def schedule(
    blocks: list[Block],
    picture_s: float,
    trial_s: float,
    rng: np.random.Generator,
    lead_in_s: float = LEAD_IN_S,
) -> pd.DataFrame:
    """Draw one subject's session.

    Returns
    -------
    trials : DataFrame
        `run` (int, from 1), `onset_s`, `duration_s`, `stimulus_id`, in the order shown.
    """
    runs = [run for block in blocks for run in _deal(block, rng)]
    tables = []
    for number, which in enumerate(rng.permutation(len(runs)), start=1):
        ids = runs[which]
        onsets = onset_times(len(ids), trial_s, rng, lead_in_s)
        columns = {"run": number, "onset_s": onsets, "duration_s": picture_s, "stimulus_id": ids}
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def onset_times(
    n_trials: int, trial_s: float, rng: np.random.Generator, lead_in_s: float = LEAD_IN_S
) -> np.ndarray:
    """Onsets in seconds: one trial after the other, some preceded by a blank.

    A blank lasts half a trial to one and a half, in steps of 0.1 s, so that onsets fall anywhere
    between two volumes. Blanks come one in every stretch of seven trials or so: in a long stretch
    without one the responses overlap so regularly that single trials cannot be told apart (the
    variance of their estimates is 2 to 8 times larger when the same blanks fall anywhere).
    """
    n_blanks = max(1, round(BLANKS_PER_TRIAL * n_trials))
    stretches = np.array_split(np.arange(n_trials), n_blanks)
    blank = np.zeros(n_trials)
    where = [rng.choice(stretch) for stretch in stretches]
    blank[where] = np.round(trial_s * rng.uniform(0.5, 1.5, n_blanks), 1)
    return np.round(lead_in_s + trial_s * np.arange(n_trials) + np.cumsum(blank), 3)


def n_volumes(onsets_s: np.ndarray, trial_s: float, tr_s: float) -> int:
    """Volumes to record so that the last response of a run comes back down."""
    return int(np.ceil((onsets_s.max() + trial_s + TAIL_S) / tr_s))


def _deal(block: Block, rng: np.random.Generator) -> list[np.ndarray]:
    """Split a block's pictures into its runs, in random order; a run without pictures is none."""
    once = rng.permutation(block.once)
    runs = [np.concatenate([once[i :: block.n_runs], block.every]) for i in range(block.n_runs)]
    return [rng.permutation(run) for run in runs if len(run)]
