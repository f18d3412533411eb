"""Where the signal lies: maps of the channels, on slices, on the cortex or on the head."""

import numpy as np

from neurodecode.report import cortex
from neurodecode.report.artifacts import array, document, file, subjects, table, tensors
from neurodecode.report.brain_map import brain_map
from neurodecode.report.page import TEMPLATES, render
from neurodecode.report.surface_map import is_drawable, surface_map
from neurodecode.report.tables import plain_table
from neurodecode.report.topography import topography

SCALE = (
    "Colour scale: 1st to 99th percentile. Repeat correlation is measured on training trials only."
)
WEIGHTS = (
    "The ridge weights' norm is taken over all targets, per standardised {}; {} were not selected."
)
SLICES = "Axial slices of the analysed mask, left is left. " + WEIGHTS.format(
    "voxel", "white voxels"
)
CORTEX = "The inflated cortex, four views. " + WEIGHTS.format("vertex", "bare vertices")
HEADS = (
    "The head from above, nose up, left is left; dots are sensors, colours between them are "
    "interpolated. Repeat correlation is the mean over times, of channels as align scaled them: "
    "if it whitened them, each is a mixture around its sensor. The pattern at the peak of the time "
    "course is the covariance of each standardised sensor with what the decoder says there; the "
    "norm of ridge weights, of those channels, is taken over all times and targets."
)
NO_CORTEX = "The volumes are in no MNI space, as far as is known: no cortex is drawn."
BARE = "Grey: vertices without a value."
PROJECTED = (
    "Values of voxels in MNI space, taken between the white and the pial surface by the nearest "
    "voxel. Grey: no value."
)
REGIONS = (
    "Regions of interest: the share of the squared ridge weights that lies in them, beside the "
    "share of channels. Weights say what the linear decoder uses, not what a region encodes."
)
NORM, REPEATS = "ridge weight norm", "repeat correlation"
NO_MESH = "Nothing is drawn: the mesh of the surface space {} is not at hand."


def brain(study):
    """Draw reliability and what the decoders use, per voxel, vertex or sensor."""
    from markupsafe import Markup

    named = subjects(study.inputs)
    kinds = ((_slices, SLICES, "figures"), (_cortex, CORTEX, "figures"), (_heads, HEADS, "panels"))
    parts = []
    for draw, text, layout in kinds:
        maps = [one for subject in named for one in draw(study, subject)]
        if maps:
            flat = f" {NO_CORTEX}" if draw is _slices and not study.space.startswith("MNI") else ""
            text = f"{text} {SCALE}{flat}"
            parts.append(render("figure.html.j2", figures=maps, text=text, layout=layout))
    missing = {about["space"] or "unnamed" for about, where in _surfaces(study) if where is None}
    if missing:
        text = NO_MESH.format(", ".join(sorted(missing)))
        parts.append(render("figure.html.j2", figures=[], text=text, layout="figures"))
    parts += [part for part in (_turned(study, named), _regions(study, named)) if part]
    return Markup("").join(parts) or None


def _turned(study, named):
    """The cortex to turn: of vertices of fsaverage5, and of volumes in MNI space."""
    maps, volumes = [], False
    for subject in named:
        place = _on_cortex(study, subject)
        if place is not None:
            volumes |= place is _volume
            found = _per_channel(study, subject)
            maps += [(f"{subject}: {w}", cmap, place(study, subject, v)) for w, cmap, v in found]
    if not maps:
        return None
    script = (TEMPLATES / "cortex.js").read_text(encoding="utf-8")
    titles = [title for title, *_ in maps]
    about = {"data": cortex.packed(maps), "script": script, "titles": titles}
    return render("cortex.html.j2", text=PROJECTED if volumes else BARE, **about)


def _on_cortex(study, subject):
    """How a subject's values come onto fsaverage5; None: they cannot."""
    about, where = _surface(study, subject) or (None, None)
    if where is not None and about["space"] == cortex.MESH:
        return _vertices
    mask = file(study.inputs, "preprocess", "space/mask.nii.gz", subject)
    return _volume if mask is not None and study.space.startswith("MNI") else None


def _vertices(study, subject, values):
    _, where = _surface(study, subject)
    return cortex.of_vertices(where, values)


def _volume(study, subject, values):
    import nibabel

    path = file(study.inputs, "preprocess", "space/mask.nii.gz", subject)
    return cortex.of_volume(nibabel.load(path), values)


