"""The resources of a run that a worker process loads once and keeps between shards."""

from __future__ import annotations

from collections.abc import Sequence

from artbank.archive.drawing_resources import DrawingResources, make_decode_options
from artbank.archive.photo_reader import PhotoReader
from artbank.archive.plan import StylizePlan
from artbank.archive.shard_turns import ShardTurns
from artbank.archive.stores import RunStores
from artbank.archive.style_leases import WriteGuard
from artbank.archive.styles import load_style
from artbank.config import StylizeConfig
from artbank.diffusion.shared_base_model import load_base_model
from artbank.errors import BaseModelError
from artbank.images.pool import open_codec_pool
from artbank.parameters.control_specs import UsedControl
from artbank.parameters.lora_specs import MergedLora
from artbank.results.manifest import Manifest
from artbank.runtime.load_once import LoadOnce
from artbank.scoring.structure_model import load_structure_model
from artbank.stylization.controls import load_controls


class RunResources:
    """Stores, models, styles and decoder pool of one run, loaded once per process."""

    def __init__(self, config: StylizeConfig, plan: StylizePlan):
        """Load everything.

        Raises:
            BankError: A bank is missing, damaged, or was trained on another base model.
            BaseModelError: A model is missing, or differs from the one that the run was planned with.
            OSError: The store failed.
        """
        self.config = config
        self.plan = plan
        self.stores = RunStores.open(config)
        self.choices = {choice.name: choice for choice in plan.styles}
        styles = [load_style(self.stores.banks, choice) for choice in plan.styles]
        base = load_base_model(config)
        if base.hash != plan.base_model_hash:
            raise BaseModelError(
                f"expected the base model {config.base_model} of hash {plan.base_model_hash[:12]} that this run was "
                f"planned with, found {base.hash[:12]}; give all machines the same files"
            )
        if base.loras != plan.loras:
            raise _other_files_error("LoRAs", base.loras, plan.loras)
        controls = load_controls(config.control_specs, config.depth_model, base, is_offline=config.offline)
        if controls.used != plan.controls:
            raise _other_files_error("ControlNets", controls.used, plan.controls)
        structure_model = load_structure_model(config)
        self.drawing = DrawingResources.load(
            config, base, styles, config.recipe, structure_model, controls, with_texture=config.texture
        )
        self.codecs = open_codec_pool()
        self.batch_size = self.drawing.choose_batch_size(config.batch_size)
        self.reader = PhotoReader(
            self.stores.archive,
            self.codecs,
            make_decode_options(config, config.recipe, self.drawing.stylizer, config.decode_seconds),
            max_bytes=config.max_bytes,
            count=2 * self.batch_size,
        )
        self.turns = ShardTurns()
        self._is_begun = False
        self._manifest: Manifest | None = None
        self._guard = WriteGuard(self.stores.output, plan.run_id, [style.name for style in plan.styles])

    def begin(self, num_pictures: int) -> None:
        """Tell the compiler how many pictures this worker will draw in the run, about; only the first call counts."""
        if not self._is_begun:
            self._is_begun = True
            self.drawing.compiler.begin()
            self.drawing.compiler.expect(num_pictures)

    def open_manifest(self, manifest_id: str) -> Manifest:
        """Return the manifest of the run, opened once for all of its shards."""
        if self._manifest is None or self._manifest.id != manifest_id:
            self._manifest = Manifest.open(self.stores.output, manifest_id)
        return self._manifest

    def check_lease(self) -> None:
        """Check before a write that the run still holds the leases of its styles, if it has any.

        Raises:
            ResultsError: Another run has taken over a style of this run.
            OSError: The store failed.
        """
        if self.plan.is_leased:
            self._guard.check()


def _other_files_error(
    kind: str, found: Sequence[MergedLora | UsedControl], planned: Sequence[MergedLora | UsedControl]
) -> BaseModelError:
    """Return the error for models of a kind that differ from those that the run was planned with."""
    found_titles = ", ".join(model.title for model in found) or "none"
    planned_titles = ", ".join(model.title for model in planned) or "none"
    return BaseModelError(
        f"expected the {kind} that this run was planned with, {planned_titles}, found {found_titles}; give all "
        "machines the same files"
    )


@LoadOnce
def load_resources(config: StylizeConfig, plan: StylizePlan) -> RunResources:
    """Return the resources of a run, which all its shards in this process share."""
    return RunResources(config, plan)
