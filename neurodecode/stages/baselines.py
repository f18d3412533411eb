"""The linear baseline of every study: ridge from each subject's responses to all targets."""

from functools import partial

from neurodecode.core.lazy import Lazy

# himalaya holds the hat matrix of each penalty, 7 bytes times the square of the trials.
MANY_TRIALS = 10_000


def baselines(stimuli, tables, n_components, device, out, train):
    """Fit ridge to every table for every subject: yields (subject, fit) in order."""
    lazy = any(isinstance(table, Lazy) for table in tables.values())
    for subject, (responses, trials) in train.items():
        runs = runs_of(trials)
        shown = stimuli.get_indexer(trials["stimulus_id"])
        in_blocks = lazy or len(trials) > MANY_TRIALS
        fit = partial(fit_in_blocks, device=device, out=out) if in_blocks else fit_at_once
        yield subject, fit(responses, tables, shown, runs, n_components)


def runs_of(trials):
    """The run of each trial, of all sessions."""
    return (trials["session"].astype(str) + " " + trials["run"].astype(str)).to_numpy()


def fit_at_once(responses, tables, shown, runs, n_components):
    """Fit one subject's ridge from arrays."""
    import scipy.linalg  # noqa: F401  (only libraries that are loaded already can be limited)
    from threadpoolctl import threadpool_limits

    from neurodecode.models.baseline import fit_baseline

    targets = {name: table[shown] for name, table in tables.items()}
    # One thread: two on a singular value decomposition of this size took six times as long.
    with threadpool_limits(1, "blas"):
        return fit_baseline(responses, targets, runs, n_components)


def fit_in_blocks(responses, tables, shown, runs, n_components, device, out):
    """Fit one subject's ridge from rows on disk; its sums lie on disk too while it is fitted."""
    from neurodecode.models.baseline_in_blocks import fit_baseline_in_blocks

    scratch = lambda name, shape: out.work_array(f"ridge_{name}", shape)
    how = n_components, scratch, device
    fit = fit_baseline_in_blocks(responses, tables, shown, runs, *how)
    for file in out.work.glob("ridge_*.npy"):
        file.unlink()
    return fit
