"""Put work pools, automations and deployments on a Prefect server; running it again updates them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL

from artbank.credentials import redact
from artbank.errors import ConfigError, ServerError
from artbank_cli.deployment.automations import put_automations
from artbank_cli.deployment.buckets import create_buckets
from artbank_cli.deployment.checks import check_notify, check_parameters
from artbank_cli.deployment.files import (
    DEPLOYMENTS,
    NEEDED,
    PLACES,
    fill_variables,
    read_prefect_file,
    read_templates,
)
from artbank_cli.deployment.work_pools import limit_pool, put_pool
from artbank_cli.server import find_fault

_ANSWER_SECONDS = 10.0


@dataclass(frozen=True)
class Deployment:
    """All that one call of `artbank deploy` puts on a server.

    Attributes:
        pools: Kind of the work pools: process, docker or kubernetes.
        variables: Variables of the environment that the files refer to, such as ARTBANK_STORE.
        parts: `training`, `stylizing`, or both.
        gpus: Concurrent flow runs of the pool `gpu`; None leaves the limit as it is, or sets 1.
        notify: Address of the webhook for alarms.
    """

    pools: str
    variables: Mapping[str, str]
    parts: Sequence[str]
    gpus: int | None
    notify: str | None

    def check(self) -> None:
        """Check the places, and all that flows would refuse.

        Raises:
            ConfigError: A place is missing or a value is wrong; names it.
        """
        needed = dict.fromkeys(name for part in self.parts for name in NEEDED[part])
        missing = [name for name in needed if not self.variables.get(name)]
        if missing:
            alone = "" if set(missing) & set(NEEDED["training"]) else ", or add --only training"
            raise ConfigError(
                f"expected {', '.join(needed)} in the environment, as options or in artbank.toml, found no "
                f"{', '.join(missing)}; set them{alone}"
            )
        check_parameters(self.variables, self.parts)
        check_notify(self.notify)

    def put(self, *, with_buckets: bool = False) -> int:
        """Put everything on the server at PREFECT_API_URL; returns the exit code of Prefect's own command.

        Args:
            with_buckets: Create missing buckets of the places first.

        Raises:
            ConfigError: As `check` does.
            ServerError: There is no server, or it does not answer.
        """
        self.check()
        require_server()
        if with_buckets:
            create_buckets(self.variables[name] for name in PLACES[:-1] if self.variables.get(name))
        with get_client(sync_client=True) as client:
            for name, template in read_templates(self.pools, self.variables).items():
                put_pool(client, name, self.pools, template)
            limit_pool(client, "gpu", self.gpus)
            put_automations(client, self.notify)
        sys.stdout.flush()  # before the lines of Prefect's command
        return self._deploy_flows()

    def _deploy_flows(self) -> int:
        """Run Prefect's own command; `-P` keeps modules of the current folder from being imported."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "prefect.yaml"
            path.write_text(yaml.safe_dump(read_prefect_file(self.variables, self.parts), sort_keys=False))
            words = ["--no-prompt", "deploy", "--all", "--prefect-file", str(path)]
            command = [sys.executable, "-P", "-m", "prefect", *words]
            return subprocess.run(command, env={**os.environ, **self.variables}).returncode


def make_deployment(
    pools: str, given: Mapping[str, str], parts: Sequence[str], gpus: int | None, notify: str | None
) -> Deployment:
    """Return a deployment with all variables filled in.

    Args:
        pools: Kind of the work pools.
        given: Variables of the environment.
        parts: `training`, `stylizing`, or both; empty for both.
        gpus: Limit of the pool `gpu`.
        notify: Address of the webhook.
    """
    variables = fill_variables(given, pools)
    chosen = list(dict.fromkeys(parts)) or list(DEPLOYMENTS)
    return Deployment(pools, variables, chosen, gpus, notify)


def require_server() -> None:
    """Check that a permanent server answers.

    Raises:
        ServerError: None is configured, or it does not answer.
    """
    url = PREFECT_API_URL.value()
    if not url:
        raise ServerError(
            "expected the address of a Prefect server in PREFECT_API_URL, found none; start one (prefect server start) "
            "and export PREFECT_API_URL=http://127.0.0.1:4200/api"
        )
    if fault := find_fault(url, _ANSWER_SECONDS):
        raise ServerError(
            f"the Prefect server at PREFECT_API_URL={redact(url)} {fault}; start it, or correct the address"
        )
