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


def test_a_clips_text_side_is_read_as_pipelines_read_it(tmp_path):
    import torch
    from transformers import AutoTokenizer, CLIPTextModel

    from tests.contrastive.tiny_models import save_clip

    save_clip(tmp_path / "text_encoder", "CLIPTextModel")
    encoder = CLIPTextModel.from_pretrained(tmp_path / "text_encoder").eval()
    own = AutoTokenizer.from_pretrained(tmp_path / "text_encoder")
    for file in (tmp_path / "text_encoder").glob("*"):
        if "token" in file.name or file.name in ("vocab.json", "merges.txt"):
            (tmp_path / "tokenizer").mkdir(exist_ok=True)
            file.rename(tmp_path / "tokenizer" / file.name)
    words = own(TEXTS, padding="max_length", max_length=77, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        said = encoder(words["input_ids"], output_hidden_states=True)  # as Stable Diffusion does
    target = SentenceTarget(str(tmp_path), subfolder="text_encoder", tokens="last")
    assert (target.n_tokens, target.token_dim, target.dim) == (77, 16, 16)
    assert np.allclose(target.text_tokens(TEXTS), said.last_hidden_state.numpy(), atol=1e-5)
    assert np.allclose(target.texts(TEXTS), [unit(row) for row in said.pooler_output], atol=1e-5)
    earlier = SentenceTarget(str(tmp_path), subfolder="text_encoder", tokens="penultimate")
    assert np.allclose(earlier.text_tokens(TEXTS), said.hidden_states[-2].numpy(), atol=1e-5)
    with pytest.raises(ValueError, match="projects nothing"):
        SentenceTarget(str(tmp_path), subfolder="text_encoder", tokens="projected")


def test_projected_tokens_are_those_of_the_whole_clip(tmp_path):
    from neurodecode.contrastive.clip import ClipTarget
    from tests.contrastive.tiny_models import save_clip

    save_clip(tmp_path)
    whole, text = ClipTarget(str(tmp_path)), SentenceTarget(str(tmp_path), tokens="projected")
    assert text.text_tokens(TEXTS).shape == (3, text.n_tokens, text.token_dim) == (3, 77, 12)
    assert np.allclose(text.text_tokens(TEXTS), whole.text_tokens(TEXTS), atol=1e-6)
    assert np.allclose(text.texts(TEXTS), whole.texts(TEXTS), atol=1e-6)


def test_a_t5_is_read_by_its_encoder_alone(folder, tmp_path):
    import torch
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(0)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    encoder = T5EncoderModel(T5Config(vocab_size=11, **sizes)).eval()
    encoder.save_pretrained(folder)  # in place of the encoder there; its tokenizer stays
    target = SentenceTarget(str(folder), tokens="last", words=9)
    from transformers import AutoTokenizer

    own = AutoTokenizer.from_pretrained(folder)
    words = own(TEXTS, padding="max_length", max_length=9, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        vectors = encoder(words["input_ids"], attention_mask=words["attention_mask"])[0].numpy()
    assert np.allclose(target.text_tokens(TEXTS), vectors, atol=1e-5)
    for row, vector, mask in zip(
        target.texts(TEXTS), vectors, words["attention_mask"], strict=True
    ):
        assert np.allclose(row, unit(vector[mask.numpy() == 1].mean(axis=0)), atol=1e-5)
