"""The words of the report: what metrics and conditions are called, and mean in one line."""

import re
from numbers import Integral

# (pattern, label, family, one line): the first that matches the whole name; its groups fill {0}.
_METRICS = (
    (
        r"brain_to_image(?:_top(\d+))?",
        "brain → image, top {0|1}",
        "retrieval",
        "The predicted embedding asks; a hit is the true picture among the {0|1} nearest.",
    ),
    (
        r"image_to_brain(?:_top(\d+))?",
        "image → brain, top {0|1}",
        "retrieval",
        "The true embedding asks; a hit is its own prediction among the {0|1} nearest.",
    ),
    (
        r"(median_)?rank",
        "{0|mean }rank of the true one",
        "rank",
        "How many others of the set lie nearer to the prediction than the true one: 0 is best; "
        "ties count half.",
    ),
    (
        r"two_way_embedding",
        "two-way, predicted embedding",
        "two-way identification",
        "The predicted embedding is nearer to its own picture's than to another's, averaged over "
        "all other pictures; ties count half.",
    ),
    (
        r"alexnet(\d+)_two_way",
        "AlexNet ({0}), two-way",
        "perceptual",
        "The reconstruction is nearer to its own picture than to another one in layer {0} of "
        "AlexNet, averaged over all other pictures; ties count half.",
    ),
    (
        r"inception_two_way",
        "Inception v3, two-way",
        "perceptual",
        "The reconstruction is nearer to its own picture than to another one in the last layer of "
        "Inception v3, averaged over all other pictures; ties count half.",
    ),
    (
        r"clip_two_way",
        "CLIP, two-way",
        "perceptual",
        "The reconstruction is nearer to its own picture than to another one as CLIP ViT-L/14 sees "
        "them, averaged over all other pictures; ties count half.",
    ),
    (
        r"effnet_distance",
        "EfficientNet distance",
        "perceptual",
        "Correlation distance of reconstruction and original in EfficientNet-B1: 0 is equal.",
    ),
    (
        r"swav_distance",
        "SwAV distance",
        "perceptual",
        "Correlation distance of reconstruction and original in SwAV: 0 is equal.",
    ),
    (
        r"two_way_pooled",
        "picture embedded again, two-way",
        "perceptual",
        "The embedding of the reconstruction is nearer to that of its own picture than to another "
        "one's, averaged over all other pictures; ties count half.",
    ),
    (
        r"two_way_(.+)",
        "{0}, two-way",
        "perceptual",
        "The reconstruction is nearer to its own picture than to another one, at this depth of the "
        "picture encoder, averaged over all other pictures; ties count half.",
    ),
    (
        r"(?:pixcorr|pixel_correlation)(?:_(\d+))?",
        "pixel correlation{0+ at {} px}",
        "pixels",
        "Pearson correlation of all pixel values of reconstruction and original"
        "{0+, both of {} × {} pixels}.",
    ),
    (
        r"ssim(?:_(\d+))?",
        "SSIM{0+ at {} px}",
        "pixels",
        "Structural similarity of reconstruction and original{0+, both of {} × {} pixels}: 1 is "
        "equal.",
    ),
    (
        r"meteor",
        "METEOR",
        "captions",
        "Words of the decoded caption that the true one has too, in that order, stems and synonyms "
        "included.",
    ),
    (
        r"rouge_1",
        "ROUGE-1",
        "captions",
        "Words that decoded and true caption share: F score.",
    ),
    (
        r"rouge_l",
        "ROUGE-L",
        "captions",
        "Longest series of words that decoded and true caption share: F score.",
    ),
    (
        r"sentence_(.+)",
        "sentence similarity, {0}",
        "captions",
        "Cosine of decoded and true caption as the sentence encoder {0} sees them.",
    ),
    (
        r"brain_correlation_(?:(.+)_)?gnet",
        "brain correlation{0+, {}} (GNet encoder)",
        "brain",
        "Correlation of the measured response with the one that GNet predicts from the "
        "reconstruction.",
    ),
    (
        r"brain_correlation_(?:all_)?ridge",
        "brain correlation, all channels (ridge encoder)",
        "brain",
        "Correlation of the measured response with the one that a ridge encoder of this study "
        "predicts from the reconstruction.",
    ),
    (
        r"brain_correlation_(.+)_ridge",
        "brain correlation, {0} (ridge encoder)",
        "brain",
        "Correlation of the measured response of this region with the one that a ridge encoder of "
        "this study predicts from the reconstruction.",
    ),
    (
        r"(?:pooled_)?cosine(?:_(.+))?",
        "cosine to the truth",
        "embedding likeness",
        "Cosine of the predicted and the true embedding.",
    ),
    (
        r"attributes?(?:_(?:accuracy|mean|all))?",
        "attributes, mean",
        "attributes",
        "Share of attributes that an independent reader finds equal in reconstruction and "
        "original.",
    ),
    (
        r"attributes?_(?:accuracy_)?x",
        "place, left to right",
        "attributes",
        "An independent reader finds it as far left or right in the reconstruction as it is.",
    ),
    (
        r"attributes?_(?:accuracy_)?y",
        "place, top to bottom",
        "attributes",
        "An independent reader finds it as far up or down in the reconstruction as it is.",
    ),
    (
        r"attributes?_(?:accuracy_)?(.+)",
        "{0}",
        "attributes",
        "An independent reader finds this attribute in the reconstruction as the original has it.",
    ),
    (
        r"balanced_accuracy",
        "balanced accuracy",
        "classification",
        "Share of held-out blocks or trials named rightly, averaged over classes.",
    ),
    (
        r"accuracy|top1",
        "accuracy",
        "classification",
        "Share of held-out blocks or trials named rightly.",
    ),
    (
        r"top(\d+)",
        "top {0}",
        "classification",
        "Share of held-out blocks or trials whose true class is among the {0} best ranked.",
    ),
    (
        r"macro_f1",
        "macro F1",
        "classification",
        "F1 of each class (both precision and recall), averaged over classes.",
    ),
    (
        r"seq2hr",
        "Seq2HR",
        "classification",
        "Sequential top-2 hit rate: the two best classes are neighbours on the scale, and one of "
        "them is the true one.",
    ),
    (
        r"zero_shot",
        "zero-shot, choice of two",
        "zero-shot",
        "Trained without two classes, the decoder chooses between them; averaged over all pairs.",
    ),
    (
        r"zero_shot_matching",
        "zero-shot, joint matching",
        "zero-shot",
        "Trained without two classes, the decoder assigns two blocks to them jointly.",
    ),
)

