"""The work of codec processes: a file becomes a photo at its working size, and a picture becomes a file with scores."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from artbank.images.codec import Picture, decode, encode, resize
from artbank.images.control_images import draw_control_image
from artbank.images.file_metadata import PLAIN, FileMetadata, make_file_metadata
from artbank.images.framing import MAX_ASPECT, Frame, Photo
from artbank.images.photo_description import find_description
from artbank.images.photo_detail import enlarge, extract_detail
from artbank.images.photo_metadata import read_photo_metadata
from artbank.images.similarity import sanity_flags, ssim_luma
from artbank.parameters.control_specs import ControlKind
from artbank.parameters.stylize_recipe import Alpha, Mark, Metadata, OutputSize


@dataclass(frozen=True)
class DecodeOptions:
    """The settings by which the photos of a run are decoded.

    Attributes:
        max_pixels: Larger photos are rejected before they are decoded.
        alpha: Whether transparency is kept or laid on white.
        size: Whether pictures are written at the original or the working size, which is the size of the kept alpha.
        short_px: Short side of the working image.
        multiple_px: The padded sides of the working image are multiples of this.
        seconds: Time limit for one photo.
        mark: The mark that its pictures get.
        metadata: What its pictures keep of its metadata.
        detail: Whether pictures get the photo's detail; it is decoded whole for that.
        description: Whether the photo's own description is read.
        max_aspect: Photos that are longer get a smaller short side, see `Frame.for_photo`.
        control_kinds: What ControlNets see of the photos is computed for these kinds.
    """

    max_pixels: int
    alpha: Alpha
    size: OutputSize
    short_px: int
    multiple_px: int
    seconds: float
    mark: Mark = "iptc"
    metadata: Metadata = "copyright"
    detail: bool = False
    description: bool = False
    max_aspect: float = MAX_ASPECT
    control_kinds: tuple[ControlKind, ...] = ()


@dataclass(frozen=True)
class PhotoWithAlpha:
    """A photo at its working size, and its alpha.

    Attributes:
        photo: The photo.
        alpha: uint8 at the size of the output; None if the photo is opaque.
        note: A sentence about its conversion, see `codec.Picture`; empty if there is nothing to say.
        metadata: The metadata of its pictures.
        detail: See `photo_detail.extract_detail`; None if it was not asked for.
        description: See `photo_description.find_description`; empty if it was not asked for.
    """

    photo: Photo
    alpha: np.ndarray | None
    note: str
    metadata: FileMetadata
    detail: bytes | None
    description: str


@dataclass(frozen=True)
class EncodeJob:
    """A picture to encode and to compare with its photo.

    Attributes:
        rgb: The picture, uint8 [h, w, 3].
        photo: The photo at its working size, uint8 [h, w, 3].
        alpha: uint8 [H, W], or None.
        size: Width W and height H of the file, px.
        suffix: Selects the format; see `codec.encode`.
        quality: 1..100.
        metadata: Exif and XMP of the file.
        detail: The photo's detail that the file gets, see `photo_detail`; None for none.
        detail_weight: Share of it, 0..1.
    """

    rgb: np.ndarray
    photo: np.ndarray
    alpha: np.ndarray | None
    size: tuple[int, int]
    suffix: str
    quality: int
    metadata: FileMetadata = PLAIN
    detail: bytes | None = None
    detail_weight: float = 0.0


@dataclass(frozen=True)
class EncodedPicture:
    """The file of a picture, and its scores from `similarity`."""

    data: bytes
    ssim: float
    flags: tuple[str, ...]


def decode_photo(key: str, data: bytes, options: DecodeOptions) -> PhotoWithAlpha:
    """Decode a photo and bring it to its working size.

    Raises:
        ImageError: The photo cannot be used.
    """
    sizes = {"short_px": options.short_px, "multiple_px": options.multiple_px, "max_aspect": options.max_aspect}
    picture = decode(
        data,
        max_pixels=options.max_pixels,
        alpha=options.alpha,
        choose_size=lambda width, height: Frame.for_photo(width, height, **sizes).size_px,
        file_name=key,
        with_luma=options.detail,
    )
    photo = Photo.prepare(key, picture.rgb, whole_px=picture.whole_px, **sizes)
    control_images = {kind: draw_control_image(kind, photo.padded) for kind in options.control_kinds}
    photo = replace(photo, control_images=control_images)
    alpha = picture.alpha
    if alpha is not None and options.size == "working":
        alpha = _resize_alpha(alpha, *photo.frame.size_px)
    photo_metadata = read_photo_metadata(data, key)
    metadata = make_file_metadata(photo_metadata, mark=options.mark, metadata=options.metadata)
    luma = picture.whole_luma
    detail = None if luma is None else extract_detail(luma, photo.working)
    description = find_description(photo_metadata) if options.description else ""
    return PhotoWithAlpha(photo, alpha, picture.note, metadata, detail, description)


def encode_picture(job: EncodeJob) -> EncodedPicture:
    """Encode a picture at the size of its file, and score it at its own size.

    Raises:
        ImageError: The format cannot hold a picture of that size.
    """
    data = encode(finish_picture(job), job.suffix, quality=job.quality, metadata=job.metadata)
    return EncodedPicture(data, ssim_luma(job.rgb, job.photo), sanity_flags(job.rgb))


def finish_picture(job: EncodeJob) -> Picture:
    """Return a picture at the size of its file, uint8 [H, W, 3], with its alpha and the detail of its photo."""
    alpha = None if job.alpha is None else _resize_alpha(job.alpha, *job.size)
    return Picture(enlarge(job.rgb, job.photo, job.size, job.detail, job.detail_weight), alpha)


def _resize_alpha(alpha: np.ndarray, width_px: int, height_px: int) -> np.ndarray:
    return resize(np.repeat(alpha[..., None], 3, 2), width_px, height_px)[..., 0]
