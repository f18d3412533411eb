"""From the words of a command to a configuration, by Hydra; and the runs made of it."""

import logging
import os
import sys
import time
from pathlib import Path

from neurodecode.cli import machine, sizes, sweep
from neurodecode.cli.given import check_given_files, given_folders
from neurodecode.core.stop import EXIT_CODE

DRY = "--dry"
STOPPED = (130, EXIT_CODE)
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
    """Compose the configuration, or those of a sweep, and run them; return the exit code."""
    code, members = _composed(overrides, _run_here)
    if members:
        print(sweep.summary(members, whole=not code), flush=True)
    return code or sweep.exit_code(members)


def _run_here(config):
    run_composed(config, _output_folder())


def dry_run(overrides):
    """Compose the configuration, or those of a sweep, and print what running it would take."""
    import tempfile

    told = []
    with tempfile.TemporaryDirectory() as folder:  # Hydra wants one; nothing of it is kept
        away = [f"hydra.run.dir={folder}", f"hydra.sweep.dir={folder}"]
        given = [o for o in overrides if o != DRY]
        foreseen = lambda config: told.append(foresee(config))
        code, members = _composed([*given, *away], foreseen, dry=True)
        code = max([code, *(m.code for m in members)])
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


class Task:
    """What Hydra calls with every composed configuration: here, or as a job on another node.

    Parameters
    ----------
    action : callable (config)

    Attributes
    ----------
    members : list of Member
        The runs of a sweep so far; a launcher that runs them elsewhere adds to it.
    code : int
        The exit code of a run that belongs to no sweep.
    """

    def __init__(self, action):
        self.action, self.members, self.code = action, [], 0

    def __call__(self, composed):
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        folder, started = _output_folder(), time.monotonic()
        # interpolations into hydra's own node resolve only here
        action = lambda: self.action(_resolved(composed))
        code = machine.guarded(action, folder)
        if code in STOPPED:  # the sweep too, not this member alone
            raise SystemExit(code)
        hydra = HydraConfig.get()
        if hydra.mode == RunMode.MULTIRUN:
            state, took = sweep.FAILED if code else sweep.DONE, time.monotonic() - started
            about = hydra.job.num, tuple(hydra.overrides.task), state, f"{took:.0f} s"
            why = sweep.status(folder)[1]
            self.members.append(sweep.Member(*about, folder / "run.log", why, code))
        else:
            self.code = code
        return code


def _composed(overrides, action, dry=False):
    """Compose with Hydra, call the action with each configuration.

    Returns
    -------
    code : int
        Of composing, and of a run that is no member of a sweep.
    members : list of Member
        Of a sweep.
    """
    import hydra

    task = Task(action)
    sizes.register()
    job = hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")(task)
    # No experiment is what there is without one; Hydra takes null in the file only.
    wanted = replacing(o for o in overrides if o != "experiment=null")
    sys.argv = ["neurodecode run", *wanted]
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # raised to `guarded`, not printed by Hydra
    refused = machine.guarded(lambda: check_given_files(given_folders(wanted)))
    if refused:
        return refused, task.members
    _offer_slurm(dry)
    try:
        code = machine.guarded(job)
    except SystemExit as done:  # --help, --cfg and the like; a sweep that was stopped
        code = done.code or 0
    return code or task.code, task.members


def _offer_slurm(dry):
    """Let Hydra find our launcher, if the package that it builds on is installed."""
    try:
        from neurodecode.cli import slurm
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("hydra_plugins"):
            raise
        return
    slurm.register(slurm.Dry if dry else slurm.Launcher)


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

    sizes.register()
    with initialize_config_dir(str(conf_folder().absolute()), version_base="1.3"):
        return _resolved(compose("config", replacing(overrides)))


def _resolved(composed):
    """The composed configuration as plain dictionaries, every reference replaced."""
    from omegaconf import OmegaConf

    sizes.register()  # this may be another node than the one that composed
    sizes.check(composed)
    return OmegaConf.to_container(composed, resolve=True)


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
    from neurodecode.core.runner import PRODUCTS, Pipeline, Store

    for name in ("run.json", *PRODUCTS):  # of an earlier run in the same folder
        (run_folder / name).unlink(missing_ok=True)
    config, hardware = _on_this_machine(config)
    log = logging.getLogger("neurodecode")
    report = run_folder / "report.html"
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
    threads = config["threads"]
    if threads is None:  # a job's own, also where it is only foreseen
        threads = (config.get("launcher") or {}).get("cpus")
    threads = machine.resolve_threads(threads)
    machine.limit_threads(threads)
    device = machine.resolve_device(config["device"])
    return machine.with_device(config, config["device"], device), {
        "device": device,
        "threads": threads,
    }
