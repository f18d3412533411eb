"""fMRIPrep's confounds by nilearn's strategies, against nilearn itself."""

import numpy as np
import pandas as pd
import pytest
from nilearn.interfaces.fmriprep import load_confounds_strategy

from neurodecode.data.readers.confounds import load_strategy, spikes
from tests.data.fmriprep_study import write_confounds
from tests.data.small_study import N_VOLUMES

MOTION = ["trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z"]
NAMES = {
    "volume": ["s_task-x_run-1_space-MNI152NLin2009cAsym_res-2_desc-preproc_bold.nii.gz"],
    "surface": [f"s_task-x_run-1_hemi-{h}_space-fsaverage5_bold.func.gii" for h in "LR"],
    "older surface": [f"s_task-x_run-1_space-fsaverage5_hemi-{h}_bold.func.gii" for h in "LR"],
    "cifti": ["s_task-x_run-1_space-fsLR_den-91k_bold.dtseries.nii"],
    "aroma": ["s_task-x_run-1_space-MNI152NLin6Asym_desc-smoothAROMAnonaggr_bold.nii.gz"],
}


@pytest.fixture
def run(tmp_path):
    """``run(kind)``: the signal files of a run, beside its confounds."""
    rng = np.random.default_rng(1)
    motion = pd.DataFrame(rng.standard_normal((N_VOLUMES, 6)).cumsum(axis=0), columns=MOTION)
    write_confounds(tmp_path / "sub-1_task-x_run-1", motion, np.zeros((N_VOLUMES, 3)))
    return lambda kind: [str(tmp_path / name.replace("s_", "sub-1_", 1)) for name in NAMES[kind]]


@pytest.mark.parametrize(
    ("strategy", "kind", "n"),
    [
        ("simple", "volume", 26),
        ("simple", "surface", 26),
        ("simple", "older surface", 26),
        ("simple", "cifti", 26),
        ("compcor", "volume", 27),
        ("scrubbing", "surface", 32),
        ("ica_aroma", "aroma", 2),
    ],
)
def test_a_strategy_is_nilearns_without_its_drifts(run, strategy, kind, n):
    paths = run(kind)
    values, n_alone = load_strategy(paths, strategy)
    table, kept = load_confounds_strategy(paths if len(paths) > 1 else paths[0], strategy)
    mine = sorted(c for c in table if not c.startswith("cosine"))
    assert len(mine) == n == len(table.columns) - 2
    assert np.allclose(values[:, :n], table[mine])
    assert n_alone == N_VOLUMES - len(kept) == values.shape[1] - n


def test_volumes_that_are_scrubbed_have_a_regressor_each(run):
    plain, scrubbed = (load_strategy(run("volume"), s)[1] for s in ("simple", "scrubbing"))
    assert plain == 1  # the first volume, before the steady state
    values, _ = load_strategy(run("volume"), "scrubbing")
    alone = values[:, -scrubbed:]
    _, kept = load_confounds_strategy(run("volume")[0], "scrubbing")
    assert scrubbed == 3 and (alone.sum(axis=0) == 1).all()
    assert np.flatnonzero(alone.sum(axis=1)).tolist() == [0, 40, 41]
    assert not set(kept) & {0, 40, 41}


def test_a_regressor_for_one_volume_is_as_good_as_cutting_it_out():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((30, 3)), rng.standard_normal(30)
    y[[4, 7]] = 1e3
    kept = np.setdiff1d(np.arange(30), [4, 7])
    whole = np.linalg.lstsq(np.hstack([X, spikes(kept, 30)]), y, rcond=None)[0][:3]
    assert np.allclose(whole, np.linalg.lstsq(X[kept], y[kept], rcond=None)[0])
    assert spikes(None, 30).shape == (30, 0)


def test_options_reach_nilearn(run):
    values, n_alone = load_strategy(run("volume"), "scrubbing", {"fd_threshold": 2, "scrub": 0})
    assert n_alone == 1
    fewer, _ = load_strategy(run("volume"), "simple", {"motion": "basic"})
    assert fewer.shape[1] == 6 + 2 + 1 < values.shape[1]


def test_what_nilearn_does_not_find_is_said(run, tmp_path):
    with pytest.raises(ValueError, match="the strategies are simple, scrubbing, compcor"):
        load_strategy(run("volume"), "simpel")
    with pytest.raises(ValueError, match="confound_options has fd: nilearn.* fd_threshold"):
        load_strategy(run("volume"), "scrubbing", {"fd": 0.2})
    with pytest.raises(ValueError, match="smoothAROMAnonaggr"):
        load_strategy(run("volume"), "ica_aroma")
    next(tmp_path.glob("*_timeseries.json")).unlink()
    with pytest.raises(ValueError, match="associated json"):
        load_strategy(run("volume"), "compcor")
    next(tmp_path.glob("*_timeseries.tsv")).unlink()
    with pytest.raises(ValueError, match=r"timeseries.tsv and .json must lie beside it"):
        load_strategy(run("volume"), "simple")