FAMILIES = (  # in the order of tables
    "retrieval",
    "rank",
    "two-way identification",
    "embedding likeness",
    "pixels",
    "perceptual",
    "attributes",
    "captions",
    "brain",
    "classification",
    "zero-shot",
    "other",
)
AS_PUBLISHED = "as published: ties lose"
COMPAT = "As published: ties count as lost. To compare with papers only."

_SIZED = {"retrieval", "rank"}  # families whose scores mean little without the size of the set

CONDITIONS = {  # what predict and reconstruct may not describe themselves
    "model": "decoder",
    "ridge": "ridge",
    "shuffled": "shuffled brain",
    "prior_only": "prior only",
    "true_features": "true features",
    "shuffled_within": "shuffled within category",
    "mean_brain": "mean brain",
    "matched_noise": "matched noise",
    "nuisance_only": "nuisance only",
    "category_oracle": "category oracle",
    "svm": "linear SVM",
    "lda": "shrinkage LDA",
    "logistic": "logistic regression",
    "linear": "logistic regression",
    "dealt": "labels dealt anew",
    "majority": "majority class",
}

WITHOUT = {  # how a condition is named inside a sentence
    "shuffled": "shuffled brain",
    "prior_only": "prior only (no brain)",
    "nuisance": "nuisance (no brain)",
    "nuisance_only": "nuisance only (no brain)",
    "majority": "the majority class (no brain)",
}

COLOURS = {  # Okabe & Ito's colours, told apart by colour-blind readers too; controls are grey
    "model": "#0b5cad",
    "ridge": "#c8590a",
    "category_oracle": "#8a6d00",
    "true_features": "#067a5b",
    "shuffled": "#4b535d",
    "shuffled_within": "#8b949e",
    "mean_brain": "#4b535d",
    "matched_noise": "#8b949e",
    "nuisance_only": "#4b535d",
    "prior_only": "#8b949e",
    "dealt": "#4b535d",
    "majority": "#8b949e",
}
_SPARE = ("#7a5c00", "#3f7f93", "#a33f5f", "#5a6b2f", "#50508c")
MARKERS = {  # as matplotlib calls them; a condition that is not listed is a dot
    "category_oracle": "D",
    "true_features": "P",
    "shuffled": "o",
    "shuffled_within": "o",
    "mean_brain": "s",
    "matched_noise": "s",
    "nuisance_only": "v",
    "prior_only": "v",
    "dealt": "D",
    "majority": "D",
}


def is_compat(name):
    """Whether a metric is the form that others published, kept beside the one that is meant."""
    return re.search(r"(^|_)compat($|_)", name) is not None


