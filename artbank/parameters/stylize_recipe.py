"""The recipe of a picture: all settings that determine it, and nothing else.

Results are named by the digest of their recipe, so equal work is never repeated. Each field's `description` is its text
in Prefect's form, in the command line's help and in the documentation.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from artbank.parameters.few_steps import FEW_STEP_SOLVERS, check_few_steps
from artbank.parameters.groups import STYLIZE_GROUPS
from artbank.parameters.model import Recipe
from artbank.parameters.presets import GOVERNED, describe_presets, follow_preset

Inversion = Literal["stochastic", "gaussian", "ddim"]
Solver = Literal["ddim", "dpm++2m", "unipc", "euler", "euler_a", "lcm"]
Spacing = Literal["auto", "leading", "trailing"]
Preset = Literal["paper", "exact", "balanced", "faithful", "bold", "fast", "turbo"]
Colour = Literal["free", "keep", "collection"]
OutputSize = Literal["working", "original"]
Alpha = Literal["white", "keep"]
Mark = Literal["iptc", "none"]
Metadata = Literal["keep", "copyright", "none"]


class StylizeRecipe(Recipe):
    """Settings that determine a picture, besides the photo, the style and the base model.

    `mark` and `metadata` change no pixel, so they are no part of the digest: rows say what each picture's file has.
    """

    VERSION = 2
    GROUPS = STYLIZE_GROUPS
    NOT_COUNTED = frozenset({"preset", "mark", "metadata"})
    ADDED_LATER: ClassVar[dict[str, Any]] = {
        "structure": 0.0,
        "keep_structure": None,
        "reach_style": None,
        "candidates": 1,
        "colour_strength": 1.0,
        "detail": 0.0,
        "photo_captions": False,
        "spacing": "auto",
        "reuse": 1,
    }

    preset: Preset = Field(
        default="balanced",
        description=(
            "Default values for the other options: `balanced` (19 UNet evaluations per picture), `faithful` (more of "
            "the photo), `bold` (more of the style), `fast` (15 evaluations), `turbo` (4 evaluations, for few-step "
            "models only), `paper` (exactly as published, 71 evaluations at strength 0.7), or `exact` (the same, but "
            "denoising starts at the noise level where noising ended)."
        ),
    )
    strength: float = Field(
        default=0.9,
        gt=0,
        le=1,
        description="Fraction of the noise schedule to redraw; near 0 keeps the photo.",
    )
    steps: int = Field(
        default=10,
        ge=1,
        le=500,
        description="Solver steps for the whole schedule; the fraction `strength` of them runs.",
    )
    guidance: float = Field(
        default=10.0,
        ge=1,
        le=50,
        description="Classifier-free guidance scale; 1 disables guidance.",
    )
    guidance_from: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Begin guidance after this fraction of the executed steps.",
    )
    guidance_to: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="End guidance after this fraction of the executed steps.",
    )
    inversion: Inversion = Field(
        default="stochastic",
        description="How noise is added to the photo; stochastic inversion keeps its structure.",
    )
    solver: Solver = Field(
        default="unipc",
        description=(
            "Sampler for denoising. For few-step models: `euler` (SD-Turbo, Lightning, Hyper), `euler_a` (SDXL-Turbo), "
            "or `lcm` (LCM, DMD2)."
        ),
    )
    spacing: Spacing = Field(
        default="auto",
        description=(
            "How the timesteps are spaced: `trailing` begins at the noisiest one, `leading` below it. `auto` is "
            "trailing with `euler` and `euler_a`, the steps of LCM's training with `lcm`, else the base model's own."
        ),
    )
    aligned: bool = Field(
        default=True,
        description=(
            "Add noise up to the timestep where denoising starts. Without, add as much as `strength` says, a little "
            "more, as the authors' code does."
        ),
    )
    reuse: int = Field(
        default=1,
        ge=1,
        le=16,
        description=(
            "Run the whole UNet in every N-th step only; the steps between run its first and last block, with the deep "
            "features of the last whole step. 1 runs it whole in all steps; more is faster and less exact."
        ),
    )
    structure: float = Field(
        default=0.55,
        ge=0,
        le=1,
        description=(
            "How firmly a picture is held to its photo's structure: 0 not at all, 1 as firmly as a style allows. "
            "Places with detail are held more firmly than plain ones."
        ),
    )
    keep_structure: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description=(
            "Smallest structural similarity (SSIM) of each picture to its photo, measured as in the column `ssim`: at "
            "the working size, but at most 1024 px a side. artbank finds the structure that each photo needs for it, "
            "by up to two more drawings."
        ),
    )
    reach_style: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description=(
            "Smallest style gain of each picture: 0 is as near to the artworks as its photo, 1 as near as other works "
            "of the collection. A photo whose picture stays below is drawn up to two more times, with less structure "
            "and more strength. Not together with `keep_structure`."
        ),
    )
    candidates: int = Field(
        default=1,
        ge=1,
        le=16,
        description=(
            "Pictures to draw of each photo, with this seed and the next ones. The picture with the highest mean of "
            "style and content score is kept; with `reach_style`, among those that reach it."
        ),
    )
    style_weight: float = Field(
        default=1.0,
        ge=0,
        le=2,
        description=("Interpolates the prompt: 0 is without style, 1 the style, above 1 exaggerates it."),
    )
    prompt: str = Field(default="a painting", description="Text prompt, combined with the style.")
    photo_captions: bool = Field(
        default=False,
        description=(
            "Use each photo's own caption in place of `prompt`, where it has one: of a .txt, .caption, .json or .xmp "
            "file beside it, of a metadata.csv, .jsonl or .parquet, or in its XMP, IPTC record or Exif."
        ),
    )
    negative_prompt: str = Field(
        default="",
        description="Text prompt that guidance steers away from.",
    )
    colour: Colour = Field(
        default="collection",
        description=("Output colours: free (as drawn), keep (the photo's) or collection (the artworks')."),
    )
    colour_strength: float = Field(
        default=0.6,
        ge=0,
        le=1,
        description=(
            "How far the colours `keep` and `collection` replace those that were drawn: 0 not at all. "
            "It is 1 if you give `colour` but not this."
        ),
    )
    size: OutputSize = Field(
        default="working",
        description="Output size: the working size, or the photo's original size.",
    )
    detail: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description=(
            "Share of the photo's fine detail that pictures of `size` original get when they are enlarged; 0 enlarges "
            "them only. Without effect at the working size."
        ),
    )
    resolution_px: int | None = Field(
        default=None,
        ge=32,
        le=4096,
        description=("Short side of the working size in px; by default the base model's native size."),
    )
    alpha: Alpha = Field(
        default="white",
        description="Transparency: flattened onto white, or kept in formats that support it.",
    )
    quality: int = Field(default=92, ge=1, le=100, description="Quality of JPEG and WebP output.")
    mark: Mark = Field(
        default="iptc",
        description=(
            "Machine-readable mark of new pictures: iptc (XMP's DigitalSourceType is "
            "compositeWithTrainedAlgorithmicMedia) or none. Existing pictures stay as they are."
        ),
    )
    metadata: Metadata = Field(
        default="copyright",
        description=(
            "Metadata of the photo that new pictures keep: copyright (copyright, artist, date), keep (also camera, "
            "descriptions and GPS) or none. Existing pictures stay as they are."
        ),
    )
    seed: int = Field(
        default=0,
        ge=0,
        description="Seed of the run; each photo's seed is derived from it and the photo's key.",
    )

    @property
    def code_versions(self) -> dict[str, int]:
        """Versions of the code behind single settings: of the colours `collection`, of structure, of how it is kept."""
        is_kept = self.keep_structure is not None
        return {
            **({"collection_colours": 3} if self.colour == "collection" else {}),
            **({"structure": 2} if self.structure or is_kept else {}),
            **({"keep_structure": 2} if is_kept else {}),
        }

    @property
    def is_for_few_steps(self) -> bool:
        """Whether the solver or its spacing is one that few-step models are drawn with."""
        return self.solver in FEW_STEP_SOLVERS or self.spacing != "auto"

    @property
    def adds_detail(self) -> bool:
        """Whether pictures get detail of their photos."""
        return self.size == "original" and self.detail > 0

    @property
    def without_effect(self) -> frozenset[str]:
        """Fields that change nothing: `detail`, unless pictures are enlarged."""
        return frozenset() if self.size == "original" else frozenset({"detail"})

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Leave what a preset governs empty: Prefect's form sends every default, which would replace the preset's."""
        schema = super().__get_pydantic_json_schema__(core_schema, handler)
        fields = handler.resolve_ref_schema(schema)["properties"]
        for name in GOVERNED:
            default = fields[name].pop("default")
            fields[name]["description"] += f" If empty, as the preset says: {describe_presets(name, default)}."
            if fields[name].get("type") == "boolean":  # the form's switch has no third state
                fields[name]["anyOf"] = [{"type": fields[name].pop("type")}, {"type": "null"}]
            if "anyOf" in fields[name]:
                fields[name]["default"] = None
        return schema

    @model_validator(mode="before")
    @classmethod
    def _follow_preset(cls, values: Any) -> Any:
        return follow_preset(values) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _hold_one_goal(self) -> Self:
        if self.keep_structure is not None and self.reach_style is not None:
            raise ValueError("keep_structure asks for more of the photo, reach_style for less of it; give one of them")
        return self

    @model_validator(mode="after")
    def _take_a_step(self) -> Self:
        if self.is_for_few_steps:
            check_few_steps(self.solver, self.spacing, self.steps, self.strength)
        return self

    @model_validator(mode="after")
    def _order_guidance(self) -> Self:
        if self.guidance_from > self.guidance_to:
            raise ValueError(f"guidance_from {self.guidance_from} is above guidance_to {self.guidance_to}; swap them")
        return self
