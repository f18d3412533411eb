"""A study of sounds through the whole line: from WAV files and responses to a report."""

import numpy as np
import pandas as pd
import pytest
from scipy.io import wavfile

from neurodecode.contrastive.sounds import MelTarget
from tests.test_folder_pipeline import run

N_SOUNDS, RATE = 60, 8000
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


def write_sounds(root):
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
