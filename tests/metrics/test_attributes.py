"""The reader names what it was trained to name, and its scores are what they say."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from neurodecode.metrics.attributes import CONFIG, WEIGHTS, AttributeReader, network
from neurodecode.world.scenes import ATTRIBUTES, render, sample_scenes

NAMES = {"shape": ["disc", "star"], "size": ["small", "medium", "large"]}


@pytest.fixture
def tiny(tmp_path):
    """The folder of a random reader of 16-pixel pictures, saved in half precision."""
    torch.manual_seed(0)
    model = network([4, 6], NAMES, 16).eval()
    half = {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    save_file(half, tmp_path / WEIGHTS)
    config = {"attributes": NAMES, "widths": [4, 6], "size_px": 16}
    (tmp_path / CONFIG).write_text(json.dumps(config))
    return tmp_path


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)


def test_the_name_is_the_value_with_the_highest_score(tiny, noise):
    reader = AttributeReader(str(tiny))
    scores, names = reader.logits(noise), reader.read(noise)
    assert {name: s.shape for name, s in scores.items()} == {"shape": (9, 2), "size": (9, 3)}
    for attribute, values in NAMES.items():
        assert names[attribute].tolist() == [values[i] for i in scores[attribute].argmax(axis=1)]


def test_a_picture_is_read_the_same_in_any_batch(tiny, noise):
    one = AttributeReader(str(tiny)).logits(noise)
    other = AttributeReader(str(tiny), batch=2).logits(noise)
    assert all(np.allclose(one[name], other[name], atol=1e-5) for name in NAMES)


def test_no_more_than_a_batch_is_read_at_once(tiny, noise):
    reader, read = AttributeReader(str(tiny), batch=4), []
    reader._network.register_forward_pre_hook(lambda network, given: read.append(len(given[0])))
    reader.logits(noise)
    assert read == [4, 4, 1]


def test_accuracy_is_the_share_of_right_names(tiny, noise):
    reader = AttributeReader(str(tiny))
    truth = reader.read(noise)
    truth.loc[:2, "shape"] = "neither"
    assert reader.accuracy(noise, truth) == {"shape": pytest.approx(6 / 9), "size": 1.0}


def test_a_larger_picture_is_scaled_to_the_readers_size(tiny, noise):
    reader = AttributeReader(str(tiny))
    larger = np.repeat(np.repeat(noise, 3, axis=1), 3, axis=2)
    assert larger.shape[1:] == (48, 48, 3)
    assert np.allclose(reader.logits(larger)["size"], reader.logits(noise)["size"], atol=0.1)


def test_no_pictures_have_no_names(tiny):
    assert AttributeReader(str(tiny)).read(np.zeros((0, 16, 16, 3), np.uint8)).shape == (0, 2)


def test_the_shipped_reader_knows_every_attribute_of_a_scene():
    reader = AttributeReader()
    assert reader.attributes == {name: list(values) for name, values in ATTRIBUTES.items()}
    scenes = sample_scenes(200, np.random.default_rng(21))
    accuracy = reader.accuracy(render(scenes), scenes)
    assert min(accuracy.values()) >= 0.99  # its card says 1.000 of 5,000


def test_mistakes_are_answered_with_what_to_do(tiny, noise):
    with pytest.raises(FileNotFoundError, match="expected shipped:reader or a path"):
        AttributeReader("nowhere")
    with pytest.raises(ValueError, match="expected uint8"):
        AttributeReader(str(tiny)).read(noise / 255)
