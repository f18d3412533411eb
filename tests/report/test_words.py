"""Numbers as papers print them; metrics in words."""

import pytest

from neurodecode.report.words import (
    CONDITIONS,
    condition_colours,
    condition_marker,
    metric_label,
    metric_words,
    metrics_label,
    number,
    p_value,
    reason_words,
    seconds,
    signed,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.4213, ".42"),
        (-0.3, "−.30"),
        (1.0, "1.00"),
        (1200, "1,200"),
        (49.5, "49.5"),
        (-0.001, ".00"),
        (float("nan"), "–"),
    ],
)
def test_numbers_read_as_in_papers(value, text):
    assert number(value) == text


def test_signs_p_values_and_durations():
    assert (signed(0.02), signed(-0.02)) == ("+.02", "−.02")
    assert (p_value(0.0002), p_value(0.03), p_value(0.4)) == ("< .001", ".030", ".40")
    assert (seconds(4.2), seconds(75), seconds(3700)) == ("4.2 s", "1 min 15 s", "1 h 01 min")


def test_retrieval_names_its_set_and_others_do_not():
    assert metric_label("brain_to_image_top1", 300) == "brain → image, top 1 of 300"
    assert metric_label("pixcorr", 300) == "pixel correlation"


@pytest.mark.parametrize(
    ("name", "label", "family"),
    [
        ("pixcorr_425", "pixel correlation at 425 px", "pixels"),
        ("ssim_425", "SSIM at 425 px", "pixels"),
        ("ssim", "SSIM", "pixels"),
        ("alexnet2_two_way", "AlexNet (2), two-way", "perceptual"),
        ("inception_two_way", "Inception v3, two-way", "perceptual"),
        ("clip_two_way_compat", "CLIP, two-way, as published: ties lose", "perceptual"),
        ("effnet_distance", "EfficientNet distance", "perceptual"),
        ("swav_distance", "SwAV distance", "perceptual"),
        ("two_way_block_2", "block 2, two-way", "perceptual"),
        ("two_way_embedding", "two-way, predicted embedding", "two-way identification"),
        ("meteor", "METEOR", "captions"),
        ("rouge_l", "ROUGE-L", "captions"),
        ("sentence_all-MiniLM-L6-v2", "sentence similarity, all-MiniLM-L6-v2", "captions"),
        ("brain_correlation_early_ridge", "brain correlation, early (ridge encoder)", "brain"),
        ("brain_correlation_gnet", "brain correlation (GNet encoder)", "brain"),
        ("attribute_x", "place, left to right", "attributes"),
    ],
)
def test_metrics_of_the_field_are_named_as_the_field_names_them(name, label, family):
    found = metric_words(name)
    assert found[:2] == (label, family) and "{" not in found[2] and found[2].endswith(".")


def test_the_size_of_the_set_stands_before_the_form():
    found = metric_label("brain_to_image_top1_compat", 300)
    assert found == "brain → image, top 1 of 300, as published: ties lose"


@pytest.mark.parametrize(
    ("names", "label"),
    [
        (["meteor"], "METEOR"),
        (["clip_two_way", "clip_two_way_compat"], "CLIP, two-way"),
        (["alexnet2_two_way", "alexnet5_two_way"], "AlexNet (2) and (5), two-way"),
        (["rouge_1", "meteor"], "ROUGE-1 and METEOR"),
        (["pixcorr", "pixcorr_425"], "pixel correlation; pixel correlation at 425 px"),
    ],
)
def test_several_metrics_share_what_their_names_share(names, label):
    assert metrics_label(names) == label


def test_reasons_leave_out_the_names_of_errors():
    assert reason_words("weights missing (OSError: no (such) file); get it") == (
        "weights missing; get it"
    )
    assert reason_words("GNet (gnet.pt) is not here.") == "GNet (gnet.pt) is not here"


def test_an_unknown_metric_speaks_for_itself():
    assert metric_words("my_new_score") == ("my new score", "other", "")


def test_no_two_conditions_look_alike():
    names = [*CONDITIONS, "my_control"]
    colours = condition_colours(names)
    assert len({(colours[name], condition_marker(name)) for name in names}) == len(names)
    loud = ("model", "ridge", "category_oracle", "true_features")
    assert all(list(colours.values()).count(colours[name]) == 1 for name in loud)
