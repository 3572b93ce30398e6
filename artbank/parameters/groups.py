"""The order and the groups in which people meet the parameters: in Prefect's form, in `--help` and in the documents.

The order is that in which people think: what to do, the look, which photos, the output, the machine, the alarms. The
fields of a flow's nested models (its recipe, its alarms) are in the groups of the flow, so that names occur once in
each table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Groups = Mapping[str, tuple[str, ...]]

_MODELS = ("base_model", "revision", "offline", "scorer", "style_model")
_INPUT_LIMITS = ("max_megapixels", "max_megabytes", "max_missing_share", "allow_missing")
_WORKERS = ("device", "dtype", "compiling", "offload", "runner", "num_workers")

TRAIN_GROUPS: Groups = {
    "What to train": ("gallery_uri", "store_uri", "collections", "force", "dry_run"),
    "Bank": (
        *("recipe", "kind", "rank", "num_tokens", "attention", "init_word", "warm_start", "seed"),
        *("resolution_px", "num_crops", "caption_dropout", "holdout"),
    ),
    "Training": (
        *("max_steps", "batch_size", "learning_rate", "weight_decay", "min_snr_gamma", "max_strength"),
        *("validate_every", "patience"),
    ),
    "Which artworks": ("skip", *_INPUT_LIMITS),
    "Pages": ("num_samples", "num_milestones"),
    "Models": _MODELS,
    "Machine": (*_WORKERS, "banks_at_once", "checkpoint_every", "lease_seconds", "durability"),
}
"""The fields of `TrainConfig` and of its recipe."""

STYLIZE_GROUPS: Groups = {
    "What to stylize": ("archive_uri", "output_uri", "store_uri", "styles", "dry_run"),
    "Look": (
        *("recipe", "preset", "structure", "keep_structure", "reach_style", "style_weight"),
        *("colour", "colour_strength", "candidates", "prompt", "photo_captions", "negative_prompt", "seed"),
    ),
    "Sampling": (
        *("strength", "steps", "guidance", "guidance_from", "guidance_to", "solver", "spacing", "inversion", "aligned"),
        "reuse",
    ),
    "Which photos": (
        *("include", "exclude", "skip", "limit", "retry_failed", "failures", "checksum"),
        *("decode_seconds", *_INPUT_LIMITS),
    ),
    "Output": (
        *(
            "size",
            "resolution_px",
            "detail",
            "format",
            "quality",
            "alpha",
            "mark",
            "metadata",
            "delete_removed",
            "public_url",
        ),
    ),
    "Models": (*_MODELS, "loras", "controls", "depth_model", "structure_model", "texture"),
    "Machine": (*_WORKERS, "batch_size", "shard_size", "shards_per_run", "lease_seconds", "durability"),
    "Alarms": ("alarms", "max_failed_share", "max_gain_drop", "least_photos"),
}
"""The fields of `StylizeConfig`, of its recipe and of its alarms."""

FIRST_GROUPS = frozenset({"What to train", "Bank", "What to stylize", "Look", "Output"})
"""The groups that `--help` shows; `--help-all` shows the others, too."""


def sort_fields(groups: Groups, names: Iterable[str]) -> list[str]:
    """Return names of fields in the order of their groups; those in no group follow in the order in which they came."""
    places = {name: place for place, name in enumerate(name for group in groups.values() for name in group)}
    return sorted(names, key=lambda name: places.get(name, len(places)))


def find_group(groups: Groups, name: str) -> str | None:
    """Return the title of the group that holds a field; None if there is none."""
    return next((title for title, names in groups.items() if name in names), None)
