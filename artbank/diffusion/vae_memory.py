"""The memory that a VAE needs for one image, counted from its settings.

Most is held at the level of full size, whose blocks have one or two widths. At the end of a residual layer these planes
exist at once: the input of the block, that of the layer, what the layer adds, the sum, and the scaled sum. At the
beginning of the layer that narrows the planes it is the input, what the norm and what the activation return. These
counts leave out the memory that convolutions of a GPU take for themselves.
"""

from __future__ import annotations

from diffusers import AutoencoderKL


def count_encode_bytes(vae: AutoencoderKL, height_px: int, width_px: int) -> int:
    """Return the bytes of planes that are held at once while an image is encoded."""
    return _count(vae, 5 * vae.config.block_out_channels[0], height_px, width_px)


def count_decode_bytes(vae: AutoencoderKL, height_px: int, width_px: int) -> int:
    """Return the bytes of planes that are held at once while an image is decoded."""
    widths = vae.config.block_out_channels[:2]  # of the blocks of full size, and of those below them
    return _count(vae, max(3 * widths[-1], widths[-1] + 4 * widths[0]), height_px, width_px)


def _count(vae: AutoencoderKL, num_planes: int, height_px: int, width_px: int) -> int:
    return num_planes * height_px * width_px * vae.dtype.itemsize
