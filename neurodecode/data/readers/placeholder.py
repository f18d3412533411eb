"""Tell a recording from a placeholder: data sets often come with their tables but no signals."""

from pathlib import Path

SAMPLES_OF_HEADER = {".vhdr": (".eeg", ".dat"), ".set": (".fdt",)}
SAMPLES_OF_FOLDER = {".ds": "*.meg4"}
LEAST_BYTES = 512  # a recording of any length holds more


def is_placeholder(path):
    """Say whether a signal file, or the file of samples beside a header, is there but empty.

    Parameters
    ----------
    path : path
        A signal file, or the folder of a CTF recording. The few bytes that some example data sets
        write in place of samples count as empty too.
    """
    path = Path(path)
    if path.is_dir():
        inside = [p for p in path.glob(SAMPLES_OF_FOLDER.get(path.suffix, "*")) if p.is_file()]
        return sum(p.stat().st_size for p in inside) < LEAST_BYTES
    if not path.stat().st_size:
        return True
    beside = [path.with_suffix(s) for s in SAMPLES_OF_HEADER.get(path.suffix, ())]
    sizes = [p.stat().st_size for p in beside if p.is_file()]
    return bool(sizes) and max(sizes) < LEAST_BYTES
