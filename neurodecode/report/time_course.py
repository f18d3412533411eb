"""The time course: when the brain tells which picture was seen, and how long in the same way."""

import numpy as np

from neurodecode.report.artifacts import ALL, array, document, table
from neurodecode.report.figures import FAINT, INK, STYLE
from neurodecode.report.page import render
from neurodecode.report.words import COLOURS, interval, number, p_value


def time_course(study):
    """Curves, clusters, peaks and temporal generalisation, subject by subject."""
    curve = table(study.inputs, "timecourse", "curve.tsv")
    told = document(study.inputs, "timecourse", "timecourse.json")
    if curve is None or told is None:
        return None
    clusters = table(study.inputs, "timecourse", "clusters.tsv")
    names = list(told["subjects"])
    names = [n for n in names if n == ALL] + [n for n in names if n != ALL]
    clusters = clusters.assign(strong=clusters["p"] <= told["significant_p"])
    tabs = [_tab(study, name, told, curve, clusters) for name in names]
    heads, rows = _latencies(told, names, curve)
    return render(
        "time_course.html.j2",
        tabs=tabs,
        heads=heads,
        rows=rows,
        clusters=_cluster_table(clusters),
        files=[study.table("time_course", curve), study.table("clusters", clusters)],
        significant_p=number(told["significant_p"]),
        window_ms=number(1000 * told["window_s"], 0),
        step_ms=number(1000 * told["step_s"], 0),
        level=number(100 * told["level"], 0),
    )


def curve_figure(curve, clusters, told):
    """Draw one subject's curve, its interval, its control and its significant clusters.

    Parameters
    ----------
    curve : DataFrame
        condition (ridge, shuffled), time_s, value, lo, hi, chance.
    clusters : DataFrame
        start_s, end_s of the clusters to mark.
    told : dict
        peak_s, peak_lo_s, peak_hi_s, peak_value: None where there is no peak.

    Returns
    -------
    figure : matplotlib.figure.Figure
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(4.2, 2.6), layout="constrained")
        axes = figure.subplots()
        for name, colour in (("shuffled", COLOURS["shuffled"]), ("ridge", COLOURS["model"])):
            mine = curve[curve["condition"] == name]
            time_ms = 1000 * mine["time_s"]
            axes.fill_between(time_ms, mine["lo"], mine["hi"], color=colour, alpha=0.18, lw=0)
            axes.plot(time_ms, mine["value"], color=colour, linewidth=1.5)
        axes.axhline(curve["chance"].iloc[0], color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
        axes.axvline(0, color=FAINT, linewidth=0.8)
        low, high = _limits(curve)
        axes.set_ylim(low, high)
        _mark_clusters(axes, clusters, low, high)
        _mark_peak(axes, told)
        axes.annotate("onset", (0, high), (3, -2), textcoords="offset points", va="top",
                      fontsize=7.5, color=FAINT)  # fmt: skip
        axes.margins(x=0)
        axes.set_xlabel("middle of the window, ms after the onset")
        axes.set_ylabel("two-way identification")
    return figure


def generalisation_figure(square, times_s, chance):
    """Draw how a decoder of one time does at another: trained upwards, tested rightwards.

    Parameters
    ----------
    square : ndarray, shape (n_times, n_times)
        Trained by tested.
    times_s : ndarray, shape (n_times,)
    chance : float
        The middle of the colours.

    Returns
    -------
    figure : matplotlib.figure.Figure
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    half = (times_s[1] - times_s[0]) / 2 if len(times_s) > 1 else 0.5
    ends = 1000 * np.array([times_s[0] - half, times_s[-1] + half])
    reach = max(np.abs(square - chance).max(), 0.05)
    with rc_context(STYLE):
        figure = Figure(figsize=(2.95, 2.5), layout="constrained")
        axes = figure.subplots()
        colours = {"cmap": "RdBu_r", "vmin": chance - reach, "vmax": chance + reach}
        drawn = axes.imshow(square, origin="lower", extent=(*ends, *ends), **colours)
        axes.plot(ends, ends, color=INK, linewidth=0.6, linestyle=(0, (2, 2)))
        axes.axhline(0, color=FAINT, linewidth=0.8)
        axes.axvline(0, color=FAINT, linewidth=0.8)
        axes.set_xlabel("tested at, ms")
        axes.set_ylabel("trained at, ms")
        bar = figure.colorbar(drawn, ax=axes, shrink=0.85, aspect=16)
        bar.set_ticks([chance - reach, chance, chance + reach])
        bar.set_ticklabels([number(chance + d, 2) for d in (-reach, 0, reach)])
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0)
    return figure


def sentence(told, clusters, n, chance):
    """Say of one subject when decoding is above chance, when it is best, and before the onset.

    Parameters
    ----------
    told : dict
        A subject's part of timecourse.json.
    clusters : DataFrame
        Its clusters: start_s, end_s, p, strong (beyond chance).
    n : int
        Number of test stimuli.
    chance : float
    """
    before = _before_in_words(told)
    strong = clusters[clusters["strong"]]
    if told["peak_s"] is None:
        best = f" (smallest cluster p {p_value(clusters['p'].min())})" if len(clusters) else ""
        return f"At no time is decoding beyond chance{best}. {before}"
    spans = _joined([f"{_ms(c.start_s)} to {_ms(c.end_s)}" for c in strong.itertuples()])
    most = f"cluster p {p_value(strong['p'].max())}"
    return (
        f"Decoding is above chance from {spans} ms ({most}) and peaks at {_ms(told['peak_s'])} ms "
        f"[{_ms(told['peak_lo_s'])}, {_ms(told['peak_hi_s'])}], where {number(told['peak_value'])} "
        f"of choices are right (chance {number(chance)}, n = {n}). {before}"
    )


