"""ATM-S has the published keys, sizes and outputs, with its slips and without them."""

import pytest
import torch

from neurodecode.models.atm import ATM, ATMS
from neurodecode.models.base import Sizes
from tests.golden.rule import data, golden
from tests.models.published import agrees, filled, shapes

GOLDEN = golden("atm_s_encoder")
SIZES = Sizes(
    {"sub-01": 6, "sub-02": 6}, dim=8, n_tokens=2, token_dim=3, blurry=(4, 4, 3), n_times=20
)
SMALL = {"kernel": 5, "pool": 5, "stride": 2, "filters": 4, "d_ff": 7, "n_heads": 3}


def trials(n=3, seed=0):
    return torch.randn(n, 6, 20, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def published():
    return lambda compat: filled(ATMS(compat=compat).double().eval())


@pytest.fixture
def eeg():
    return torch.from_numpy(data("eeg", (2, 63, 250)))


def test_state_dict_has_the_published_keys_and_shapes(published):
    own = shapes(published(False))
    assert own.pop("logit_scale") == []  # the golden case built the three parts alone
    assert own == GOLDEN["keys"]


@pytest.mark.parametrize(
    "compat, name",
    [(True, "compat_first63_incl_subject_token"), (False, "fixed_skip_subject_token")],
)
def test_outputs_agree_with_the_golden_numbers(published, eeg, compat, name):
    model, ids = published(compat), torch.tensor([3, 3])
    tokens = model.encoder(eeg, ids)
    assert tokens.shape == (2, 63, 250)
    agrees(tokens, GOLDEN["outputs"][f"{name}_tokens"])
    agrees(model(eeg, ids), GOLDEN["outputs"][name])


def test_published_code_gives_a_subject_beyond_its_table_what_all_share(published, eeg):
    model = published(True)
    output = model(eeg, torch.tensor([3, 10]))  # one of them is enough
    agrees(output, GOLDEN["outputs"]["compat_subject_id_10_uses_shared_token"])
    with pytest.raises(ValueError, match="subject 10 has no row in a table of 10"):
        published(False)(eeg, torch.tensor([3, 10]))


def test_full_network_has_as_many_parameters_as_published():
    with torch.device("meta"):  # shapes only
        model = ATMS()
    assert sum(p.numel() for p in model.parameters()) == 3_076_912 + 1  # and the scale


def test_the_last_electrode_is_lost_under_compat_only():
    for compat in (True, False):
        model = ATM(SIZES, compat=compat, **SMALL).eval()
        tokens = lambda x, m=model: m.encoders["sub-01"].encoder(x, torch.tensor([0]))
        with torch.no_grad():
            layer = model.encoders["sub-01"].encoder.encoder.attn_layers[0].attention
            layer.value_projection.weight.zero_()  # electrodes see themselves alone
            changed = trials(1)
            changed[:, -1] += 1
            assert torch.allclose(tokens(trials(1)), tokens(changed), atol=1e-6) == compat


def test_the_scale_is_raw_and_learnt():
    model = ATM(SIZES, **SMALL).eval()
    before = model(trials(), "sub-01").pooled
    with torch.no_grad():
        model.encoders["sub-01"].logit_scale *= 2
    after = model(trials(), "sub-01").pooled
    torch.testing.assert_close(after, 2 * before)
    after.norm(dim=1).mean().backward()
    assert model.encoders["sub-01"].logit_scale.grad is not None


def test_one_network_for_all_subjects_is_told_who_it_reads():
    own, one = (ATM(SIZES, shared=shared, **SMALL).eval() for shared in (False, True))
    assert list(one.encoders) == ["shared"]
    assert list(own.encoders) == ["sub-01", "sub-02"]
    said = [one(trials(), subject).pooled for subject in SIZES.channels]
    assert not torch.allclose(*said)


def test_published_rows_of_subjects_are_the_numbers_of_their_names():
    model = ATM(SIZES, compat=True, shared=True, **SMALL)
    assert model.row == {"sub-01": 1, "sub-02": 2}
    assert ATM(SIZES, **SMALL).row == {"sub-01": 0, "sub-02": 1}
    table = model.encoders["shared"].encoder.enc_embedding.subject_embedding.subject_embedding
    assert table.num_embeddings == 10
    with pytest.raises(ValueError, match="ends in no number"):
        ATM(Sizes({"anna": 6}, dim=8, n_times=20), compat=True, **SMALL)


def test_a_pipeline_network_says_everything_that_is_asked():
    output = ATM(SIZES, **SMALL)(trials(), "sub-02")
    assert output.pooled.shape == (3, 8)
    assert output.tokens.shape == (3, 2, 3)
    assert output.blurry.shape == (3, 4, 4, 3)


@pytest.mark.parametrize(
    "options",
    [
        {"filters": 3},
        {"kernel": 3},
        {"pool": 3},
        {"stride": 3},
        {"d_ff": 9},
        {"n_heads": 7},
        {"subject_rows": 5},
    ],
)
def test_every_size_changes_the_number_of_weights(options):
    count = lambda **more: sum(p.numel() for p in ATM(SIZES, **SMALL | more).parameters())
    assert count(**options) != count()


@pytest.mark.parametrize("part", ["dropout", "projection_dropout"])
def test_dropout_acts_in_training_only(part):
    model = ATM(SIZES, **SMALL | {"dropout": 0.0, "projection_dropout": 0.0, part: 0.5})
    pooled = lambda: model(trials(), "sub-01").pooled
    assert not torch.allclose(pooled(), pooled())
    model.eval()
    torch.testing.assert_close(pooled(), pooled())


def test_more_heads_than_numbers_of_a_token_are_refused():
    with pytest.raises(ValueError, match="n_heads is 21, more than the 20"):
        ATM(SIZES, **SMALL | {"n_heads": 21})
