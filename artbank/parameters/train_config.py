"""Parameters of the flows that read galleries of artworks.

Programs import them from `artbank.config`.
"""

from __future__ import annotations

from pydantic import Field

from artbank.parameters.bank_recipe import BankRecipe
from artbank.parameters.groups import TRAIN_GROUPS
from artbank.parameters.run_config import (
    GalleryUri,
    OnlyCollections,
    PlacesConfig,
    RunConfig,
    SkipGlobs,
    StoreUri,
    write_title,
)

FEWEST_ARTWORKS = 3
"""The fewest artworks of a collection that a bank is trained on: some to learn from and one to hold out."""

GOOD_ARTWORKS = 10
"""From about this many artworks on a bank learns their style."""


class TrainConfig(RunConfig):
    """Parameters of `train_banks`, which trains a bank for each collection that needs one."""

    GROUPS = TRAIN_GROUPS

    gallery_uri: GalleryUri
    store_uri: StoreUri
    collections: OnlyCollections = ()
    force: bool = Field(
        default=False,
        description="Train even if nothing changed; adds a version.",
    )
    dry_run: bool = Field(
        default=False,
        description="Only report what would be trained and how long it may take.",
    )
    recipe: BankRecipe = Field(default_factory=BankRecipe)  # a factory, so that forms hold no copy of it
    banks_at_once: int = Field(
        default=4,
        ge=1,
        le=64,
        description="Number of banks trained in the same batches, at most.",
    )
    checkpoint_every: int = Field(
        default=100,
        ge=1,
        description="Steps between checkpoints in the store.",
    )
    lease_seconds: float = Field(
        default=90.0,  # longer than a store outage of a minute
        gt=0,
        description=(
            "Take over a collection when the run that trains it has not renewed its lease for this many seconds."
        ),
    )
    num_samples: int = Field(
        default=4,
        ge=1,
        le=64,
        description="Pictures drawn with each new bank, for its scores and its preview.",
    )
    num_milestones: int = Field(
        default=6,
        ge=0,
        le=32,
        description=(
            "Number of intermediate banks to keep for the bank's page; 0 keeps none. Does not change the bank."
        ),
    )

    @property
    def title(self) -> str:
        """The flow run's name."""
        return write_title(self.gallery_uri, "banks of", self.collections, self.dry_run)


class WatchConfig(PlacesConfig):
    """Parameters of `watch_gallery`, which reports changed collections once their uploads have ended."""

    gallery_uri: GalleryUri
    store_uri: StoreUri
    collections: OnlyCollections = ()
    skip: SkipGlobs = ()
    quiet_seconds: float = Field(
        default=60.0,
        ge=0,
        description=("Report a change only after the collection has been unchanged for this many seconds."),
    )
    longest_seconds: float = Field(
        default=3600.0,
        ge=0,
        description="Report after this many seconds even if uploads continue.",
    )
    again: bool = Field(
        default=False,
        description="Also report changes that were already reported and still have no bank.",
    )
