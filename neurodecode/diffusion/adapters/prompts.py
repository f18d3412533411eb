"""Sentences as a text encoder of Stable Diffusion or SDXL says them to the network."""


def encode(pipeline, prompts, negative, guided, device):
    """Encode sentences, and what to keep away from.

    Parameters
    ----------
    pipeline : diffusers pipeline with `encode_prompt`
    prompts : list of str
    negative : str or None
        None: SDXL's zeros, or the empty sentence.
    guided : bool
        Whether the network is asked without the condition, too.
    device : str

    Returns
    -------
    encoded : tuple of tensors
        Rows are the sentences, or with guidance twice as many: the negative first. Of SD
        (rows, 77, dim); of SDXL also (rows, pooled_dim).
    """
    found = pipeline.encode_prompt(
        prompt=prompts,
        device=device,
        num_images_per_prompt=1,
        do_classifier_free_guidance=guided,
        negative_prompt=None if negative is None else [negative] * len(prompts),
    )
    return paired(found, guided)


def paired(encoded, guided):
    """Put the negative half before the positive one, as `encode_prompt` returns them in turn."""
    import torch

    halves = zip(encoded[1::2], encoded[::2], strict=True)
    return tuple(torch.cat(pair) if guided else pair[1] for pair in halves)


def repeated(encoded, n, guided):
    """Repeat one encoded sentence for n rows, each half on its own."""
    parts = 2 if guided else 1
    return tuple(e.repeat_interleave(n, dim=0) if len(e) == parts else e for e in encoded)


def of_captions(adapter, rows):
    """What the rows' captions say, with the adapter's negative; see `encode`."""
    guided = adapter.guidance > 1
    return encode(adapter._pipeline, rows.captions, adapter.negative, guided, adapter.device)


def of_one(adapter, prompt, n):
    """What one sentence says, encoded when it is first needed, for n rows; see `encode`."""
    guided = adapter.guidance > 1
    if adapter._sentence is None:
        said = ([prompt], adapter.negative, guided, adapter.device)
        adapter._sentence = encode(adapter._pipeline, *said)
    return repeated(adapter._sentence, n, guided)


def time_ids(n, px, like):
    """SDXL's six numbers a row, (n, 6): full size, not cropped, shown at full size."""
    import torch

    return torch.tensor([[px, px, 0, 0, px, px]], dtype=like.dtype, device=like.device).repeat(n, 1)
