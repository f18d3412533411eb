"""Read signals: a reader for each family of file formats."""

from pathlib import Path

FORMATS = {
    ".nii.gz": "bold",
    ".nii": "bold",
    ".dtseries.nii": "cifti",
    ".func.gii": "gifti",
    ".vhdr": "meeg",
    ".fif": "meeg",
    ".edf": "meeg",
    ".bdf": "meeg",
    ".set": "meeg",
    ".ds": "meeg",
}


def format_of(path):
    """Return the ending of a signal file, such as ``.nii.gz``; "" if no reader knows it."""
    name = Path(path).name
    return next((end for end in sorted(FORMATS, key=len)[::-1] if name.endswith(end)), "")


def reader_of(path):
    """Return the module that reads a signal file.

    Raises
    ------
    ValueError
        For an ending that no reader knows.
    """
    # Imported by name: the code of a reader counts as that of every stage that may read by it.
    from neurodecode.data.readers import bold, cifti, gifti, meeg

    ending = format_of(path)
    if not ending:
        raise ValueError(f"{path} is of no known format: {', '.join(FORMATS)}")
    readers = {"bold": bold, "cifti": cifti, "gifti": gifti, "meeg": meeg}
    return readers[FORMATS[ending]]
