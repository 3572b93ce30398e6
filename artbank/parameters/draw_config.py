"""Parameters of all that draws photos, whether those of an archive or a few that a program holds."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from artbank.parameters.control_specs import ControlSpec, choose_controls, read_controls
from artbank.parameters.groups import STYLIZE_GROUPS
from artbank.parameters.recipe_costs import count_steps
from artbank.parameters.run_config import RunConfig, Uri
from artbank.parameters.stylize_recipe import StylizeRecipe


class DrawConfig(RunConfig):
    """The recipe of pictures, and the models that draw and score them beside those of `RunConfig`."""

    GROUPS = STYLIZE_GROUPS

    recipe: StylizeRecipe = Field(default_factory=StylizeRecipe)
    loras: tuple[Uri, ...] = Field(
        default=(),
        description=(
            "LoRA files to merge into the base model: FILE.safetensors or FILE.safetensors:WEIGHT (-4 to 4, 1 by "
            "default), a file or a store URI; `@sha256:HEX` behind FILE pins its hash. Banks of the base model still "
            "fit."
        ),
    )
    controls: tuple[Uri, ...] | None = Field(
        default=None,
        description=(
            "ControlNets: canny|depth|gray|tile=SOURCE, =SOURCE:WEIGHT or =SOURCE:WEIGHT:FROM-UNTIL, such as "
            "canny=models/canny:0.8:0-0.6. SOURCE is a folder, a store URI, a hub id, or mini for the embedded one, "
            "which is of kind gray; one source for several kinds is a Union. WEIGHT is above 0, up to 2 (1 by "
            "default); FROM and UNTIL are fractions of the executed steps. By default gray=mini:0.7 with the embedded "
            "base model, unless `structure` is 0, and none with other models. `none` stands for none."
        ),
    )
    depth_model: Uri | None = Field(
        default=None,
        min_length=1,
        description="Depth Anything or DPT for control depth: a folder, a store URI or a hub id; none by default.",
    )
    structure_model: Uri | None = Field(
        default=None,
        min_length=1,
        description="DINOv2 model for the score dino_structure: a folder, a store URI or a hub id; none by default.",
    )
    texture: bool = Field(
        default=False,
        description=(
            "Also score how much the pictures' strokes, lines and grain are like the artworks', without colours "
            "(clip_texture): CLIP looks at 8 or more patches of each picture."
        ),
    )

    @model_validator(mode="after")
    def _check_controls(self) -> Self:
        _ = self.control_specs
        return self

    @property
    def control_specs(self) -> tuple[ControlSpec, ...]:
        """The ControlNets of the run."""
        texts = choose_controls(self.controls, self.base_model, self.recipe.structure)
        return read_controls(texts, self.depth_model, count_steps(self.recipe))
