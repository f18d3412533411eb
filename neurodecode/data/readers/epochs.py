"""Read files of mne.Epochs, and what their metadata say of every epoch."""

from pathlib import Path

import numpy as np

from neurodecode.data.readers import headers


def open_epochs(path):
    """Open a file of epochs; its samples are read when they are asked for.

    Returns
    -------
    epochs : mne.Epochs

    Raises
    ------
    ValueError
        If the file is empty or not readable.
    """
    import mne

    if not Path(path).stat().st_size:
        raise ValueError(f"{path} is empty: the data set came without its files; fetch them")
    try:
        headers.check(path)
        return mne.read_epochs(path, proj=False, preload=False, verbose="ERROR")
    except Exception as error:  # a damaged file fails anywhere in mne's reader
        raise ValueError(
            f"{path} is not a readable file of mne.Epochs ({error}): write it anew by "
            "epochs.save('…-epo.fif')"
        ) from None


def facts(path):
    """Return ``sfreq_hz``, ``n_epochs``, ``n_samples`` of an epoch and ``n_channels``."""
    epochs = open_epochs(path)
    return {
        "sfreq_hz": float(epochs.info["sfreq"]),
        "n_epochs": len(epochs),
        "n_samples": len(epochs.times),
        "n_channels": len(epochs.ch_names),
    }


def about_epochs(path, column):
    """Tabulate the epochs of a file.

    Parameters
    ----------
    path : path
    column : str
        Column of the metadata with what was shown. Without metadata the names of the events say
        it: ``event_id={"dog.jpg": 1, …}``.

    Returns
    -------
    table : DataFrame of str, and numbers in ``epoch`` and ``onset_s``
        Columns of the metadata; ``epoch``, the row in the file; ``onset_s``, by the metadata's
        ``onset`` or by the number of the event's sample; ``shown``.

    Raises
    ------
    ValueError
        If neither metadata nor names of events say what was shown.
    """
    import pandas as pd

    epochs = open_epochs(path)
    metadata = epochs.metadata
    onset_s = epochs.events[:, 0] / epochs.info["sfreq"]
    if metadata is None:
        shown, metadata = _event_names(epochs, path, column), pd.DataFrame(index=range(len(epochs)))
    elif column in metadata:
        shown = metadata[column].astype(str).to_numpy()
        onset_s = metadata["onset"].to_numpy(float) if "onset" in metadata else onset_s
    else:
        raise ValueError(
            f"the metadata of {path} have no column {column!r}, only "
            f"{', '.join(map(str, metadata))}: name that of the pictures in recipe.stim_column, or "
            "that of the categories in recipe.label_column"
        )
    table = metadata.reset_index(drop=True).astype(str)
    return table.assign(epoch=np.arange(len(epochs)), onset_s=onset_s, shown=shown)


def _event_names(epochs, path, column):
    name_of = {code: name for name, code in epochs.event_id.items()}
    if all(str(name).lstrip("-").isdigit() for name in name_of.values()):
        raise ValueError(
            f"{path} has no metadata, and its events are only numbers ({', '.join(epochs.event_id)}"
            f"): set epochs.metadata with a column {column!r} that says what was shown, and save "
            "it again"
        )
    return np.array([name_of[code] for code in epochs.events[:, 2]])
