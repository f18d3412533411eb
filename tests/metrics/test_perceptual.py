"""Network metrics: published chain, nodes and scores, against torchvision's extractor and scipy."""

import functools
import hashlib
import json
import shutil
import threading
from functools import cache
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from scipy.spatial.distance import correlation
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.transforms import v2

from neurodecode.metrics import perceptual, trunks
from neurodecode.metrics.perceptual import NetworkMetric, distinct
from neurodecode.metrics.pixel import published_size
from tests.metrics.test_pixel import pictures

own = np.diagonal
ARCHITECTURES = {"alexnet": "alexnet", "inception": "inception_v3", "effnet": "efficientnet_b1"}
NODES = {
    "alexnet": {"features.4": "alexnet2", "features.11": "alexnet5"},
    "inception": {"avgpool": "inception"},
    "effnet": {"avgpool": "effnet"},
    "swav": {"avgpool": "swav"},
}
SIZES = {"alexnet": 256, "inception": 342, "effnet": 255, "swav": 224, "clip": 224}
SMALL_CLIP = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 224, "layers": 2, "width": 32, "head_width": 16, "patch_size": 56},
    "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1},
}


@cache
def published_network(name):
    """The architecture as its publishers build it, with random weights.

    Batch statistics of our pictures keep them apart. In EfficientNet these would blow a rounding up
    to the size of the features; low variances keep its pictures apart as well.
    """
    torch.manual_seed(0)
    how = {"transform_input": True, "init_weights": False} if name == "inception" else {}
    network = getattr(torchvision.models, ARCHITECTURES.get(name, "resnet50"))(weights=None, **how)
    norms = [m for m in network.eval().modules() if isinstance(m, torch.nn.BatchNorm2d)]
    if name == "effnet":
        for norm in norms:
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.05, 0.3)
        return network
    for norm in norms:
        norm.train().momentum = None
    some = np.concatenate([pictures(0, 4, 40), pictures(1, 4, 40)])
    with torch.inference_mode():
        network(torch.from_numpy(published_size(some, size_px=SIZES[name])).permute(0, 3, 1, 2))
    return network.eval()


