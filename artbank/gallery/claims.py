"""Claims on jobs: a lease on each collection, so that two runs over one gallery never train the same one at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from artbank.catalog.bank_files import CheckpointFile
from artbank.errors import TrainingError
from artbank.gallery.plan import TrainJob
from artbank.store.leases import Contender, Lease
from artbank.store.objects import Store


@dataclass(frozen=True)
class Claim:
    """A job that this run may work on until its lease is lost."""

    job: TrainJob
    lease: Lease


def contender(store: Store, job: TrainJob, lease_seconds: float) -> Contender:
    """Return an object that tries to acquire the lease of a job."""
    return Contender(store, checkpoint_file(store, job).name, lease_seconds)


def acquire(wanted: Sequence[tuple[TrainJob, Contender]], leases: list[Lease], most: int | None = None) -> list[Claim]:
    """Acquire the leases of jobs that no other run works on.

    Args:
        wanted: The jobs, each with its contender.
        leases: Gets each lease as soon as it is held.
        most: The most leases to acquire; None for no limit.
    """
    claims: list[Claim] = []
    for job, candidate in wanted:
        if len(claims) == most:
            break
        if lease := candidate.try_acquire():
            leases.append(lease)
            claims.append(Claim(job, lease))
    return claims


@dataclass(frozen=True)
class LeasedCheckpointFile:
    """A checkpoint file that refuses to save once the lease is lost."""

    file: CheckpointFile
    lease: Lease

    def load(self) -> bytes | None:
        """Return the newest checkpoint, or None if there is none."""
        return self.file.load()

    def save(self, data: bytes) -> None:
        """Replace the checkpoint.

        Raises:
            TrainingError: Another process has taken over the training.
        """
        if not self.lease.renew():
            raise TrainingError("another process has taken it over")
        self.file.save(data)


def checkpoint_file(store: Store, job: TrainJob) -> CheckpointFile:
    """Return the checkpoint file of a job."""
    return CheckpointFile(store, job.collection.name, job.bank_id)