def _regions(study, named):
    """What each region gives: its share of the ridge weights, and of the channels."""
    import pandas as pd

    lines = []
    for subject in named:
        rois = table(study.inputs, "preprocess", "space/rois.tsv", subject)
        weights = {word: v for word, _, v in _weights(study, subject, "")}.get(NORM)
        if rois is None or not len(rois) or weights is None:
            continue
        measured = {word: v for word, _, v in _reliability(study, subject, "")}
        reliability = measured.get(REPEATS, np.full_like(weights, np.nan))
        energy = np.nan_to_num(weights) ** 2
        for roi, channels in rois.groupby("roi", sort=False)["channel"]:
            channels = channels.to_numpy(int)
            lines.append({
                "subject": subject,
                "region": roi,
                "channels": len(channels),
                REPEATS: float(reliability[channels].mean()),
                "share of channels": len(channels) / len(energy),
                "share of ridge weights": float(energy[channels].sum() / energy.sum()),
            })  # fmt: skip
    if not lines:
        return None
    frame = pd.DataFrame(lines)
    heads, rows = plain_table(frame)
    files = [study.table("regions", frame)]
    return render("table.html.j2", heads=heads, rows=rows, text=REGIONS, files=files)


def _slices(study, subject):
    """Slices of a subject's brain, where preprocess left a mask."""
    import nibabel

    path = file(study.inputs, "preprocess", "space/mask.nii.gz", subject)
    if path is None:
        return []
    mask = nibabel.load(path)
    return [
        _map(study, subject, word, brain_map(mask, values, cmap), "brain")
        for word, cmap, values in _per_channel(study, subject)
    ]


def _cortex(study, subject):
    """The cortex of a subject whose channels lie on a mesh that is at hand."""
    about, where = _surface(study, subject) or (None, None)
    if where is None:
        return []
    return [
        _map(study, subject, word, surface_map(about["space"], where, values, cmap), "brain")
        for word, cmap, values in _per_channel(study, subject)
    ]


def _heads(study, subject):
    """Topographies of a subject's sensors, where they have positions."""
    sensors = table(study.inputs, "preprocess", "space/sensors.tsv", subject)
    if sensors is None:
        return []
    found = [*_reliability(study, subject, "YlGnBu")]
    found += [*_pattern(study, subject, "YlOrRd")] or [*_weights(study, subject, "YlOrRd")]
    drawn = {word: topography(sensors, values, cmap) for word, cmap, values in found}
    return [_map(study, subject, word, f, "head") for word, f in drawn.items() if f is not None]


def _map(study, subject, word, figure, kind):
    """Remember a map for the folder; the page shows its PNG, which is the smaller."""
    title = f"{subject}: {word}"
    kept = study.figure(f"{kind}_{subject}_{word.replace(' ', '_')}", figure, raster=True)
    return kept | {"alt": f"{kind} map, {title}", "title": title}


def _surfaces(study):
    found = (_surface(study, subject) for subject in subjects(study.inputs))
    return [one for one in found if one]


def _surface(study, subject):
    """surface.json and vertices.tsv of a subject (None: no mesh); None: not on a surface."""
    about = document(study.inputs, "preprocess", "space/surface.json", subject)
    if about is None:
        return None
    where = table(study.inputs, "preprocess", "space/vertices.tsv", subject)
    return about, (where if is_drawable(about["space"], where) else None)


def _per_channel(study, subject):
    """(what, colours, values) of every map there is: one value a channel, NaN where unused."""
    return [*_reliability(study, subject, "viridis"), *_weights(study, subject, "magma")]


def _reliability(study, subject, cmap):
    """The repeat correlation, if it was measured: where training trials repeat a stimulus."""
    channels = tensors(study.inputs, "align", "channels.safetensors") or {}
    values = np.asarray(channels.get(f"{subject}/reliability", np.nan), float)
    if np.isfinite(values).any():
        yield REPEATS, cmap, values


def _weights(study, subject, cmap):
    """The norm of the ridge weights: one value per channel, NaN where unused."""
    channels = tensors(study.inputs, "align", "channels.safetensors") or {}
    found = study.ridge_weights(subject)
    if found is not None and f"{subject}/reliability" in channels:
        selected, weights = found
        norm = np.full(len(channels[f"{subject}/reliability"]), np.nan)
        norm[selected] = np.linalg.norm(weights, axis=1)
        yield NORM, cmap, norm


def _pattern(study, subject, cmap):
    """The activation pattern of each sensor at the peak of the time course, if it has one."""
    patterns = array(study.inputs, "timecourse", f"{subject}/pattern.npy")
    told = document(study.inputs, "timecourse", "timecourse.json")
    peak_s = told["subjects"][subject]["peak_s"] if told else None
    if patterns is not None and peak_s is not None:
        times_s = array(study.inputs, "timecourse", "times_s.npy")
        at_peak = np.asarray(patterns[np.argmin(np.abs(np.asarray(times_s) - peak_s))], float)
        yield f"pattern at {1000 * peak_s:.0f} ms", cmap, at_peak
