"""A tiny sentence encoder, saved and read back: pooling by hand gives the same vectors."""

import json

import numpy as np
import pytest

from neurodecode.contrastive.sentences import SentenceTarget

TEXTS = ["a photo of a cat", "cat", "a photo of a house and a cat"]


@pytest.fixture
def folder(tmp_path):
    """Write a random two-layer encoder of sixteen numbers."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "a",
        "photo",
        "of",
        "cat",
        "house",
        "and",
    ]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab=str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    config = BertConfig(vocab_size=len(words), num_attention_heads=2, **sizes)
    BertModel(config).save_pretrained(tmp_path)
    return tmp_path


def by_hand(folder, text):
    import torch
    from transformers import AutoModel, AutoTokenizer

    words = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with torch.inference_mode():
        return AutoModel.from_pretrained(folder).eval()(**words).last_hidden_state[0].numpy()


def unit(vector):
    return vector / np.linalg.norm(vector)


def test_a_sentence_is_the_mean_of_its_tokens_whatever_stands_beside_it(folder):
    found = SentenceTarget(str(folder)).texts(TEXTS)
    assert found.shape == (3, 16) and found.dtype == np.float32
    for row, text in zip(found, TEXTS, strict=True):
        assert np.allclose(row, unit(by_hand(folder, text).mean(axis=0)), atol=1e-5)


def test_the_batch_does_not_matter(folder):
    one, all_at_once = SentenceTarget(str(folder), batch=1), SentenceTarget(str(folder))
    assert np.allclose(one.texts(TEXTS), all_at_once.texts(TEXTS), atol=1e-5)


def test_no_more_than_a_batch_is_embedded_at_once(folder):
    target, embedded = SentenceTarget(str(folder), batch=2), []
    embed = target._embed
    target._embed = lambda texts: embedded.append(len(texts)) or embed(texts)
    target.texts(TEXTS)
    assert embedded == [2, 1]


def test_the_encoder_lies_on_the_device_asked_for(folder):
    target = SentenceTarget(str(folder), device="meta")  # a device that every machine has
    assert {p.device.type for p in target._model.parameters()} == {"meta"}


def test_a_folder_may_ask_for_its_first_token(folder):
    (folder / "1_Pooling").mkdir()
    asks = {"word_embedding_dimension": 16, "pooling_mode_cls_token": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(asks))
    found = SentenceTarget(str(folder)).texts(TEXTS[:1])
    assert np.allclose(found[0], unit(by_hand(folder, TEXTS[0])[0]), atol=1e-5)


def test_another_pooling_is_refused(folder):
    (folder / "1_Pooling").mkdir()
    asks = {"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(asks))
    with pytest.raises(ValueError, match="max_tokens.*mean_tokens, cls_token"):
        SentenceTarget(str(folder))


def test_nothing_is_downloaded(tmp_path):
    with pytest.raises(FileNotFoundError, match="all-minilm.*config.json"):
        SentenceTarget("all-minilm")
    with pytest.raises(FileNotFoundError, match="config.json"):
        SentenceTarget(str(tmp_path))