def save(name, network, folder):
    """Save the weights as they are published; SwAV's as its training left them."""
    state = network.state_dict()
    if name == "swav":
        state = {f"module.{k}": v for k, v in state.items() if not k.startswith("fc.")}
        state |= {"module.projection_head.0.weight": torch.zeros(8, 2048)}
        state |= {"module.prototypes.weight": torch.zeros(3, 8)}
    path = folder / f"{name}.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """``weights(name)``: a file of random weights in the published format."""
    made = {}

    def make(name):
        if name not in made:
            made[name] = save(name, published_network(name), tmp_path_factory.mktemp(name))
        return str(made[name])

    return make


def features_by_torchvision(name, some, antialias):
    """The published chain from torchvision's own parts."""
    chain = v2.Compose(
        [
            v2.Resize((256, 256), antialias=antialias),
            v2.Resize(SIZES[name], antialias=antialias),
            v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    extractor = create_feature_extractor(published_network(name), list(NODES[name]))
    with torch.inference_mode():
        out = extractor(chain(torch.from_numpy(some).permute(0, 3, 1, 2).float() / 255))
    return {NODES[name][node]: x.flatten(1).double().numpy() for node, x in out.items()}


def agreeing_rows(name, weights, antialias):
    """Compare every row of a network with the reference; the rows that agreed."""
    truth, predicted = pictures(0, 4, 40), pictures(1, 4, 40)
    metric = NetworkMetric(name, weights(name), antialias=antialias, batch=3)
    assert metric.available() is None
    scores = metric(metric.prepare(truth), metric.prepare(predicted))
    true, made = (features_by_torchvision(name, some, antialias) for some in (truth, predicted))
    for row in true:
        distance = np.array([[correlation(t, p) for p in made[row]] for t in true[row]])
        assert distance.std() > 1e-4, "pictures that the network tells apart"
        found = {s.name: s.values for s in scores if s.name.startswith(row)}
        if name in ("effnet", "swav"):
            assert list(found) == [f"{row}_distance"]
            np.testing.assert_allclose(found[f"{row}_distance"], distance, atol=1e-6)
            continue
        # identification of columns: the published count of real distractors that are less alike
        strict = (-distance < own(-distance)).sum(axis=0) / 3
        np.testing.assert_allclose(own(found[f"{row}_two_way_compat"]), strict, atol=1e-12)
        np.testing.assert_allclose(own(found[f"{row}_two_way"]), strict, atol=1e-12)
        r = perceptual.pearson(metric.prepare(truth)[row], metric.prepare(predicted)[row])
        np.testing.assert_allclose(r, 1 - distance, atol=1e-6)
    return list(true)


@pytest.mark.parametrize("antialias", [False, True])
def test_alexnet_agrees_with_torchvision_and_scipy(weights, antialias):
    assert agreeing_rows("alexnet", weights, antialias) == ["alexnet2", "alexnet5"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["inception", "effnet", "swav"])
def test_deeper_networks_agree_with_torchvision_and_scipy(name, weights):
    assert agreeing_rows(name, weights, False) == [name]


@pytest.fixture
def small_clip(tmp_path, monkeypatch):
    """A folder of a small CLIP under the name that is asked for, and the model itself."""
    import open_clip

    monkeypatch.setattr(trunks, "CLIP_ARCHITECTURE", "small-test-clip")
    (tmp_path / "small-test-clip.json").write_text(json.dumps(SMALL_CLIP))
    open_clip.add_model_config(tmp_path / "small-test-clip.json")
    torch.manual_seed(1)
    model = open_clip.create_model("small-test-clip").eval()
    folder = tmp_path / "clip"
    folder.mkdir()
    from safetensors.torch import save_file

    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": SMALL_CLIP}))
    return folder, model


def test_clip_agrees_with_open_clip(small_clip):
    folder, model = small_clip
    some = pictures(2, 3, 40)
    metric = NetworkMetric("clip", str(folder))
    assert metric.available() is None
    assert metric.files() == [folder / "open_clip_model.safetensors"]
    chain = v2.Compose(
        [
            v2.Resize((256, 256), antialias=False),
            v2.Resize(224, antialias=False),
            v2.Normalize((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
        ]
    )
    with torch.inference_mode():
        x = chain(torch.from_numpy(some).permute(0, 3, 1, 2).float() / 255)
        theirs = model.encode_image(x).numpy()
    np.testing.assert_allclose(metric.prepare(some)["clip"], theirs, atol=1e-5)
    names = [s.name for s in metric(metric.prepare(some), metric.prepare(some))]
    assert names == ["clip_two_way", "clip_two_way_compat"]


def test_another_clip_is_no_substitute(small_clip, monkeypatch):
    folder, _ = small_clip
    monkeypatch.setattr(trunks, "CLIP_ARCHITECTURE", "ViT-L-14-quickgelu")
    reason = NetworkMetric("clip", str(folder)).available()
    assert "is not ViT-L-14-quickgelu (embed_dim" in reason


def test_weights_of_another_network_are_refused(weights, tmp_path):
    metric = NetworkMetric("swav", weights("alexnet"))
    with pytest.raises(ValueError, match="does not hold the weights of swav_800ep"):
        metric.prepare(pictures(0, 1, 40))


@pytest.mark.parametrize("name", list(SIZES))
def test_without_weights_a_row_says_what_is_missing_and_how_to_get_it(name, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *names: None)
    metric, trunk = NetworkMetric(name), trunks.TRUNKS[name]
    reason = metric.available()
    assert reason.startswith(f"weights missing: no {trunk.file} in the cache")
    assert trunk.source in reason and f"evaluate.metrics.{name}.download=true" in reason
    assert metric.files() == []
    with pytest.raises(FileNotFoundError, match="weights missing"):
        metric.prepare(pictures(0, 1, 40))


def published_file(monkeypatch, folder, name, path):
    """Pretend that a file of ours is the published one: its digest goes into the name."""
    digest = hashlib.sha256(open(path, "rb").read()).hexdigest()[:8]
    file = f"net-{digest}.pth"
    (folder / "hub/checkpoints").mkdir(parents=True)
    trunk = trunks.TRUNKS[name]
    changed = {**trunk.__dict__, "file": file, "source": f"file://{path}"}
    monkeypatch.setitem(trunks.TRUNKS, name, trunks.Trunk(**changed))
    monkeypatch.setenv("TORCH_HOME", str(folder))
    return folder / "hub/checkpoints" / file


def test_the_published_file_is_found_in_the_cache_and_known_by_its_digest(
    weights, tmp_path, monkeypatch
):
    cached = published_file(monkeypatch, tmp_path, "alexnet", weights("alexnet"))
    assert NetworkMetric("alexnet").available().startswith("weights missing")
    cached.write_bytes(open(weights("alexnet"), "rb").read())
    assert NetworkMetric("alexnet").available() is None
    assert NetworkMetric("alexnet").files() == [cached]
    cached.write_bytes(b"cut short")
    assert NetworkMetric("alexnet").available().startswith("weights damaged")


@pytest.fixture
def served(tmp_path):
    """``served(path)``: the address of a file of this test's folder, on a server of its own."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            assert args  # printed nowhere

    handler = functools.partial(Quiet, directory=str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield lambda path: f"http://127.0.0.1:{server.server_port}/{Path(path).relative_to(tmp_path)}"
    server.shutdown()


def test_weights_are_fetched_only_when_asked_for(weights, tmp_path, monkeypatch, served):
    path = shutil.copy(weights("alexnet"), tmp_path / "alexnet.pth")
    cached = published_file(monkeypatch, tmp_path, "alexnet", path)
    changed = {**trunks.TRUNKS["alexnet"].__dict__, "source": served(path)}
    monkeypatch.setitem(trunks.TRUNKS, "alexnet", trunks.Trunk(**changed))
    assert NetworkMetric("alexnet").available() and not cached.exists()
    assert NetworkMetric("alexnet", download=True).available() is None
    assert cached.exists()


def test_a_download_that_fails_says_so(weights, tmp_path, monkeypatch):
    published_file(monkeypatch, tmp_path, "alexnet", weights("alexnet"))
    changed = {**trunks.TRUNKS["alexnet"].__dict__, "source": f"file://{tmp_path}/nothing"}
    monkeypatch.setitem(trunks.TRUNKS, "alexnet", trunks.Trunk(**changed))
    assert "download failed" in NetworkMetric("alexnet", download=True).available()


def test_a_named_file_that_is_not_there_is_named():
    assert NetworkMetric("alexnet", "/nowhere/a.pth").available().startswith("weights missing: no")


def test_equal_pictures_are_looked_at_once_and_the_batch_changes_nothing(weights, monkeypatch):
    some = pictures(3, 5, 40)[[0, 1, 0, 2, 3, 4, 1]]
    first, place = distinct(some)
    assert first.tolist() == [0, 1, 3, 4, 5] and place.tolist() == [0, 1, 0, 2, 3, 4, 1]
    seen = []
    look = NetworkMetric._look
    monkeypatch.setattr(
        NetworkMetric, "_look", lambda self, rows: seen.append(len(rows)) or look(self, rows)
    )
    made = NetworkMetric("alexnet", weights("alexnet"), batch=2).prepare(some)
    assert seen == [2, 2, 1]
    whole = NetworkMetric("alexnet", weights("alexnet"), batch=9).prepare(some)
    for row in made:
        assert (made[row][0] == made[row][2]).all()
        np.testing.assert_allclose(made[row], whole[row], rtol=1e-4, atol=1e-5)


def test_every_option_of_the_chain_reaches_the_network(weights):
    some = pictures(4, 2, 320)
    one = NetworkMetric("alexnet", weights("alexnet")).prepare(some)
    two = NetworkMetric("alexnet", weights("alexnet"), antialias=True).prepare(some)
    assert set(one) == {"alexnet2", "alexnet5"}
    assert np.abs(one["alexnet2"] - two["alexnet2"]).max() > 1e-3
    with pytest.raises((RuntimeError, AssertionError)):
        NetworkMetric("alexnet", weights("alexnet"), device="meta:9").prepare(some)


@pytest.mark.parametrize("size_px", [224, 255, 256, 342, 425])
def test_pictures_reach_the_size_that_is_asked_for(size_px):
    assert published_size(pictures(5, 2, 40), size_px=size_px).shape == (2, size_px, size_px, 3)


def test_the_cache_is_torch_hubs(tmp_path, monkeypatch):
    for variable in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv("TORCH_HOME", raising=False)
        monkeypatch.setenv(variable, str(tmp_path / variable))
        assert str(trunks._checkpoints()) == f"{torch.hub.get_dir()}/checkpoints"
