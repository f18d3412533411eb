"""Sounds as targets: mel spectrograms, and the layers of a wav2vec 2.0 [1]_.

References
----------
.. [1] Baevski, A. et al. (2020). wav2vec 2.0: a framework for self-supervised learning of speech
   representations. NeurIPS.
.. [2] Défossez, A. et al. (2023). Decoding speech perception from non-invasive brain recordings.
   Nature Machine Intelligence.
"""

import math
from typing import Literal

import numpy as np

from neurodecode.contrastive.embedding import unit
from neurodecode.core.documents import read_json
from neurodecode.core.ranges import Count, Positive
from neurodecode.weights.folders import load_transformer, model_folder, need_files, read_config

Pool = Literal["mean", "flat"]
FLOOR = 1e-5  # of power in a band
SILENCE = math.log10(FLOOR)


class MelTarget:
    """Logarithmic mel spectrograms of sounds, as Brainmagick [2]_ makes them.

    A sound is brought to mean 0 and deviation 1 and resampled. Its power in Hann windows of `n_fft`
    samples, a quarter of that apart, divided by the window's energy, is summed in `n_mels`
    triangular bands of HTK's scale; a column is log10(power + 1e-5). Columns are brought to
    `rate_hz` by the nearest one. A token is one column.

    Parameters
    ----------
    n_mels : int
        Bands.
    n_fft : int
        Samples of a window at `sampling_hz`; the hop is a quarter of it.
    sampling_hz : int
        To which sounds are resampled.
    seconds : float
        Length of every answer: longer sounds are cut, shorter ones go on as silence.
    rate_hz : float
        Tokens in a second: the rate of the recording that is decoded.
    pool : {"mean", "flat"}
        ``mean``: over the time a sound lasts; ``flat``: all tokens in a row. Its own mean is taken
        away, so that loudness does not make sounds alike.
    """

    takes = ("sounds",)

    def __init__(
        self,
        n_mels: Count = 120,
        n_fft: Count = 512,
        sampling_hz: Count = 16_000,
        seconds: Positive = 3.0,
        rate_hz: Positive = 120.0,
        pool: Pool = "flat",
    ):
        if n_fft < 4:
            raise ValueError(f"n_fft is {n_fft}: a window has at least 4 samples")
        self._sampling_hz, self._n_fft = sampling_hz, n_fft
        self._seconds, self._rate_hz, self._pool = seconds, rate_hz, pool
        self._bands = mel_bands(n_mels, n_fft, sampling_hz)
        self.n_tokens, self.token_dim = _n_tokens(seconds, rate_hz), n_mels
        self.dim = n_mels * (self.n_tokens if pool == "flat" else 1)

    def sounds(self, sounds: list[tuple[np.ndarray, int]]) -> tuple[np.ndarray, np.ndarray]:
        """Embed sounds.

        Parameters
        ----------
        sounds : list of (ndarray of float, shape (n_samples,), int)
            Samples and their rate in Hz.

        Returns
        -------
        pooled : ndarray of float32, shape (n, dim)
            Unit rows.
        tokens : ndarray of float32, shape (n, n_tokens, n_mels)

        Raises
        ------
        ValueError
            For a sound without any variation: it has no direction.
        """
        pooled, tokens = [], []
        for samples, rate in sounds:
            cut, seconds = _cut(samples, rate, self._seconds)
            wave = resampled(_standardised(cut), rate, self._sampling_hz)
            columns = log_mel(wave, self._bands, self._n_fft)
            n_heard = min(self.n_tokens, max(1, round(seconds * self._rate_hz)))
            tokens.append(_padded(nearest(columns, n_heard), self.n_tokens, SILENCE))
            flat = self._pool == "flat"
            whole = tokens[-1].ravel() if flat else tokens[-1][:n_heard].mean(axis=0)
            pooled.append(whole - whole.mean())
        return _directions(pooled), np.stack(tokens).astype(np.float32)


