"""A study of sounds through the whole line: from WAV files and responses to a report."""

import numpy as np
import pandas as pd
import pytest
from scipy.io import wavfile

from neurodecode.contrastive.sounds import MelTarget
from tests.test_folder_pipeline import run

N_SOUNDS, RATE, N_SENSORS = 60, 8000, 12
QUICK = [
    "embed=mel",
    "embed.target.seconds=0.5",
    "embed.target.rate_hz=20",
    "embed.target.n_mels=20",
    "threads=1",
    "device=cpu",
    "train.decoder_training.n_epochs=3",
    "evaluate.n_bootstrap=50",
    "evaluate.n_permutations=50",
]


def write_sensors(root):
    """Write when and where the brain was measured."""
    up = np.random.default_rng(1).standard_normal((N_SENSORS, 3)) * [1, 1, 0.5] + [0, 0, 0.7]
    np.save(root / "positions_mm.npy", 90 * up / np.linalg.norm(up, axis=1, keepdims=True))
    np.save(root / "times_s.npy", np.arange(10) / 20)


def write_sounds(root, over_time=False):
    """Write filtered noises, and responses that are a noisy linear map of their spectrograms."""
    rng = np.random.default_rng(0)
    (root / "stimuli").mkdir(parents=True)
    names, heard = [f"s{i:02d}.wav" for i in range(N_SOUNDS)], []
    for name in names:
        times = np.arange(RATE // 2) / RATE
        tones = np.sin(2 * np.pi * rng.uniform(100, 3500, (4, 1)) * times)
        wave = (rng.uniform(0, 1, (4, 1)) * tones).sum(axis=0) + 0.05 * rng.standard_normal(4000)
        wavfile.write(root / "stimuli" / name, RATE, (wave * 6000).astype(np.int16))
        heard.append((wave.astype(np.float32), RATE))
    spectra = MelTarget(seconds=0.5, rate_hz=20.0, n_mels=20).sounds(heard)[0]
    spectra = spectra - spectra.mean(axis=0)
    order = np.concatenate([rng.permutation(N_SOUNDS) for _ in range(2)])
    if over_time:
        write_sensors(root)
        spectra = spectra.reshape(N_SOUNDS, 10, 20)  # each time is answered at that time
        mixing = rng.standard_normal((20, N_SENSORS))
        responses = np.einsum("ntm,mc->nct", spectra[order], mixing)
    else:
        responses = spectra[order] @ rng.standard_normal((spectra.shape[1], 40))
    responses += 0.2 * responses.std() * rng.standard_normal(responses.shape)
    np.save(root / "responses.npy", responses.astype(np.float32))
    runs = np.arange(len(order)) * 5 // len(order)
    trials = pd.DataFrame({"run": runs, "stim_file": [names[i] for i in order]})
    trials.to_csv(root / "trials.tsv", sep="\t", index=False)


@pytest.mark.slow
def test_sounds_are_retrieved_from_a_plain_folder(tmp_path):
    write_sounds(tmp_path / "study")
    found, _ = run(tmp_path, "experiment=folder", *QUICK)
    assert {("model", "two_way_embedding"), ("shuffled", "two_way_embedding")} <= found


@pytest.mark.slow
def test_sounds_are_decoded_over_time_by_brainmagick(tmp_path):
    write_sounds(tmp_path / "study", over_time=True)
    network = ["model=brainmagick", "loss=brainmagick", "scaling=robust", "aligner=identity"]
    network += ["train.linear_start=null", "train.stacking=false", "train.tokens_weight=0"]
    own = ["train.decoder_training.n_epochs=150", "train.decoder_training.ema_decay=0.9"]
    found, said = run(tmp_path, "experiment=folder", *QUICK, *network, *own)
    assert {("model", "two_way_embedding"), ("shuffled", "two_way_embedding")} <= found
    found_again = [line for line in said.splitlines() if "single validation trials find" in line]
    assert float(found_again[0].split()[1]) > 0.4  # 6 sounds: chance is .17
