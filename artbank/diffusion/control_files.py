"""ControlNets on this machine: fetch them, with the model that estimates depth, and name them by content."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from artbank.diffusion.model_files import CONTROL, DEPTH_MODEL, UNION, check_model, fetch_model, hash_model, name_model
from artbank.diffusion.model_limits import read_text
from artbank.errors import BaseModelError
from artbank.parameters.control_specs import ControlSpec, UsedControl


@dataclass(frozen=True)
class ControlFolder:
    """The folder of a ControlNet on this machine, whole but not checked against a base model.

    Attributes:
        spec: How it was asked for.
        folder: Its settings and weights.
        used: By what determines the pictures.
        depth_folder: The folder of the model that estimates depth; None for other kinds.
    """

    spec: ControlSpec
    folder: Path
    used: UsedControl
    depth_folder: Path | None

    @property
    def is_union(self) -> bool:
        """Whether it knows several kinds of images."""
        return json.loads(read_text(self.folder / "config.json"))["_class_name"] == UNION

    @property
    def joined(self) -> ControlFolder:
        """The same as one of several kinds that a Union sees together."""
        return replace(self, used=replace(self.used, is_joint=True))

    @property
    def at_full_weight(self) -> ControlFolder:
        """The same at weight 1 in all steps, which takes the same networks."""
        full_weight: dict[str, Any] = {"weight": 1.0, "start": 0.0, "end": 1.0}
        return replace(self, spec=replace(self.spec, **full_weight), used=replace(self.used, **full_weight))


def fetch_controls(
    specs: Sequence[ControlSpec], depth_model: str | None, *, is_offline: bool
) -> tuple[ControlFolder, ...]:
    """Return the folders of ControlNets; fetches those that are in a store or on the hub.

    Args:
        specs: Checked together by `read_controls`.
        depth_model: Source of the model that estimates depth; None for none.
        is_offline: Make no request to the hub.

    Raises:
        BaseModelError: One is missing, damaged, or of another kind; or one that is no Union is named for two kinds.
        OSError: A store or the hub failed.
    """
    folders = [_fetch(spec, depth_model if spec.kind == "depth" else None, is_offline=is_offline) for spec in specs]
    for folder in folders:
        _check_shared(folder, [other.spec for other in folders if other.spec.source == folder.spec.source])
    counts = Counter(folder.used.sha256 for folder in folders if folder.is_union)
    return tuple(folder.joined if counts[folder.used.sha256] > 1 else folder for folder in folders)


def _check_shared(found: ControlFolder, specs: Sequence[ControlSpec]) -> None:
    """Check that a ControlNet that is named for several kinds is a Union."""
    if len(specs) > 1 and not found.is_union:
        kinds = " and ".join(spec.kind for spec in specs)
        raise BaseModelError(
            f"control {kinds}: expected a Union at {found.spec.source}, which is named for each of them, found "
            "a plain one; name a ControlNet of its own for each kind"
        )


def _fetch(spec: ControlSpec, depth_model: str | None, *, is_offline: bool) -> ControlFolder:
    folder = fetch_model(CONTROL, spec.source, is_offline=is_offline)
    check_model(CONTROL, folder)
    depth_folder, depth_sha256 = None, ""
    if depth_model is not None:
        depth_folder = fetch_model(DEPTH_MODEL, depth_model, is_offline=is_offline)
        check_model(DEPTH_MODEL, depth_folder)
        depth_sha256 = hash_model(DEPTH_MODEL, depth_folder)
    used = UsedControl(
        spec.kind,
        name_model(CONTROL, spec.source, folder),
        hash_model(CONTROL, folder),
        spec.weight,
        spec.start,
        spec.end,
        depth_sha256,
    )
    return ControlFolder(spec, folder, used, depth_folder)
