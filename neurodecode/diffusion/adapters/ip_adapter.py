"""IP-Adapter [1]_ on SDXL [2]_: an image embedding beside an empty prompt.

References
----------
.. [1] Ye, H. et al. (2023). IP-Adapter: text compatible image prompt adapter for text-to-image
   diffusion models. arXiv:2308.06721.
.. [2] Podell, D. et al. (2024). SDXL: improving latent diffusion models for high-resolution image
   synthesis. ICLR.
"""

from pathlib import Path

from neurodecode.core.claims import read_tensors
from neurodecode.core.ranges import Count, NotNegative
from neurodecode.diffusion.adapters.base import Adapter
from neurodecode.diffusion.adapters.prompts import of_one, time_ids
from neurodecode.diffusion.adapters.weights import Dtype, Memory, Weights, downloaded, quiet
from neurodecode.diffusion.folder import check_network
from neurodecode.weights import weights_folder

NEEDED = ("unet", "vae", "scheduler", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
WITHOUT = ("image_encoder", "feature_extractor")


class IPAdapterXL(Adapter):
    """`StableDiffusionXLPipeline` with an IP-Adapter, on decoded embeddings.

    A plain adapter reads one token a row, (n, 1, dim): the pooled embedding with its projection,
    not at unit length (1280 numbers of ViT-bigG, 1024 of ViT-H). A `plus` adapter reads the
    penultimate hidden states of ViT-H with the class token, (n, 257, 1280), which the pipeline's
    own projection resamples to 16 tokens. Every row has an embedding of its own, where the
    pipeline's call takes one for all rows.

    Parameters
    ----------
    path : str
        SDXL: hub id or folder.
    adapter : str
        Hub id or folder of the adapter.
    adapter_file : str
        The adapter's weights in it, safetensors.
    encoder : str or None
        Folder of the image encoder within `adapter`: a plus adapter's unconditional input is what
        it says of an empty picture (zeros); it is asked once and not kept. Others do without: null.
    scale : float
        How much the image counts beside the prompt; 1 is what the adapter was trained at.
    prompt, negative : str
        Sentences for all pictures, encoded once.
    steps, guidance, picture_px
        See `neurodecode.diffusion.adapters.base.Adapter`.
    revision, variant, dtype, memory, device
        Of SDXL, see `neurodecode.diffusion.adapters.weights.Weights`.
    """

    upcasts = True

    def __init__(
        self,
        path: str = "stabilityai/stable-diffusion-xl-base-1.0",
        adapter: str = "h94/IP-Adapter",
        adapter_file: str = "sdxl_models/ip-adapter_sdxl.safetensors",
        encoder: str | None = None,
        scale: NotNegative = 1.0,
        prompt: str = "",
        negative: str | None = None,
        steps: Count = 30,
        guidance: NotNegative = 5.0,
        picture_px: Count | None = None,
        revision: str | None = None,
        variant: str | None = None,
        dtype: Dtype = "float32",
        memory: Memory = "all_on_device",
        device: str = "cpu",
    ):
        weights = Weights(path, revision, variant, dtype, memory, device)
        nothing = None
        if isinstance(path, str):
            from diffusers import StableDiffusionXLPipeline

            path = weights.pipeline(StableDiffusionXLPipeline, NEEDED, WITHOUT)
            folder = _adapter_folder(adapter, adapter_file, encoder)
            _add_adapter(path, folder / adapter_file)
            if encoder is None and _reads_hidden_states(path) and guidance > 1:
                raise ValueError(
                    f"{adapter_file} reads hidden states: with guidance it needs the encoder that "
                    "says them of an empty picture, such as encoder=models/image_encoder"
                )
            nothing = None if encoder is None else _empty(folder / encoder)
        path.set_ip_adapter_scale(scale)
        super().__init__(path, weights, steps, guidance, picture_px)
        self.prompt, self.negative, self._nothing = prompt, negative, nothing
        self.token_shape = _input_of(self._network.encoder_hid_proj.image_projection_layers[0])
        if nothing is not None:
            self.token_shape = _agreed(self.token_shape, nothing, encoder, adapter_file)

    def _conditioned(self, rows):
        import torch

        guided, n = self.guidance > 1, len(rows)
        words, pooled = of_one(self, self.prompt, n)
        images = rows.tokens if self.token_shape[0] == 1 else rows.tokens[:, None]
        if guided:
            images = torch.cat([self._without(images), images])
        added = {
            "text_embeds": pooled,
            "time_ids": time_ids(len(pooled), self.picture_px, pooled),
            "image_embeds": [images],
        }
        return lambda x, t: self._network(
            x, t, encoder_hidden_states=words, added_cond_kwargs=added, return_dict=False
        )[0]

    def _without(self, images):
        import torch

        if self._nothing is None:
            return torch.zeros_like(images)
        return self._nothing.to(images).expand_as(images)


def _adapter_folder(adapter, file, encoder):
    """The folder with an adapter's weights, found to be there."""
    folder = weights_folder(adapter)
    wanted = [file] + ([] if encoder is None else [f"{encoder}/config.json"])
    if encoder is not None:
        wanted.append(f"{encoder}/model.safetensors")
    if folder is None:
        folder = downloaded(adapter, None, allow=wanted)
    if missing := [name for name in wanted if not (folder / name).is_file()]:
        raise FileNotFoundError(
            f"{folder} is not whole: {', '.join(missing)} missing; get it by: hf download "
            f"h94/IP-Adapter {' '.join(missing)} --local-dir {folder}"
        )
    return folder


def _add_adapter(pipeline, file):
    if file.suffix != ".safetensors":
        raise ValueError(f"{file} is no safetensors file: others may run code, and are not opened")
    tensors = read_tensors(file, "torch")
    parts = {"image_proj": {}, "ip_adapter": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        if part not in parts or not rest:
            raise ValueError(f"{file} holds {name!r}: it is no IP-Adapter")
        parts[part][rest] = tensor
    with quiet():
        try:
            pipeline.load_ip_adapter(
                parts,
                subfolder="",
                weight_name="",
                image_encoder_folder=None,
                low_cpu_mem_usage=False,
            )
        except Exception as error:  # of names and sizes that are not an adapter's of this network
            raise ValueError(
                f"{file} does not fit the network ({type(error).__name__}: {error}): take the "
                "adapter that was trained with it"
            ) from error
    pipeline.unet.to(dtype=pipeline.vae.dtype)


def _reads_hidden_states(pipeline):
    return _input_of(pipeline.unet.encoder_hid_proj.image_projection_layers[0])[0] != 1


def _agreed(read, nothing, encoder, file):
    """The shape of a plus adapter's tokens, known from what its encoder says."""
    said = tuple(nothing.shape[1:])
    if read != (None, said[1]):
        raise ValueError(f"{encoder} says {said}, and {file} reads {read}: they are no pair")
    return said


def _empty(folder):
    """What an image encoder's penultimate layer says of zeros: (1, n_tokens, dim)."""
    import torch
    from transformers import CLIPVisionModelWithProjection

    check_network(Path(folder), CLIPVisionModelWithProjection)
    with quiet(), torch.inference_mode():
        encoder = CLIPVisionModelWithProjection.from_pretrained(
            str(folder), dtype=torch.float32, local_files_only=True, use_safetensors=True
        )
        size = encoder.config.image_size
        said = encoder(torch.zeros(1, 3, size, size), output_hidden_states=True)
    return said.hidden_states[-2]


def _input_of(projection):
    """How many tokens of how many numbers a projection of diffusers reads."""
    if hasattr(projection, "image_embeds"):
        return 1, projection.image_embeds.in_features
    return None, projection.proj_in.in_features