class Wav2VecTarget:
    """The hidden layers of a wav2vec 2.0, HuBERT or the like of transformers, averaged.

    Each sound is resampled, standardised where the folder says so, and goes through the network on
    its own, whole up to `seconds`, so that nothing depends on what stands beside it. Brainmagick
    [2]_ reads the mean of layers 14 to 18 of ``facebook/wav2vec2-large-xlsr-53``, at the rate of
    the recording by the nearest column.

    Parameters
    ----------
    model : str
        A folder with ``config.json``, ``model.safetensors`` and ``preprocessor_config.json``, or a
        hub id.
    revision : str or None
        Commit, tag or branch of a hub id.
    layers : tuple of int
        Whose mean is taken: 0 is the input of the first block, -1 the last one's output.
    seconds : float
        Length of every answer: longer sounds are cut, after shorter ones stand zeros.
    rate_hz : float
        Tokens in a second.
    pool : {"mean", "flat"}
        ``mean``: over the time a sound lasts; ``flat``: all tokens in a row.
    device : str
        ``cpu`` or ``cuda``.

    Raises
    ------
    FileNotFoundError
        If a file is missing, naming it.
    ValueError
        If configuration and weights are of different models, or there is no such layer.
    """

    takes = ("sounds",)

    def __init__(
        self,
        model: str,
        revision: str | None = None,
        layers: tuple[int, ...] = (14, 15, 16, 17, 18),
        seconds: Positive = 3.0,
        rate_hz: Positive = 120.0,
        pool: Pool = "mean",
        device: str = "cpu",
    ):
        folder = model_folder(model, revision)
        n_layers = read_config(folder).get("num_hidden_layers", 0)
        wrong = [i for i in layers if not -n_layers - 1 <= i <= n_layers]
        if wrong or not layers:
            raise ValueError(f"layers={list(layers)}: {folder} has the layers 0 to {n_layers}")
        need_files(folder, "preprocessor_config.json")
        about = read_json(folder / "preprocessor_config.json")
        self._sampling_hz = about.get("sampling_rate", 16_000)
        if type(self._sampling_hz) is not int or not 1000 <= self._sampling_hz <= 192_000:
            raise ValueError(f"{folder}/preprocessor_config.json: sampling_rate is damaged")
        self._standardises = about.get("do_normalize", True) is True
        self._model, _ = load_transformer("AutoModel", folder, device, ("masked_spec_embed",))
        self._layers, self.device = list(layers), device
        self._seconds, self._rate_hz, self._pool = seconds, rate_hz, pool
        self.n_tokens = _n_tokens(seconds, rate_hz)
        self.token_dim = int(self._model.config.hidden_size)
        self.dim = self.token_dim * (self.n_tokens if pool == "flat" else 1)

    def sounds(self, sounds: list[tuple[np.ndarray, int]]) -> tuple[np.ndarray, np.ndarray]:
        """Embed sounds (samples, rate in Hz): unit rows (n, dim) and (n, n_tokens, hidden)."""
        pooled, tokens = [], []
        for samples, rate in sounds:
            cut, seconds = _cut(samples, rate, self._seconds)
            columns = self._columns(resampled(cut, rate, self._sampling_hz))
            n_heard = min(self.n_tokens, max(1, round(seconds * self._rate_hz)))
            tokens.append(_padded(nearest(columns, n_heard), self.n_tokens, 0.0))
            pooled.append(tokens[-1].ravel() if self._pool == "flat" else columns.mean(axis=0))
        return _directions(pooled), np.stack(tokens).astype(np.float32)

    def _columns(self, wave):
        """The mean of the layers, (n_columns, hidden), of one sound."""
        import torch

        if self._standardises:  # as transformers' feature extractor: population variance + 1e-7
            wave = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
        rows = torch.from_numpy(wave.astype(np.float32))[None].to(self.device)
        try:
            with torch.inference_mode():
                hidden = self._model(rows, output_hidden_states=True).hidden_states
        except RuntimeError as error:
            raise ValueError(
                f"a sound of {len(wave)} samples cannot be embedded ({error}): it may be too short"
            ) from error
        return torch.stack([hidden[i][0] for i in self._layers]).mean(dim=0).cpu().numpy()


def resampled(samples: np.ndarray, rate: int, to_hz: int) -> np.ndarray:
    """Resample (n,) from `rate` to `to_hz` by a polyphase filter."""
    from scipy.signal import resample_poly

    common = math.gcd(rate, to_hz)
    return resample_poly(samples, to_hz // common, rate // common).astype(np.float32)


def mel_bands(n_mels: int, n_fft: int, sampling_hz: int) -> np.ndarray:
    """Triangular bands, evenly spaced on HTK's mel scale from 0 to half the sampling rate.

    Returns
    -------
    bands : ndarray of float64, shape (n_fft // 2 + 1, n_mels)
        Heights, 1 at the centre of a band.
    """
    highest = 2595 * np.log10(1 + sampling_hz / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, highest, n_mels + 2) / 2595) - 1)  # Hz
    at = np.linspace(0, sampling_hz // 2, n_fft // 2 + 1)[:, None]
    rising = (at - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - at) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling))


def log_mel(wave: np.ndarray, bands: np.ndarray, n_fft: int, floor: float = FLOOR) -> np.ndarray:
    """Compute log10 of the power in mel bands, plus `floor`: (n_columns, n_mels).

    Columns are centred on every (n_fft // 4)th sample, the ends mirrored; the periodic Hann
    window has energy 1.
    """
    n = np.arange(n_fft)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / n_fft)
    window /= np.sqrt((window**2).sum())
    mode = "reflect" if len(wave) > n_fft // 2 else "constant"  # what is too short to be mirrored
    padded = np.pad(np.asarray(wave, np.float64), n_fft // 2, mode=mode)
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[:: n_fft // 4]
    power = np.abs(np.fft.rfft(frames * window, axis=1)) ** 2  # (n_columns, n_fft // 2 + 1)
    return np.log10(power @ bands + floor)


def nearest(columns: np.ndarray, n: int) -> np.ndarray:
    """Stretch or thin (n_columns, d) to (n, d), each the column at or before its place."""
    return columns[np.arange(n) * len(columns) // n]


def _n_tokens(seconds, rate_hz):
    n = round(seconds * rate_hz)
    if n < 1:
        raise ValueError(f"{seconds} s at {rate_hz} Hz are no token: raise seconds or rate_hz")
    return n


def _cut(samples, rate, seconds):
    """The first seconds of a sound, and how long they last."""
    kept = np.asarray(samples)[: max(1, round(seconds * rate))]
    return kept, len(kept) / rate


def _standardised(samples):
    return (samples - samples.mean()) / (1e-8 + samples.std(ddof=min(1, len(samples) - 1)))


def _padded(columns, n, fill):
    return np.pad(columns, ((0, n - len(columns)), (0, 0)), constant_values=fill)


def _directions(rows):
    rows = np.stack(rows).astype(np.float32)
    flat = np.flatnonzero(np.linalg.norm(rows, axis=1) < 1e-6)
    if len(flat):
        raise ValueError(
            f"sound {flat[0]} of {len(rows)} given never varies: a silent one cannot be told from "
            "others; list it in recipe.ignore"
        )
    return unit(rows)
