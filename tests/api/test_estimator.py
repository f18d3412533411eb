"""One's own decoder: scikit-learn's conventions, planted truth, and the solvers it stands on."""

import mne
import nibabel
import numpy as np
import pytest
from nilearn.maskers import NiftiMasker
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import neurodecode
from neurodecode.api.estimator import Decoder, validation_groups
from tests.api.small_run import Eye

QUICK = {"n_epochs": 2, "hidden": 16, "random_state": 0}
EXEMPTIONS = {}  # check -> why it does not apply; none is needed


@parametrize_with_checks(
    [Decoder(), Decoder("network", **QUICK)], expected_failed_checks=lambda estimator: EXEMPTIONS
)
def test_it_keeps_the_conventions_of_scikit_learn(estimator, check):
    assert check(estimator) is None


@pytest.fixture(scope="module")
def planted():
    """Trials X of ten runs, that see embeddings Y (unit rows) through a linear map, and noise."""
    rng = np.random.default_rng(0)
    Y = rng.standard_normal((200, 6))
    Y /= np.linalg.norm(Y, axis=1, keepdims=True)
    X = Y @ rng.standard_normal((6, 30)) + 0.1 * rng.standard_normal((200, 30))
    return 5 + 3 * X, Y, np.repeat(np.arange(10), 20)


@pytest.mark.parametrize("model", ["ridge", "network"])
def test_a_planted_map_is_found_in_new_trials(planted, model):
    X, Y, runs = planted
    decoder = Decoder(model, random_state=0, n_epochs=20).fit(X[:160], Y[:160], groups=runs[:160])
    cosine = np.einsum("nd,nd->n", decoder.predict(X[160:]), Y[160:])
    assert cosine.mean() > 0.9
    assert decoder.score(X[160:], Y[160:]) > 0.97


def test_the_score_of_other_trials_is_chance(planted):
    X, Y, _ = planted
    decoder = Decoder().fit(X, Y)
    scores = [decoder.score(X, np.random.default_rng(i).permutation(Y)) for i in range(20)]
    assert abs(np.mean(scores) - 0.5) < 0.02


def test_ridge_is_scikit_learns_at_the_same_penalty(planted):
    X, Y, runs = planted
    plain = Decoder(alpha=7.0, standardize=False).fit(X, Y)
    np.testing.assert_allclose(plain.predict(X), Ridge(7.0).fit(X, Y).predict(X), atol=1e-5)
    np.testing.assert_allclose(plain.alphas_, 7.0, rtol=1e-6)
    scaled = make_pipeline(StandardScaler(), Ridge(7.0)).fit(X, Y)
    np.testing.assert_allclose(
        Decoder(alpha=7.0).fit(X, Y).predict(X), scaled.predict(X), atol=1e-5
    )
    chosen = Decoder(standardize=False).fit(X, Y, groups=runs)
    same = Ridge(chosen.alphas_).fit(X, Y)
    np.testing.assert_allclose(chosen.coef_, same.coef_, atol=1e-5)
    np.testing.assert_allclose(chosen.intercept_, same.intercept_, atol=1e-4)


def test_with_more_channels_than_trials_it_is_still_scikit_learns(planted):
    X, Y, _ = planted
    few = Decoder(alpha=3.0, standardize=False).fit(X[:20], Y[:20])
    expected = Ridge(3.0).fit(X[:20], Y[:20]).predict(X)
    np.testing.assert_allclose(few.predict(X), expected, atol=1e-4)


def test_the_penalty_is_chosen_on_groups_that_are_left_out():
    rng = np.random.default_rng(0)
    runs = np.repeat(np.arange(6), 10)
    drift = rng.standard_normal((6, 40))[runs]  # of its run, in X and in Y: nothing to generalise
    Y = drift[:, :2] + 0.1 * rng.standard_normal((60, 2))
    X = np.column_stack([drift, rng.standard_normal((60, 20))])
    told, untold = Decoder().fit(X, Y, groups=runs), Decoder().fit(X, Y)
    assert (told.alphas_ > untold.alphas_).all()


def test_the_number_of_folds_matters_where_trials_are_few(planted):
    X, Y, _ = planted
    noisy = X[:60] + 20 * np.random.default_rng(0).standard_normal((60, 30))
    two, ten = (Decoder(n_folds=n).fit(noisy, Y[:60]).alphas_ for n in (2, 10))
    assert not np.array_equal(two, ten)


