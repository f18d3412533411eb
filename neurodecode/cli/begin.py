"""Before the first run of a sweep: its folder can be named, and its launcher is checked."""

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import OmegaConf


class Begin(Callback):
    """What Hydra calls when it has composed what all runs of a sweep share."""

    def on_multirun_start(self, config, **kwargs):
        """Set Hydra's own node: it does so for each run, but `runs/${name}` needs it before."""
        HydraConfig.instance().set_config(config)
        if "launcher" in config:
            from neurodecode.cli.slurm import LauncherConfig
            from neurodecode.core.checks import dataclass_from

            dataclass_from(OmegaConf.to_container(config.launcher), LauncherConfig, "launcher")