def _before_in_words(told):
    before = told["before_onset"]
    if before is None:
        return "No window lies before the onset, so that there is no baseline to hold it against."
    return (
        f"Before the onset it is {number(before['value'])} "
        f"{interval(before['lo'], before['hi'])} (mean of {told['n_before_onset']} windows)."
    )


def _tab(study, name, told, curve, clusters):
    mine, own = curve[curve["subject"] == name], told["subjects"][name]
    tested = clusters[(clusters["subject"] == name) & (clusters["over"] == "stimuli")]
    figures = [("curve", "Decoding over time", curve_figure(mine, tested[tested["strong"]], own))]
    square = array(study.inputs, "timecourse", f"{name}/generalisation.npy")
    if square is not None:
        times_s = array(study.inputs, "timecourse", "generalisation_times_s.npy")
        drawn = generalisation_figure(np.asarray(square), np.asarray(times_s), told["chance"])
        figures.append(("generalisation", "Temporal generalisation", drawn))
    return {
        "name": name,
        "sentence": sentence(own, tested, int(mine["n"].max()), told["chance"]),
        "people": _people(clusters) if name == ALL else "",
        "figures": [_kept(study, f"time_{what}_{name}", *one) for what, *one in figures],
    }


def _kept(study, name, title, figure):
    return study.figure(name, figure) | {"title": title, "alt": f"{title}: {name}"}


def _people(clusters):
    """What the test over subjects says, where there were enough of them."""
    over = clusters[clusters["over"] == "subjects"]
    if not len(over):
        return ""
    strong = over[over["strong"]]
    n = int(over["n"].iloc[0])
    if not len(strong):
        return f"Tested over the {n} subjects instead of stimuli, no time is beyond chance."
    spans = _joined([f"{_ms(c.start_s)} to {_ms(c.end_s)}" for c in strong.itertuples()])
    return (
        f"Tested over the {n} subjects instead of stimuli, decoding is above chance from {spans} "
        f"ms (cluster p {p_value(strong['p'].max())})."
    )


def _latencies(told, names, curve):
    heads = ["subject", "best score", "peak (ms)", "onset (ms)", "offset (ms)", "before onset", "n"]
    rows = []
    for name in names:
        own = told["subjects"][name]
        before = own["before_onset"] or {"value": None, "lo": None, "hi": None}
        peak = f"{_ms(own['peak_s'])} [{_ms(own['peak_lo_s'])}, {_ms(own['peak_hi_s'])}]"
        held = f"{number(before['value'])} {interval(before['lo'], before['hi'])}"
        rows.append(
            [
                "all subjects" if name == ALL else name,
                number(own["peak_value"]),
                _unbroken(peak) if own["peak_s"] is not None else "–",
                _ms(own["onset_s"]),
                _ms(own["offset_s"]),
                _unbroken(held),
                number(int(curve.loc[curve["subject"] == name, "n"].max())),
            ]
        )
    return heads, rows


def _cluster_table(clusters):
    """Every cluster that was tested, in print: heads and rows."""
    heads = ["subject", "tested over", "n", "from (ms)", "to (ms)", "mass", "p"]
    rows = [
        [
            c.subject,
            c.over,
            number(int(c.n)),
            _ms(c.start_s),
            _ms(c.end_s),
            number(c.mass, 1),
            p_value(c.p),
        ]  # fmt: skip
        for c in clusters.itertuples()
    ]
    return {"heads": heads, "rows": rows}


def _limits(curve):
    """From below the lowest interval to above the highest, with room for the clusters' bar."""
    low, high = curve["lo"].min(), curve["hi"].max()
    room = 0.06 * (high - low)
    return low - 2 * room, high + 2 * room


def _mark_clusters(axes, clusters, low, high):
    for cluster in clusters.itertuples():
        span = 1000 * cluster.start_s, 1000 * cluster.end_s
        axes.axvspan(*span, color=COLOURS["model"], alpha=0.06, linewidth=0)
        level = low + 0.02 * (high - low)
        axes.hlines(level, *span, color=COLOURS["model"], linewidth=2.5)


def _mark_peak(axes, told):
    if told["peak_s"] is None:
        return
    peak_ms, low_ms, high_ms = (1000 * told[n] for n in ("peak_s", "peak_lo_s", "peak_hi_s"))
    axes.hlines(told["peak_value"], low_ms, high_ms, color=INK, linewidth=1.2, zorder=3)
    axes.scatter(peak_ms, told["peak_value"], s=16, color=INK, zorder=4, linewidths=0)
    text = f"{peak_ms:.0f} ms"
    axes.annotate(text, (peak_ms, told["peak_value"]), (0, 5), textcoords="offset points",
                  ha="center", fontsize=7.5)  # fmt: skip


def _ms(seconds):
    return "–" if seconds is None else number(round(1000 * seconds))


def _unbroken(text):
    return text.replace(" ", "\u00a0")


def _joined(parts):
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and from {parts[-1]}"
