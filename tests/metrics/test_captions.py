"""Caption metrics: textbook loops, torchmetrics, the METEOR formula by hand, a saved encoder."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from neurodecode.metrics import captions
from neurodecode.metrics.captions import Meteor, Rouge, SentenceSimilarity
from neurodecode.metrics.score import NotComputed

TRUE = [
    "A dog runs on the green grass.",
    "Two people riding a wave on surfboards",
    "a plate of food: rice, rice and beans!",
    "a man, a plan, a canal",
]
TOLD = [
    "a brown dog that is running on grass",
    "People ride on a big wave; two surfboards",
    "a dog",
    "beans and rice on a plate",
    "???",
]
own = np.diagonal


def textbook_rouge(truth, told):
    """ROUGE-1 and ROUGE-L of two captions by sets and by the recursive definition."""
    a, b = ("".join(c if c.isalnum() else " " for c in x.lower()).split() for x in (truth, told))

    def longest(i, j):
        if i == len(a) or j == len(b):
            return 0
        if a[i] == b[j]:
            return 1 + longest(i + 1, j + 1)
        return max(longest(i + 1, j), longest(i, j + 1))

    shared = sum(min(a.count(word), b.count(word)) for word in set(a))
    f = lambda n: 0.0 if not n else 2 * (n / len(a)) * (n / len(b)) / (n / len(a) + n / len(b))
    return f(shared), f(longest(0, 0))


def test_rouge_agrees_with_its_definition():
    one, longest = Rouge()(TRUE, TOLD)
    assert (one.name, longest.name) == ("rouge_1", "rouge_l")
    for i, truth in enumerate(TRUE):
        for j, told in enumerate(TOLD):
            found = one.values[i, j], longest.values[i, j]
            assert found == pytest.approx(textbook_rouge(truth, told), abs=1e-12), (truth, told)


@pytest.mark.slow  # importing torchmetrics takes longer than the rest of this file
def test_rouge_agrees_with_torchmetrics():
    from torchmetrics.functional.text import rouge_score

    one, longest = Rouge()(TRUE, TOLD)
    for i, truth in enumerate(TRUE):
        for j, told in enumerate(TOLD):
            theirs = rouge_score(told, truth, rouge_keys=("rouge1", "rougeL"))
            found = one.values[i, j], longest.values[i, j]
            expected = float(theirs["rouge1_fmeasure"]), float(theirs["rougeL_fmeasure"])
            assert found == pytest.approx(expected, abs=1e-6)


def test_pairs_beyond_a_block_are_measured_alike(monkeypatch):
    whole = Rouge()(TRUE, TOLD)[1].values
    monkeypatch.setattr(captions, "PAIRS", 5)
    np.testing.assert_array_equal(Rouge()(TRUE, TOLD)[1].values, whole)


def test_a_caption_is_most_like_itself():
    for score in Rouge()(TRUE, TRUE):
        np.testing.assert_allclose(own(score.values), 1)
        assert (score.values[~np.eye(4, dtype=bool)] < 1).all()


def test_a_stimulus_without_caption_is_not_scored():
    with pytest.raises(NotComputed, match="1 of 4 stimuli or rows have no caption"):
        Rouge()(TRUE, ["a", "b", None, "c"])


class SmallWordNet:
    """Knows that to jog is to run. nltk looks for synonyms of the stems that are left."""

    def synsets(self, word):
        """Sets of synonyms that hold the word."""
        lemmas = [SimpleNamespace(name=lambda name=name: name) for name in ("run", "jog")]
        return [SimpleNamespace(lemmas=lambda: lemmas)] if word in ("run", "jog") else []


def meteor_by_hand(n_matches, n_told, n_true, n_chunks):
    precision, recall = n_matches / n_told, n_matches / n_true
    mean = precision * recall / (0.9 * precision + 0.1 * recall)
    return mean * (1 - 0.5 * (n_chunks / n_matches) ** 3)


@pytest.fixture
def meteor(monkeypatch):
    pytest.importorskip("nltk")
    monkeypatch.setattr(captions, "_wordnet", SmallWordNet)
    return lambda truth, told: Meteor()([truth], [told])[0].values[0, 0]


def test_meteor_is_its_formula(meteor):
    same = meteor("a dog runs on grass", "a dog runs on grass")
    assert same == pytest.approx(meteor_by_hand(5, 5, 5, 1), abs=1e-12)
    # two runs of words in another order, one word too many
    moved = meteor("a dog runs on grass", "on grass a brown dog runs")
    assert moved == pytest.approx(meteor_by_hand(5, 6, 5, 3), abs=1e-12)
    stem = meteor("two dogs run", "two dog running")  # Porter: dog, run
    assert stem == pytest.approx(meteor_by_hand(3, 3, 3, 1), abs=1e-12)
    synonym = meteor("the dog runs", "the dog jogs")
    assert synonym == pytest.approx(meteor_by_hand(3, 3, 3, 1), abs=1e-12)
    assert meteor("the dog walks", "the dog jogs") < synonym
    assert meteor("no word", "is shared") == 0
    comma = meteor("A dog, Running.", "a dog , running .")  # case and punctuation are nltk's
    assert comma == pytest.approx(meteor_by_hand(5, 5, 5, 1), abs=1e-12)


def test_meteor_scores_every_pair_as_nltk_does(monkeypatch):
    pytest.importorskip("nltk")
    from nltk.tokenize import NLTKWordTokenizer
    from nltk.translate.meteor_score import single_meteor_score

    monkeypatch.setattr(captions, "_wordnet", SmallWordNet)
    (score,) = Meteor()(TRUE, TOLD)
    split = NLTKWordTokenizer().tokenize
    for (i, j), value in np.ndenumerate(score.values):
        theirs = single_meteor_score(split(TRUE[i]), split(TOLD[j]), wordnet=SmallWordNet())
        assert value == pytest.approx(theirs, abs=1e-12)


def test_meteor_without_its_parts_says_which_is_missing(monkeypatch):
    pytest.importorskip("nltk")
    monkeypatch.setattr(captions, "_wordnet", lambda: None)
    assert Meteor().available() == "WordNet missing: python -m nltk.downloader wordnet"
    monkeypatch.setattr(captions, "_wordnet", SmallWordNet)
    assert Meteor().available() is None
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "neurodecode-pictures[captions]" in Meteor().available()


def test_wordnet_is_found_where_nltk_looks(tmp_path, monkeypatch):
    nltk = pytest.importorskip("nltk")
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    assert captions._wordnet() is None
    (tmp_path / "corpora/wordnet").mkdir(parents=True)
    assert captions._wordnet() is nltk.corpus.wordnet


class Letters:
    """An encoder of sentences by their letters."""

    def __init__(self, model: str):
        self.weight = json.loads(open(f"{model}/config.json").read())["weight"]
        self.seen = []

    def texts(self, texts):
        """Count letters, at unit length."""
        self.seen.append(texts)
        rows = np.array([[t.lower().count(c) ** self.weight for c in "abcdeorst"] for t in texts])
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def letters(folder):
    return {"_target_": f"{__name__}.Letters", "model": str(folder)}


def test_sentence_similarity_is_the_cosine_and_named_after_its_encoder(tmp_path):
    folder = tmp_path / "letters-v1"
    folder.mkdir()
    (folder / "config.json").write_text('{"weight": 1.0}')
    metric = SentenceSimilarity(letters(folder))
    assert metric.available() is None and metric.files() == [folder]
    told = [*TOLD[:3], TOLD[0]]
    (score,) = metric(metric.prepare(TRUE), metric.prepare(told))
    assert score.name == "sentence_letters-v1"
    vectors = [Letters(str(folder)).texts(x) for x in (TRUE, told)]
    for (i, j), value in np.ndenumerate(score.values):
        assert value == pytest.approx(float(vectors[0][i] @ vectors[1][j]), abs=1e-12)
    assert len(metric._encoder.seen[1]) == 3, "equal captions are embedded once"


def test_an_encoder_that_is_nowhere_is_not_replaced(monkeypatch):
    node = {"_target_": "neurodecode.contrastive.sentences.SentenceTarget"}
    metric = SentenceSimilarity(node | {"model": "sentence-transformers/all-MiniLM-L6-v2"})
    reason = metric.available()
    assert reason.startswith("weights missing: sentence-transformers/all-MiniLM-L6-v2")
    assert "evaluate.metrics.sentence.download=true" in reason and metric.files() == []
    with pytest.raises(FileNotFoundError, match="weights missing"):
        metric.prepare(["a"])


def test_a_model_is_fetched_only_when_asked_for(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text('{"weight": 1.0}')

    def snapshot(model, local_files_only, allow_patterns):
        if local_files_only:
            raise OSError("not in the cache")
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    node = letters("owner/model")
    assert "not in the cache" in SentenceSimilarity(node).available()
    metric = SentenceSimilarity(node, download=True)
    assert metric.available() is None and metric.prepare(["dog"]).shape == (1, 9)
