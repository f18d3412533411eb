"""Sizes of published networks: ``${size:64,1024,4096,4096}`` in a YAML is a number for each.

The top-level key ``size`` says which of them holds. Only the number enters keys and results.
"""

from neurodecode.core.errors import ConfigError

SIZES = ("tiny", "24gb", "80gb", "published")


def register():
    """Teach OmegaConf the resolver ``size``."""
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver("size", _of_size, replace=True)


def check(composed):
    """Refuse a size that is none, or that changes nothing in what was composed.

    Parameters
    ----------
    composed : DictConfig
        Not resolved.

    Raises
    ------
    ConfigError
    """
    from omegaconf import OmegaConf

    wanted = composed.get("size", SIZES[0])
    if wanted not in SIZES:
        raise ConfigError(f"size={wanted}: expected one of {', '.join(SIZES)}")
    if wanted == SIZES[0] or composed.get("published"):
        return
    if "${size:" not in OmegaConf.to_yaml(composed):
        raise ConfigError(
            f"size={wanted} changes nothing here: only the published decoders come in sizes, such "
            "as experiment=mindeye2 (docs/decoders.md)"
        )


def _of_size(*values, _root_):
    if len(values) != len(SIZES):
        raise ConfigError(
            f"${{size:{','.join(map(str, values))}}} has {len(values)} values: give one each for "
            f"{', '.join(SIZES)}"
        )
    wanted = _root_.get("size", SIZES[0])
    return values[SIZES.index(wanted)] if wanted in SIZES else values[0]