def metric_words(name):
    """Label, family and one-line meaning of a metric's name; unknown names speak for themselves.

    Returns
    -------
    label, family, meaning : str
    """
    if is_compat(name):
        label, family, meaning = metric_words(re.sub(r"(^|_)compat(?=$|_)", "", name).strip("_"))
        return f"{label}, {AS_PUBLISHED}", family, f"{meaning} {COMPAT}".strip()
    for pattern, label, family, meaning in _METRICS:
        found = re.fullmatch(pattern, name)
        if found:
            groups = [_readable(group) if group else None for group in found.groups()]
            return _filled(label, groups), family, _filled(meaning, groups)
    return _readable(name), "other", ""


def metric_label(name, set_size=None):
    """A metric's label, with the size of the set it was retrieved from where that matters."""
    label, family, _ = metric_words(name)
    if family not in _SIZED or not _known(set_size):
        return label
    bare, published, _ = label.partition(f", {AS_PUBLISHED}")
    return f"{bare} of {int(set_size)}{published}"


def family_place(name):
    """Where a metric's family stands among the others."""
    return FAMILIES.index(metric_words(name)[1])


def metrics_label(names):
    """Several metrics in one label: ``AlexNet (2) and (5), two-way``.

    A metric's published form is left out where the metric itself is named.
    """
    kept = [n for n in names if not (is_compat(n) and re.sub(r"_compat$", "", n) in names)]
    words = [metric_label(name).split() for name in kept]
    start = _shared(words)
    end = _shared([one[start:][::-1] for one in words])
    middle = [" ".join(one[start : len(one) - end]) for one in words]
    if len(words) == 1 or not all(middle):
        return "; ".join(" ".join(one) for one in words)
    comma = "," if all(one.endswith(",") for one in middle) else ""
    *before, last = [one.rstrip(",") for one in middle]
    joined = f"{', '.join(before)} and {last}{comma}"
    return " ".join([*words[0][:start], joined, *words[0][len(words[0]) - end :]])


def _shared(rows):
    """With how many equal items all rows begin."""
    alike = [len(set(column)) == 1 for column in zip(*rows, strict=False)]
    return (alike + [False]).index(False)


def reason_words(reason):
    """Why a score is missing, in words without the names of Python's errors."""
    text = re.sub(r"\s*\(\w*Error:[^()]*(?:\([^()]*\)[^()]*)*\)?", "", str(reason)).strip()
    return text.rstrip(".")


def condition_label(name):
    """What a condition is called in tables and galleries."""
    return CONDITIONS.get(name, _readable(name))


def condition_colours(names):
    """One colour per condition name; the known ones keep theirs in every figure."""
    spare = iter(_SPARE * (1 + len(names) // len(_SPARE)))
    return {name: COLOURS.get(name) or next(spare) for name in names}


def condition_marker(name):
    """The marker of a condition, as matplotlib calls it."""
    return MARKERS.get(name, "o")


def number(value, digits=None):
    """A number as papers print it: .42 for shares, 1,234 for counts, − for minus, – for missing."""
    if not _known(value):
        return "–"
    if isinstance(value, str):
        return value
    if digits is None and isinstance(value, Integral):
        digits = 0
    if digits is None:
        digits = (
            0 if float(value).is_integer() and abs(value) > 1 else (1 if abs(value) >= 10 else 2)
        )
    text = f"{abs(value):,.{digits}f}"
    text = text[1:] if text.startswith("0.") else text
    negative = value < 0 and float(text.replace(",", "")) != 0
    return f"−{text}" if negative else text


def interval(lo, hi, digits=2):
    """An interval in brackets, empty where there is none."""
    return f"[{number(lo, digits)}, {number(hi, digits)}]" if _known(lo) and _known(hi) else ""


def signed(value, digits=2):
    """A difference with its sign always shown."""
    text = number(value, digits)
    return text if not _known(value) or text.startswith("−") or value == 0 else f"+{text}"


def p_value(p):
    """A p-value with as many digits as anyone can use."""
    if not _known(p):
        return "–"
    return "< .001" if p < 0.001 else number(p, 3 if p < 0.1 else 2)


def seconds(value):
    """A duration as a reader says it."""
    if not _known(value):
        return "–"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _known(value):
    return value is not None and value != "" and value == value


def _readable(name):
    return str(name).replace("_", " ")


def _filled(text, groups):
    """Fill {0}, {0|default}, and {0+text with {} in it}, which is empty where the group is."""

    def one(match):
        index, sign, rest = re.fullmatch(r"(\d+)([|+]?)(.*)", match.group(1)).groups()
        value = groups[int(index)] if int(index) < len(groups) else None
        if sign == "+":
            return rest.replace("{}", value) if value else ""
        return value or rest

    return re.sub(r"\{((?:[^{}]|\{\})*)\}", one, text)