@pytest.mark.parametrize("model", ["ridge", "network"])
def test_times_images_and_epochs_are_what_their_arrays_are(planted, model):
    X, Y, _ = planted
    decoder = Decoder(model, **QUICK)
    expected = clone(decoder).fit(X, Y).predict(X)

    in_time = X.reshape(-1, 6, 5)
    info = mne.create_info(6, 100.0, "eeg")
    epochs = mne.EpochsArray(in_time, info, verbose="ERROR")
    assert np.array_equal(clone(decoder).fit(in_time, Y).predict(in_time), expected)
    assert np.array_equal(clone(decoder).fit(epochs, Y).predict(epochs), expected)

    inside = np.zeros((4, 4, 3), np.uint8)
    inside.ravel()[:30] = 1
    volumes = np.zeros((*inside.shape, len(X)))
    volumes[inside > 0] = X.T
    image, mask = (nibabel.Nifti1Image(data, np.eye(4)) for data in (volumes, inside))
    each = [nibabel.Nifti1Image(v, np.eye(4)) for v in np.moveaxis(volumes, -1, 0)]
    masker = NiftiMasker(mask, standardize=None, reports=False).fit()
    for images, how in ((image, mask), (each, mask), (image, masker)):
        found = clone(decoder).set_params(mask=how).fit(images, Y).predict(images)
        np.testing.assert_allclose(found, expected, atol=1e-4)
    with pytest.raises(ValueError, match="need a mask"):
        decoder.fit(image, Y)
    elsewhere = nibabel.Nifti1Image(inside, 2 * np.eye(4))
    with pytest.raises(ValueError, match="another grid than the mask"):
        decoder.set_params(mask=elsewhere).fit(image, Y)


def test_pictures_are_embedded_by_the_target(planted, tmp_path):
    X, _, _ = planted
    pictures = np.random.default_rng(1).integers(0, 255, (len(X), 8, 8, 3), dtype=np.uint8)
    paths = [tmp_path / f"{i}.png" for i in range(len(X))]
    for path, picture in zip(paths, pictures, strict=True):
        Image.fromarray(picture).save(path)
    decoder = Decoder(target=Eye(), alpha=1.0)
    expected = decoder.fit(X, Eye().pictures(pictures)[0]).predict(X)
    for given in (pictures, list(pictures), paths, [Image.open(p) for p in paths]):
        assert np.array_equal(decoder.fit(X, given).predict(X), expected)
    assert decoder.score(X, paths) == decoder.score(X, pictures)
    with pytest.raises(FileNotFoundError, match=r"nowhere.png is not there"):
        decoder.fit(X, ["nowhere.png"] * len(X))


def test_pictures_without_a_target_are_embedded_by_the_shipped_clip():
    from neurodecode.contrastive.targets import OpenClipTarget

    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (4, 16, 16, 3), dtype=np.uint8)
    X = rng.standard_normal((4, 3))
    embedded = OpenClipTarget().pictures(pictures)[0]
    found = Decoder(alpha=1.0).fit(X, pictures).predict(X)
    assert np.array_equal(found, Decoder(alpha=1.0).fit(X, embedded).predict(X))


def test_a_network_repeats_itself_and_every_option_changes_it(planted):
    X, Y, _ = planted
    say = lambda **changes: Decoder("network", **QUICK | changes).fit(X, Y).predict(X)
    plain = say()
    assert np.array_equal(say(device="cpu"), plain)
    np.testing.assert_allclose(np.linalg.norm(plain, axis=1), 1)
    for changes in (
        {"random_state": 1},
        {"n_epochs": 3},
        {"hidden": 24},
        {"learning_rate": 0.01},
        {"validation": 0.3},
        {"standardize": False},
    ):
        assert not np.allclose(say(**changes), plain), changes


def test_validation_takes_whole_groups():
    groups = np.repeat(np.arange(10), 3)
    train, val = validation_groups(groups, 0.2, 0)
    assert len(val) == 6 and not set(groups[train]) & set(groups[val])
    assert not np.array_equal(val, validation_groups(groups, 0.2, 1)[1])
    for share in (0.0, 1.0):
        with pytest.raises(ValueError, match="leaves none on one side"):
            validation_groups(groups, share, 0)


@pytest.mark.parametrize(
    ("parameters", "groups", "message"),
    [
        ({"model": "forest"}, None, "choose one of ridge, network"),
        ({"alpha": -1.0}, None, "alpha is -1.0; give more than 0"),
        ({}, np.zeros(200), "all 200 training trials belong to one"),
        ({}, np.arange(3), "200 trials and 3 groups do not match"),
    ],
)
def test_a_wrong_parameter_is_refused(planted, parameters, groups, message):
    with pytest.raises(ValueError, match=message):
        Decoder(**parameters).fit(*planted[:2], groups=groups)


def test_fit_is_a_decoder_fitted(planted):
    X, Y, runs = planted
    found = neurodecode.fit(X, Y, groups=runs, alpha=2.0)
    assert np.array_equal(found.predict(X), neurodecode.Decoder(alpha=2.0).fit(X, Y).predict(X))
