"""Write SDXL-unCLIP, published in sgm's layout, as the folder that generator=sdxl_unclip loads.

python scripts/convert_sgm.py unclip6_epoch0_step110000.ckpt weights/sdxl_unclip
"""

import argparse

from neurodecode.diffusion.adapters.sgm_layout import convert


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", help=".ckpt or .safetensors")
    parser.add_argument("folder", help="where to write")
    parser.add_argument("--dtype", choices=["float16", "float32"], default="float16")
    given = parser.parse_args()
    convert(given.checkpoint, given.folder, given.dtype)


if __name__ == "__main__":
    main()
