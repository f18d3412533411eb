"""How well a decoded caption says what the true caption says: METEOR, ROUGE, sentence similarity.

Each scores every true caption against every decoded one, so that chance is read from the mismatched
pairs: two captions of different pictures share their "a" and "with".

References
----------
.. [1] Banerjee & Lavie (2005). METEOR: an automatic metric for MT evaluation. ACL workshop.
.. [2] Lin (2004). ROUGE: a package for automatic evaluation of summaries. ACL workshop.
.. [3] Reimers & Gurevych (2019). Sentence-BERT. EMNLP.
"""

import importlib.util
import re
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from neurodecode.core.build import build
from neurodecode.metrics.score import NotComputed, Score, cosine
from neurodecode.weights import weights_folder

PAIRS = 200_000  # pairs of captions whose common subsequences are found at once


@dataclass(frozen=True)
class Rouge:
    """ROUGE-1 and ROUGE-L [2]_: F of the words shared, and of the longest common subsequence.

    Words are runs of a-z and digits in lower case, not stemmed, as in published tables.
    """

    space = "caption"
    needs = "captions"

    def __call__(self, truth, predicted):
        """Score captions: true (n_truths) and decoded (n_rows)."""
        truth, predicted = (
            [re.findall("[a-z0-9]+", text.lower()) for text in _told(captions)]
            for captions in (truth, predicted)
        )
        total = np.add.outer(*([len(words) for words in side] for side in (truth, predicted)))
        return [
            Score(name, 2 * shared(truth, predicted) / np.maximum(total, 1))
            for name, shared in (("rouge_1", shared_words), ("rouge_l", common_subsequence))
        ]


def shared_words(truth, predicted):
    """Count the words that two captions share, as often as both have them.

    Parameters
    ----------
    truth, predicted : list of list of str

    Returns
    -------
    n_shared : ndarray of float, shape (n_truths, n_rows)
    """
    number = {word: i for i, word in enumerate(sorted({w for words in truth for w in words}))}
    counts = [np.zeros((len(side), len(number))) for side in (truth, predicted)]
    for table, side in zip(counts, (truth, predicted), strict=True):
        for row, words in zip(table, side, strict=True):
            np.add.at(row, [number[word] for word in words if word in number], 1)
    most = int(min(table.max(initial=0) for table in counts))
    shared = np.zeros((len(truth), len(predicted)))
    for times in range(1, most + 1):  # min(a, b) is the number of times that both reach
        shared += (counts[0] >= times).astype(float) @ (counts[1] >= times).astype(float).T
    return shared


