"""Decode pictures from brain recordings, with the controls a referee asks for."""

__version__ = "0.1.0"

_PLACES = {  # imported when they are first used: the command line's help needs none of them
    "apply": "neurodecode.api.apply",
    "load": "neurodecode.api.decoder",
    "fit": "neurodecode.api.estimator",
    "Decoder": "neurodecode.api.estimator",
}
__all__ = [*_PLACES, "__version__"]  # noqa: PLE0604


def __getattr__(name):
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__():
    return sorted({*globals(), *_PLACES})
