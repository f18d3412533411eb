"""`neurodecode status RUN…`: what is done, running and waiting, and how long it will take."""

from pathlib import Path

STATUS = """\
of a run, or of a sweep's members in one line each. `killed` is a run whose process is gone,
`silent` one on another host without a sign of life for two minutes.

neurodecode status runs/demo/2026-01-31_12-00-00
neurodecode status runs/demo/sweep_2026-01-31_12-00-00
watch neurodecode status runs/demo/2026-01-31_12-00-00"""


def status_parser(parser):
    """Add what the command takes."""
    parser.epilog = STATUS
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="folder of a run or sweep"
    )
    parser.add_argument("--json", action="store_true", help="machine-readable")
    parser.set_defaults(action=_status)


def _status(arguments):
    import json

    from neurodecode.cli.compose import planned_jobs
    from neurodecode.core.costs import duration
    from neurodecode.core.watch import look, told

    for folder in arguments.runs:
        members = sorted(p.parent for p in folder.glob("*/run.json"))
        if (folder / "run.json").is_file() or not (members or planned_jobs(folder)):
            state = look(folder)
            print(json.dumps(state, indent=1) if arguments.json else told(state), flush=True)
            if not arguments.json and (seconds := left_s(state)):
                print(f"  about {duration(seconds)} left in all, by what earlier runs took")
            continue
        states = [look(member) for member in members]
        if arguments.json:
            print(json.dumps(states, indent=1))
        else:
            print("\n".join([_sum(folder, states), *(f"  {_line(s)}" for s in states)]))
    return 0


def _sum(folder, states):
    """How many of a sweep's members are where; those that never began counted too."""
    from neurodecode.cli.compose import planned_jobs

    names = [state["status"] for state in states]
    counts = {name: names.count(name) for name in dict.fromkeys(names)}
    never = len(planned_jobs(folder)) - len(states)
    counts |= {"not begun": never} if never > 0 else {}
    return f"{folder}: {', '.join(f'{n} {name}' for name, n in counts.items())}"


def _line(state):
    running = state.get("running") or {}
    at = f" {running['stage']} {running['each'] or ''}".rstrip() if running else ""
    n_done = len({d["stage"] for d in state["done"]})
    of = len(state.get("stages", [])) or n_done + len(state["waiting"])
    error = f": {state['error']}" if state.get("error") else ""
    return f"{Path(state['folder']).name:12} {state['status']}{at}, {n_done} of {of} stages{error}"


def left_s(state):
    """Forecast the seconds that a running run still takes; None where nothing is known."""
    if state["status"] != "running":
        return None
    from neurodecode.cli import machine
    from neurodecode.core.errors import UserError
    from neurodecode.core.forecast import forecast
    from neurodecode.core.runner import Pipeline, Store

    config = state["config"]
    try:
        hardware = {
            "device": machine.resolve_device(config["device"]),
            "threads": machine.resolve_threads(config["threads"]),
        }
        lines = forecast(Pipeline(config, Store.looked_at(state["store"]), hardware))
    except (UserError, OSError, ValueError, KeyError):
        return None
    return sum(line.cost.seconds or 0 for line in lines if line.state != "cached")
