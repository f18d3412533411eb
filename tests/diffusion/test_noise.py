"""Noise is what torch draws, and the same on every device and with any number of threads."""

import pytest
import torch
from scipy import stats

from neurodecode.diffusion.noise import MANY, noise, rows_of_noise, seeded

LARGE = (4, MANY // 2)  # twice as many numbers as one generator draws


def drawn(shape, seed=0, device="cpu"):
    return noise(shape, torch.Generator().manual_seed(seed), torch.float32, device)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_a_small_array_is_what_torch_draws_in_one_go():
    expected = torch.randn((3, 5), generator=torch.Generator().manual_seed(0))
    assert torch.equal(drawn((3, 5)), expected)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_a_row_is_what_its_own_generator_draws_with_any_number_of_threads(threads, n_threads):
    threads(n_threads)
    rows = rows_of_noise(LARGE[1:], seeded([5, 6, 7]), torch.float32, "cpu")
    for row, seed in zip(rows, (5, 6, 7), strict=True):
        expected = torch.randn(LARGE[1:], generator=torch.Generator().manual_seed(seed))
        assert torch.equal(row, expected)


def test_a_large_array_is_standard_normal_and_its_rows_are_not_alike():
    rows = drawn(LARGE)
    assert rows.shape == LARGE
    assert stats.kstest(rows.flatten()[::20].numpy(), "norm").pvalue > 0.01
    correlations = torch.corrcoef(rows) - torch.eye(4)
    assert correlations.abs().max() < 6 / LARGE[1] ** 0.5


def test_equal_generators_draw_equal_arrays_and_go_on_to_others():
    generator = torch.Generator().manual_seed(0)
    first, second = (noise(LARGE, generator, torch.float32, "cpu") for _ in range(2))
    assert torch.equal(first, drawn(LARGE)) and not torch.equal(first, drawn(LARGE, seed=1))
    assert not (first == second).all(dim=1).any()


def test_rows_go_on_where_their_generators_stand():
    generators = seeded([1, 2])
    first, second = (rows_of_noise((3,), generators, torch.float64, "cpu") for _ in range(2))
    expected = torch.randn(6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert first.dtype == torch.float64 and not torch.equal(first, second)
    assert not torch.equal(first[0], expected[3:]) and torch.isfinite(second).all()


def test_large_arrays_are_drawn_where_no_gradients_are_kept():
    with torch.inference_mode():
        assert drawn(LARGE).shape == LARGE
    assert not drawn(LARGE).requires_grad


def test_what_a_thread_raises_is_raised():
    with pytest.raises(RuntimeError, match="not implemented"):
        rows_of_noise(LARGE[1:], seeded([1, 2, 3]), torch.int64, "cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("shape", [(3, 5), LARGE])
def test_noise_is_the_same_on_a_gpu(shape):
    assert torch.equal(drawn(shape, device="cuda").cpu(), drawn(shape))
