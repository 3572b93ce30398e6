"""Texts about the marks and the metadata of pictures."""

from __future__ import annotations

from artbank.parameters.stylize_recipe import Mark, Metadata

MARK_TEXTS: dict[Mark, str] = {
    "iptc": "digital source type compositeWithTrainedAlgorithmicMedia (IPTC, in XMP)",
    "none": "none",
}
METADATA_TEXTS: dict[Metadata, str] = {
    "keep": "copyright, artist, date, camera, descriptions, GPS",
    "copyright": "copyright, artist, date",
    "none": "nothing",
}
