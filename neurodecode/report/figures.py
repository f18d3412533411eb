"""Figures of the report, drawn with matplotlib: scores at a glance and learning curves."""

import io

import numpy as np

from neurodecode.report.words import (
    condition_colours,
    condition_label,
    condition_marker,
    interval,
    number,
)

COLOUR, SHADES = "#0b5cad", ("#57606a", "#8b949e", "#3f7f93", "#9b6a9b", "#7a5c00", "#5a6b2f")
INK, FAINT = "#1b1f24", "#8b949e"
_SPLITS = {"train": ("#57606a", "training"), "val": ("#0b5cad", "validation")}
STYLE = {
    "font.family": "DejaVu Sans",  # matplotlib's own: the same figure on every machine
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "svg.hashsalt": "neurodecode",
    "pdf.fonttype": 42,  # letters that drawing programs can edit
}


UNDATED = {
    "svg": {"Date": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def settle(figure):
    """Lay a figure out once: each file of it would be laid out twice."""
    from matplotlib import rc_context

    if (engine := figure.get_layout_engine()) is not None:
        with rc_context(STYLE):
            engine.execute(figure)
        figure.set_layout_engine("none")


def as_file(figure, kind, dpi=200):
    """Write a figure as the bytes of a file, equal for equal figures.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    kind : {"svg", "png", "pdf"}
    dpi : int
        Of a PNG file.
    """
    from matplotlib import rc_context

    file, how = io.BytesIO(), {"dpi": dpi} if kind == "png" else {"transparent": True}
    with rc_context(STYLE):
        figure.savefig(file, format=kind, metadata=UNDATED[kind], **how)
    return file.getvalue()


def as_svg(figure):
    """Write a figure as the text of an SVG file."""
    return as_file(figure, "svg").decode()


def scores(rows, subjects, colours):
    """Draw one metric: a row per subject, a dot and interval per condition, chance dashed.

    Parameters
    ----------
    rows : DataFrame
        Rows of metrics.tsv of one metric: subject, condition, value, lo, hi, chance.
    subjects : list of str
        From top to bottom.
    colours : dict
        Condition -> colour.

    Returns
    -------
    figure : matplotlib.figure.Figure
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    names = list(rows["condition"].unique())
    with rc_context(STYLE):
        height = max(0.4, 0.085 * len(names))
        figure = Figure(figsize=(3.6, 0.55 + height * len(subjects)), layout="constrained")
        axes = figure.subplots()
        for i, name in enumerate(names):
            mine = rows[rows["condition"] == name].set_index("subject").reindex(subjects)
            y = np.arange(len(subjects)) + 0.62 * ((i + 0.5) / len(names) - 0.5)
            axes.hlines(y, mine["lo"], mine["hi"], color=colours[name], linewidth=1.4)
            look = {"s": 28 if name == "model" else 19, "marker": condition_marker(name)}
            axes.scatter(mine["value"], y, color=colours[name], zorder=3, linewidths=0, **look)
        _chance(axes, rows, subjects)
        axes.set_yticks(range(len(subjects)), [_subject(s) for s in subjects])
        axes.set_ylim(len(subjects) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        if rows[["value", "lo"]].min(axis=None) >= 0 and rows[["value", "hi"]].max(axis=None) <= 1:
            axes.set_xlim(0, 1.02)
    return figure


def group_scores(rows, labels, colours):
    """Draw one metric of several runs: a row per subject, a dot and interval per run.

    Parameters
    ----------
    rows : DataFrame
        label, run, condition, value, lo, hi, chance; a label met in several runs also gets its
        mean, as a larger dot.
    labels : list of str
        From top to bottom.
    colours : dict
        Condition -> colour.

    Returns
    -------
    figure : matplotlib.figure.Figure
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    names = list(rows["condition"].unique())
    place = {label: y for y, label in enumerate(labels)}
    with rc_context(STYLE):
        figure = Figure(figsize=(3.9, 0.5 + 0.46 * len(labels)), layout="constrained")
        axes = figure.subplots()
        for i, name in enumerate(names):
            shift = 0.7 * ((i + 0.5) / len(names) - 0.5)
            for label, mine in rows[rows["condition"] == name].groupby("label", sort=False):
                y = place[label] + shift
                look = {"color": colours[name], "marker": condition_marker(name)}
                _runs_of_one(axes, mine, y, look, 0.7 / len(names))
        for label, mine in rows.groupby("label", sort=False):
            ends = place[label] - 0.5, place[label] + 0.5
            dashed = {"color": INK, "linewidth": 0.8, "linestyle": (0, (2, 2)), "zorder": 0}
            axes.vlines(mine["chance"].mean(), *ends, **dashed)
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        if rows[["value", "lo"]].min(axis=None) >= 0 and rows[["value", "hi"]].max(axis=None) <= 1:
            axes.set_xlim(0, 1.02)
    return figure


def _runs_of_one(axes, rows, y, look, height):
    """A subject's runs close together, each with its interval; the mean on top of them."""
    many = len(rows) > 1
    spread = y + 0.6 * height * (np.linspace(-0.5, 0.5, len(rows)) if many else np.zeros(1))
    faint = 0.45 if many else 1.0
    bar = {"color": look["color"], "linewidth": 0.9, "alpha": faint}
    axes.hlines(spread, rows["lo"], rows["hi"], **bar)
    axes.scatter(rows["value"], spread, s=7, alpha=faint, linewidths=0, zorder=2, **look)
    if many:
        axes.scatter([rows["value"].mean()], [y], s=24, linewidths=0, zorder=3, **look)


def learning_curve(history):
    """Draw one quantity over epochs, a line per split.

    Parameters
    ----------
    history : DataFrame
        Rows of history.tsv of one phase and one name: epoch, split, value.

    Returns
    -------
    figure : matplotlib.figure.Figure
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(3.6, 2.0), layout="constrained")
        axes, ends = figure.subplots(), {}
        for split, rows in history.groupby("split", sort=False):
            colour, label = _SPLITS.get(split, (INK, split))
            curve = rows.groupby("epoch")["value"].mean()
            axes.plot(curve.index, curve, color=colour, linewidth=1.5, label=label)
            ends[label] = (curve.iloc[-1], curve.index[-1], colour)
        _label_ends(axes, ends)
        axes.set_xlabel("epoch")
        axes.margins(x=0.02)
        axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def _label_ends(axes, ends):
    """Name each line at its end; names of lines that end close together are set apart."""
    for place, label in enumerate(sorted(ends, key=ends.get)):
        value, epoch, colour = ends[label]
        up = 8 * (place - (len(ends) - 1) / 2)
        offset = {"textcoords": "offset points", "xytext": (4, up), "va": "center"}
        axes.annotate(label, (epoch, value), color=colour, fontsize=7.5, **offset)


def _chance(axes, rows, subjects):
    """Each subject's own chance level: of the model, or of whatever row there is."""
    model = rows[rows["condition"] == "model"] if "model" in set(rows["condition"]) else rows
    levels = model.drop_duplicates("subject").set_index("subject")["chance"].reindex(subjects)
    y = np.arange(len(subjects))
    dashed = {"color": INK, "linewidth": 0.8, "linestyle": (0, (2, 2)), "zorder": 0}
    axes.vlines(levels, y - 0.5, y + 0.5, **dashed)


def bottleneck_curve(rows, knees, limits=None):
    """Draw scores by the number of brain dimensions let through, a line per decoder.

    Dimensions stand at log2(d + 1), so that none at all has a place; the untouched brain stands
    apart at the right.

    Parameters
    ----------
    rows : DataFrame
        Of bottleneck.tsv, one subject and metric: decoder, n_dims (NaN: the whole brain), value,
        lo, hi, chance.
    knees : dict
        Decoder -> {knee, lo, hi, …}, of this metric.
    limits : (float, float), optional
        Of the scores, where several figures are to be compared.

    Returns
    -------
    figure : matplotlib.figure.Figure
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    colours = condition_colours(list(rows["decoder"].unique()))
    most = rows["n_dims"].max()
    whole = np.log2(most + 1) + 1
    with rc_context(STYLE):
        figure = Figure(figsize=(3.6, 2.3), layout="constrained")
        axes = figure.subplots()
        for i, (name, curve) in enumerate(rows.groupby("decoder", sort=False)):
            _narrowed(axes, curve, name, colours[name], whole + 0.25 * (i - (len(colours) - 1) / 2))
        dashed = {"color": INK, "linewidth": 0.8, "linestyle": (0, (2, 2)), "zorder": 0}
        axes.axhline(rows["chance"].mean(), **dashed)
        axes.set_ylim(limits)
        _knees(axes, {n: knees[n] for n in colours if n in knees}, colours, np.log2(most + 1))
        ticks = [0, *(2**k for k in range(20) if 2**k <= most)]
        axes.set_xticks([*np.log2(np.add(ticks, 1)), whole], [*map(str, ticks), "all"])
        axes.set_xlabel("brain dimensions")
    return figure


def _narrowed(axes, curve, name, colour, whole):
    """One decoder's curve, and at `whole` its score with the untouched brain."""
    through = curve[curve["n_dims"].notna()].sort_values("n_dims")
    x = np.log2(through["n_dims"].to_numpy(float) + 1)
    axes.fill_between(x, through["lo"], through["hi"], color=colour, alpha=0.15, linewidth=0)
    look = {"color": colour, "linewidth": 1.5, "marker": condition_marker(name)}
    axes.plot(x, through["value"], ms=3, label=condition_label(name), **look)
    for one in curve[curve["n_dims"].isna()].itertuples():
        axes.vlines(whole, one.lo, one.hi, color=colour, linewidth=1.5)
        axes.scatter([whole], [one.value], s=18, color=colour, linewidths=0, zorder=3)


def _knees(axes, knees, colours, end):
    """A dotted line where each curve bends; numbers and intervals stand beside all of them."""
    known = {n: k for n, k in knees.items() if k.get("knee") is not None and k["knee"] == k["knee"]}
    x = {name: np.log2(one["knee"] + 1) for name, one in known.items()}
    left = bool(x) and max(x.values()) > 0.7 * end
    edge = (min if left else max)(x.values(), default=0)
    for i, (name, one) in enumerate(known.items()):
        axes.axvline(x[name], color=colours[name], linewidth=0.9, linestyle=":", zorder=0)
        text = f"{number(one['knee'], 1)} {interval(one.get('lo'), one.get('hi'), 1)}".strip()
        at = {"xy": (edge, 0.16 + 0.09 * i), "xycoords": ("data", "axes fraction")}
        at |= {"xytext": (-3 if left else 3, 0), "textcoords": "offset points"}
        axes.annotate(text, **at, color=colours[name], fontsize=7, ha="right" if left else "left")


def recovery_curve(rows, smooth=7):
    """Draw the correlation along each axis of the embedding, and its running mean.

    Parameters
    ----------
    rows : DataFrame
        Of recovery.tsv, one subject: condition, axis, correlation, threshold.
    smooth : int
        Axes in a mean, an odd number.

    Returns
    -------
    figure : matplotlib.figure.Figure
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    colours = condition_colours(list(rows["condition"].unique()))
    with rc_context(STYLE):
        figure = Figure(figsize=(3.6, 2.2), layout="constrained")
        axes = figure.subplots()
        for name, curve in rows.groupby("condition", sort=False):
            look = {"color": colours[name], "marker": condition_marker(name)}
            axes.scatter(curve["axis"], curve["correlation"], s=5, alpha=0.35, linewidths=0, **look)
            mean = curve["correlation"].rolling(smooth, center=True, min_periods=1).mean()
            label = condition_label(name)
            axes.plot(curve["axis"], mean, color=colours[name], linewidth=1.5, label=label)
            level = {"color": colours[name], "linewidth": 0.9, "linestyle": (0, (2, 2))}
            axes.axhline(curve["threshold"].iloc[0], zorder=0, **level)
        axes.set_xlabel("dimension of the embedding, the widest first")
        axes.set_ylabel("correlation")
        axes.legend(frameon=False, fontsize=7.5, labelcolor=INK, loc="upper right")
    return figure


def coverage_curve(rows, name):
    """Draw coverage, or mean size, of candidate sets by their level, a line per subject.

    Parameters
    ----------
    rows : DataFrame
        Of conformal.tsv: subject, level, coverage, lo, hi, mean_size, n_candidates.
    name : {"coverage", "mean_size"}

    Returns
    -------
    figure : matplotlib.figure.Figure
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(3.6, 2.2), layout="constrained")
        axes = figure.subplots()
        for i, (subject, curve) in enumerate(rows.groupby("subject", sort=False)):
            curve = curve.sort_values("level")
            pooled = subject == "all"
            colour = COLOUR if pooled else SHADES[i % len(SHADES)]
            look = {"color": colour, "linewidth": 1.8 if pooled else 1.0, "marker": "o"}
            axes.plot(curve["level"], curve[name], ms=3, label=_subject(subject), **look)
            if name == "coverage":
                axes.vlines(curve["level"], curve["lo"], curve["hi"], color=colour, linewidth=1)
        if name == "coverage":
            ends = [rows["level"].min(), rows["level"].max()]
            axes.plot(ends, ends, color=INK, linewidth=0.8, linestyle=(0, (2, 2)), zorder=0)
        axes.set_ylabel("holds the true one" if name == "coverage" else "candidates")
        axes.set_xlabel("level")
        if rows["subject"].nunique() <= 10:
            axes.legend(frameon=False, fontsize=7, labelcolor=INK)
    return figure


def _subject(name):
    return "all subjects" if name == "all" else name


def confusion(counts, classes):
    """Draw a confusion matrix with its counts.

    Parameters
    ----------
    counts : ndarray, shape (n_classes, n_classes)
        Row: seen; column: named.
    classes : list of str

    Returns
    -------
    figure : matplotlib.figure.Figure
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with rc_context(STYLE):
        figure = Figure(figsize=(1.6 + 0.42 * len(classes),) * 2, layout="constrained")
        axes = figure.subplots()
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for (i, j), count in np.ndenumerate(counts):
            ink = "white" if share[i, j] > 0.55 else INK
            axes.text(j, i, f"{count:g}" if count else "", ha="center", va="center", color=ink)
        axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
        axes.set_yticks(range(len(classes)), classes)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("named")
        axes.set_ylabel("seen")
    return figure
