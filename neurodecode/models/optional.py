"""Libraries that only some classifiers need: found when they are used, or asked for by name."""

import importlib
from types import ModuleType


def needed(module: str, package: str, what: str) -> ModuleType:
    """Import a library of the extra `classifiers`.

    Parameters
    ----------
    module, package : str
        What is imported, and what is installed.
    what : str
        What needs it.

    Raises
    ------
    ValueError
        If it is not installed, saying how to get it.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ValueError(
            f"{what} needs the package {package}: pip install 'neurodecode-pictures[classifiers]'"
        ) from None
