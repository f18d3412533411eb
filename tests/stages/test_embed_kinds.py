"""What a target takes decides what is embedded: pictures, sounds, or what captions say of them."""

import numpy as np
import pytest
from scipy.io import wavfile

from neurodecode.contrastive.sounds import MelTarget
from neurodecode.core.errors import UserError
from neurodecode.core.key import file_digest
from neurodecode.core.runner import run_stage
from neurodecode.data.sounds import read_sound
from neurodecode.stages.embed import run as embed
from tests.contrastive.test_sentences import folder as sentence_encoder
from tests.data.small_study import write_tsv
from tests.stages.test_embed import IDS, load, study

__all__ = ["sentence_encoder", "study"]  # fixtures
MEL = {"_target_": "neurodecode.contrastive.sounds.MelTarget", "seconds": 0.5, "n_mels": 20}


@pytest.fixture
def heard(tmp_path, artifact):
    """A study of five noises of different length, and index's artifact of it."""
    rng, root = np.random.default_rng(0), tmp_path / "study"
    (root / "stimuli").mkdir(parents=True)
    names = [f"noise{i}" for i in range(5)]
    for i, name in enumerate(names):
        noise = rng.integers(-3000, 3000, 4000 + 500 * i, dtype=np.int16)
        wavfile.write(root / f"stimuli/{name}.wav", 8000, noise)
    paths = [f"stimuli/{name}.wav" for name in names]
    columns = {"stimulus_id": names, "path": paths, "caption": ["a noise"] * 5}
    columns["sha256"] = [file_digest(root / path) for path in paths]
    write_tsv(tmp_path / "index" / "stimuli.tsv", columns)
    return root, artifact(tmp_path / "index"), paths


def embedded(store, root, index, target, **config):
    return run_stage(embed, {"target": target, "root": str(root)} | config, {"index": index}, store)


def test_sounds_are_embedded_in_their_order_whatever_the_batch(store, heard):
    root, index, paths = heard
    found = embedded(store, root, index, MEL)
    parts = embedded(store, root, index, MEL, batch=2)
    expected = MelTarget(seconds=0.5, n_mels=20).sounds([read_sound(root / p) for p in paths])
    assert np.allclose(load(found, "pooled.npy"), expected[0], atol=1e-6)
    assert np.array_equal(load(found, "tokens.npy"), expected[1].astype(np.float16))
    assert np.array_equal(load(found, "tokens.npy"), load(parts, "tokens.npy"))
    assert {"blurry.npy", "text.npy"}.isdisjoint(found.files)


def test_a_target_that_takes_no_sounds_is_refused_and_says_what_it_takes(store, heard):
    clip = {"_target_": "neurodecode.contrastive.targets.OpenClipTarget"}
    with pytest.raises(UserError, match="takes pictures and texts, but the stimuli are sounds"):
        embedded(store, *heard[:2], clip)
    with pytest.raises(UserError, match="takes pictures, but the stimuli are sounds: choose"):
        embedded(store, *heard[:2], {"_target_": f"{__name__}.Sighted"})


class Sighted:
    """Takes pictures and nothing else."""

    takes = ("pictures",)
    dim, n_tokens, token_dim = 3, 1, 3


def test_a_target_of_sounds_refuses_pictures(store, study):
    with pytest.raises(UserError, match="MelTarget takes sounds, but the stimuli are pictures"):
        embedded(store, *study(["a cat"] * 7), MEL)


def test_a_target_of_texts_embeds_what_the_captions_say(store, study, sentence_encoder):
    from neurodecode.contrastive.sentences import SentenceTarget

    root, index = study(["a cat", "house", "cat", "a house", "photo", "of", "and"])
    captions = [
        f"a photo of {c}" for c in ("a cat", "house", "cat", "a house", "photo", "of", "and")
    ]
    node = {"_target_": "neurodecode.contrastive.sentences.SentenceTarget"}
    node |= {"model": str(sentence_encoder), "tokens": "last", "words": 8}
    template = {"text_template": "a photo of {}"}
    found = embedded(store, root, index, node, batch=3, **template)
    target = SentenceTarget(str(sentence_encoder), tokens="last", words=8)
    assert np.allclose(load(found, "pooled.npy"), target.texts(captions), atol=1e-5)
    assert np.allclose(load(found, "tokens.npy"), target.text_tokens(captions), atol=2e-3)
    assert load(found, "blurry.npy").shape == (len(IDS), 16, 16, 3)
    plain = embedded(store, root, index, node | {"tokens": "none"}, **template)
    assert "tokens.npy" not in plain.files
    assert np.allclose(load(plain, "pooled.npy"), target.texts(captions), atol=1e-5)


def test_captions_that_are_missing_cannot_be_embedded(store, study, sentence_encoder):
    node = {"_target_": "neurodecode.contrastive.sentences.SentenceTarget"}
    with pytest.raises(UserError, match="not all of them have captions"):
        embedded(store, *study([""] * 7), node | {"model": str(sentence_encoder)})


def test_pictures_among_sounds_are_refused(store, heard, artifact):
    from neurodecode.core.views import read_table

    root, index, _ = heard
    table = read_table(index.path("stimuli.tsv"))
    table.loc[2, "path"] = "stimuli/a.png"
    write_tsv(index.folder / "stimuli.tsv", table.to_dict("list"))
    with pytest.raises(ValueError, match="4 of 5 stimuli are sounds and the others pictures"):
        embedded(store, root, artifact(index.folder), MEL)


def test_tokens_beyond_float16_are_refused_before_they_become_infinite(store, study):
    class_path = f"{__name__}.Huge"
    with pytest.raises(UserError, match="100000 cannot be kept as float16"):
        embedded(store, *study(["a"] * 7), {"_target_": class_path})


class Huge:
    """Tokens of a hundred thousand."""

    dim, n_tokens, token_dim = 3, 1, 3

    def pictures(self, pictures: np.ndarray) -> tuple:
        """The same for every picture."""
        return np.ones((len(pictures), 3)), np.full((len(pictures), 1, 3), 1e5)
