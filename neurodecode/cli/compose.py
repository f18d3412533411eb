"""From the words of a command to a configuration, by Hydra; and the runs made of it."""

import logging
import os
import sys
from pathlib import Path

from neurodecode.cli import machine
from neurodecode.cli.given import check_given_files, given_folders

DRY = "--dry"
MOST_JOBS = 100_000  # of a sweep
PATTERNS = ("recipe.bold_entities", "recipe.mask", "recipe.rois", "recipe.confounds")


def conf_folder():
    """Return the folder of configurations: inside an installed package, or beside a checkout's."""
    package = Path(__file__).parents[1]
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def experiments():
    """Return the names of the experiments that come with the package."""
    return sorted(p.stem for p in (conf_folder() / "experiment").glob("*.yaml"))


def run(overrides):
    """Compose the configuration with Hydra and run the pipeline; return the exit code."""
    return _composed(overrides, lambda config: run_composed(config, _output_folder()))


def dry_run(overrides):
    """Compose the configuration, or those of a sweep, and print what running it would take."""
    import tempfile

    told = []
    with tempfile.TemporaryDirectory() as folder:  # Hydra wants one; nothing of it is kept
        away = [f"hydra.run.dir={folder}", f"hydra.sweep.dir={folder}", "hydra/launcher=basic"]
        given = [o for o in overrides if o != DRY]
        code = _composed([*given, *away], lambda config: told.append(foresee(config)))
    if len(told) > 1:
        from neurodecode.core.forecast import free_mib, summary

        every, roots = [line for lines, _ in told for line in lines], {r for _, r in told}
        print("\n".join(summary(every, min(map(free_mib, roots)), len(told))))
    return code


def foresee(config):
    """Print the forecast of one composed configuration; return its lines and the store's folder."""
    from neurodecode.core.forecast import forecast, free_mib, summary, table
    from neurodecode.core.runner import Pipeline, Store

    config, hardware = _on_this_machine(config)
    store = Store.looked_at(config["store"])
    lines = forecast(Pipeline(config, store, hardware))
    on = f"{hardware['device']}, {hardware['threads']} threads"
    print(f"dry run: {config['name']} on {on}; store {store.root}; nothing is run or written\n")
    print(table(lines, store.root) + "\n")
    print("\n".join(summary(lines, free_mib(store.root))) + "\n")
    return lines, store.root


def _composed(overrides, action):
    """Compose with Hydra, call the action with each configuration; return the worst exit code."""
    import hydra
    from omegaconf import OmegaConf

    codes = []

    @hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")
    def job(composed):
        # interpolations into hydra's own node resolve only here
        config = OmegaConf.to_container(composed, resolve=True)
        folder = _output_folder()
        codes.append(machine.guarded(lambda: action(config), folder))

    # No experiment is what there is without one; Hydra takes null in the file only.
    wanted = replacing(o for o in overrides if o != "experiment=null")
    sys.argv = ["neurodecode run", *wanted]
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # raised to `guarded`, not printed by Hydra
    refused = machine.guarded(lambda: check_given_files(given_folders(wanted)))
    if refused:
        return refused
    try:
        composing = machine.guarded(job)
    except SystemExit as done:  # --help, --cfg and the like
        composing = done.code or 0
    return max([composing, *codes])


def replacing(overrides):
    """Let a pattern of entities replace the one there, or null; Hydra would merge them."""
    whole = lambda key, value: key in PATTERNS and value.startswith("{")
    parts = [(o, *o.partition("=")[::2]) for o in overrides]
    return [
        word
        for o, key, value in parts
        for word in ((f"{key}=null", o) if whole(key, value) else (o,))
    ]


def composed(overrides):
    """Compose the configuration as `run` does, without running it; resolved."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    with initialize_config_dir(str(conf_folder().absolute()), version_base="1.3"):
        return OmegaConf.to_container(compose("config", replacing(overrides)), resolve=True)


def planned_jobs(sweep):
    """Return the overrides of every job that a sweep was to run, from its ``multirun.yaml``.

    Empty where there is no such file, or where another sweeper than Hydra's own chose the jobs.
    """
    import itertools
    import math

    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    from neurodecode.core.documents import read_yaml
    from neurodecode.core.errors import ConfigError

    file = Path(sweep) / "multirun.yaml"
    if not file.is_file():
        return []
    try:
        hydra = read_yaml(file)["hydra"]
        own = hydra["sweeper"]["_target_"].endswith(".BasicSweeper")
        if not own or hydra["sweeper"].get("params"):
            return []
        parsed = OverridesParser.create().parse_overrides(hydra["overrides"]["task"])
    except (KeyError, TypeError, AttributeError, HydraException) as error:
        raise ConfigError(f"{file} is no record of a sweep ({error}): run it again") from None
    choices = []
    for override in parsed:
        key = override.get_key_element()
        swept = override.is_sweep_override()
        if swept and not override.is_discrete_sweep():
            return []
        given = override.sweep_string_iterator() if swept else [override.get_value_element_as_str()]
        choices.append([f"{key}={value}" for value in given])
    if math.prod(map(len, choices)) > MOST_JOBS:
        raise ConfigError(f"{file} records a sweep of more than {MOST_JOBS} jobs: it is damaged")
    return [list(job) for job in itertools.product(*choices)]


def _output_folder():
    from hydra.core.hydra_config import HydraConfig

    return Path(HydraConfig.get().runtime.output_dir)


def run_composed(config, run_folder):
    """Run one composed configuration; products and ``run.json`` go to `run_folder`."""
    config, hardware = _on_this_machine(config)
    from neurodecode.core.runner import Pipeline, Store

    log = logging.getLogger("neurodecode")
    report = run_folder / "report.html"
    report.unlink(missing_ok=True)  # of an earlier run in the same folder
    log.info(
        "neurodecode: %s on %s, %d threads; store %s",
        config["name"],
        hardware["device"],
        hardware["threads"],
        config["store"],
    )
    Pipeline(config, Store(config["store"]), hardware, run_folder).run()
    log.info("report: %s", report if report.exists() else f"none asked for; see {run_folder}")


def _on_this_machine(config):
    """Check the top, hold to the threads, find the device; return (config, what enters keys)."""
    from neurodecode.core.checks import typed
    from neurodecode.core.composing import check_given, check_read
    from neurodecode.core.trust import trust

    check_read(config, {p.stem for p in (conf_folder() / "stage").glob("*.yaml")})
    trust(typed(config.get("trust") or [], list[str], "trust"), given_folders(sys.argv[1:]))
    check_given({stage: config.get(stage) or {} for stage in config["stages"]})
    typed(config.get("subjects"), list[str] | None, "subjects")
    threads = machine.resolve_threads(config["threads"])
    machine.limit_threads(threads)
    device = machine.resolve_device(config["device"])
    return machine.with_device(config, config["device"], device), {
        "device": device,
        "threads": threads,
    }
