"""Several runs over one gallery take turns: each collection is trained by one of them at a time, see `leases`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from artbank.catalog.bank_files import CheckpointFile
from artbank.config import TrainConfig
from artbank.errors import TrainingError
from artbank.gallery.plan import TrainJob
from artbank.store.leases import Contender, Lease
from artbank.store.objects import Store


def contender(config: TrainConfig, job: TrainJob) -> Contender:
    """Return what tries to get the lease of a job."""
    store = Store.open(config.store_uri)
    return Contender(store, checkpoint_file(store, job).name, config.lease_seconds)


def acquire(
    wanted: Sequence[tuple[TrainJob, Contender]], leases: list[Lease], most: int | None = None
) -> list[tuple[TrainJob, Lease]]:
    """Take the leases of jobs that nobody is at, `most` of them; each is put into `leases` as soon as it is held."""
    held: list[tuple[TrainJob, Lease]] = []
    for job, contender in wanted:
        if len(held) != most and (lease := contender.try_acquire()):
            leases.append(lease)
            held.append((job, lease))
    return held


@dataclass(frozen=True)
class LeasedCheckpointFile:
    """A checkpoint that nobody writes who has lost its training."""

    kept: CheckpointFile
    lease: Lease

    def load(self) -> bytes | None:
        """See `CheckpointFile.load`."""
        return self.kept.load()

    def save(self, data: bytes) -> None:
        """Replace the checkpoint.

        Raises:
            TrainingError: The training is somebody else's now.
        """
        if not self.lease.renew():
            raise TrainingError("another process has taken it over")
        self.kept.save(data)


def checkpoint_file(store: Store, job: TrainJob) -> CheckpointFile:
    """Return the place of a job's checkpoint."""
    return CheckpointFile(store, job.collection.name, job.bank_id)