def common_subsequence(truth, predicted):
    """Measure the longest common subsequence of words; shapes as `shared_words`."""
    number = {word: i for i, word in enumerate({w for words in truth + predicted for w in words})}
    first, second = _padded(truth, number, -1), _padded(predicted, number, -2)
    step = max(1, PAIRS // len(second))
    parts = [_longest(first[i : i + step], second) for i in range(0, len(first), step)]
    return np.concatenate(parts).astype(float)


def _longest(first, second):
    """Fill the table of the textbook, all pairs at once: one row of it is kept."""
    row = np.zeros((second.shape[1] + 1, len(first), len(second)), np.int16)
    for i in range(first.shape[1]):
        before = row.copy()
        for j in range(second.shape[1]):
            same = first[:, i, None] == second[None, :, j]
            row[j + 1] = np.where(same, before[j] + 1, np.maximum(before[j + 1], row[j]))
    return row[-1]


def _padded(side, number, empty):
    table = np.full((len(side), max(1, *map(len, side), 1)), empty)
    for row, words in zip(table, side, strict=True):
        row[: len(words)] = [number[word] for word in words]
    return table


@dataclass(frozen=True)
class Meteor:
    """METEOR [1]_ by nltk: matches of words, stems and WordNet synonyms, less for scattered ones.

    Alpha .9, beta 3, gamma .5; words by nltk's tokenizer, each caption as one sentence. Synonyms
    count: without WordNet the metric is not computed, since matching less would be another metric.
    Some 2,000 pairs of captions a second.
    """

    space = "caption"
    needs = "captions"
    names = ("meteor",)

    def available(self):
        """Say what is missing of nltk and WordNet, or None."""
        if importlib.util.find_spec("nltk") is None:
            return "nltk is not installed: pip install 'neurodecode-pictures[captions]'"
        if _wordnet() is None:
            return "WordNet missing: python -m nltk.downloader wordnet"
        return None

    def __call__(self, truth, predicted):
        """Score captions: true (n_truths) and decoded (n_rows)."""
        from nltk.tokenize import NLTKWordTokenizer

        split = lru_cache(None)(lambda text: tuple(NLTKWordTokenizer().tokenize(text)))
        score = lru_cache(None)(self._score)
        values = [[score(split(t), split(p)) for p in _told(predicted)] for t in _told(truth)]
        return [Score("meteor", np.array(values))]

    def _score(self, truth, predicted):
        from nltk.translate.meteor_score import single_meteor_score

        how = {"alpha": 0.9, "beta": 3.0, "gamma": 0.5}
        return single_meteor_score(truth, predicted, **self._words, **how)

    @cached_property
    def _words(self):
        from nltk.stem.porter import PorterStemmer

        return {
            "stemmer": _Remembered(stem=PorterStemmer().stem),
            "wordnet": _Remembered(synsets=_wordnet().synsets),
        }


class _Remembered:
    """An object whose methods answer the same word once: captions repeat their words."""

    def __init__(self, **methods):
        for name, method in methods.items():
            setattr(self, name, lru_cache(None)(method))


def _wordnet():
    """WordNet as nltk reads it; None where its files are not there."""
    import nltk

    for place in ("corpora/wordnet.zip", "corpora/wordnet"):
        try:
            nltk.data.find(place)
        except LookupError:
            continue
        return nltk.corpus.wordnet
    return None


@dataclass(frozen=True)
class SentenceSimilarity:
    """Cosine of sentence embeddings [3]_; the row is named after the encoder.

    Parameters
    ----------
    encoder : dict
        ``_target_`` of an encoder with ``texts``, and its keys. Its ``model`` is a folder, or a
        name that is looked for in the cache of the Hugging Face hub.
    download : bool
        Fetch the model from the hub where it is not in the cache.
    """

    encoder: dict = field(default_factory=dict)
    download: bool = False

    space = "caption"
    needs = "captions"

    @property
    def names(self):
        """Of its row."""
        return (f"sentence_{Path(self.encoder['model']).name}",)

    def available(self):
        """Say which encoder is missing, or None."""
        return self._found[1]

    def files(self):
        """List the folder that the scores depend on; nothing is fetched for it."""
        folder, _ = self._find(download=False)
        return [folder] if folder else []

    def prepare(self, captions):
        """Embed captions, each different one once: (n, dim) unit rows."""
        texts, place = np.unique(np.array(_told(captions), dtype=object), return_inverse=True)
        return self._encoder.texts(list(texts))[place]

    def __call__(self, truth, predicted):
        """Score what `prepare` gave."""
        return [Score(self.names[0], cosine(truth, predicted))]

    @cached_property
    def _found(self):
        return self._find(self.download)

    def _find(self, download):
        """Find the encoder's folder: (folder, None), or (None, reason)."""
        from huggingface_hub import snapshot_download

        model, wanted = self.encoder["model"], ["*.json", "*.txt", "*.safetensors", "1_Pooling/*"]
        try:
            folder = weights_folder(model)
            if folder is None:
                how = {"local_files_only": not download, "allow_patterns": wanted}
                folder = Path(snapshot_download(model, **how))
            return folder, None
        except Exception as error:  # the hub, its cache and the network raise their own
            told = " ".join(str(error).split())[:160]
            return None, (
                f"weights missing: {model} is no folder and not in the Hugging Face cache "
                f"({type(error).__name__}: {told}); give its folder, "
                "evaluate.metrics.sentence.encoder.model=/…, or let it be fetched: "
                "evaluate.metrics.sentence.download=true"
            )

    @cached_property
    def _encoder(self):
        folder, reason = self._found
        if folder is None:
            raise FileNotFoundError(reason)
        return build(self.encoder | {"model": str(folder)})


def _told(captions):
    """Return captions as a list of str; NotComputed where some are not there."""
    texts = ["" if text is None or text != text else str(text) for text in captions]
    silent = sum(not text.strip() for text in texts)
    if silent:
        raise NotComputed(f"{silent} of {len(texts)} stimuli or rows have no caption")
    return texts
