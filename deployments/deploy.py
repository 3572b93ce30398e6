"""Create work pools with limits, automations and deployments on the Prefect server at PREFECT_API_URL.

    python deployments/deploy.py --pools process|docker|kubernetes [--gpus N] [--create-buckets] [--notify URL]

Run it again after any change; it updates the server to match the files. `make deploy` runs it too. It reads
ARTBANK_GALLERY, ARTBANK_STORE, ARTBANK_PHOTOS, ARTBANK_OUTPUT and ARTBANK_STYLE. ARTBANK_DASK may hold the address of a
Dask scheduler whose workers do the work, ARTBANK_NOTIFY the secret URL of --notify.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from prefect.blocks.fields import SecretDict
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound

from artbank_cli.alarm_hearers import find_notifier

HERE = Path(__file__).parent
KINDS = ("process", "docker", "kubernetes")
PLACES = ("ARTBANK_GALLERY", "ARTBANK_STORE", "ARTBANK_PHOTOS", "ARTBANK_OUTPUT", "ARTBANK_STYLE")
BLOCK = "artbank-alarms"
"""The notification block that `--notify` writes."""
_BODY = """{{ event.resource['prefect.resource.name'] }}
{{ event.payload.text or event.resource['prefect.state-message'] or event.event }}
{{ event.resource['prefect.resource.id'] }}"""
_POOLS = ("artbank", "gpu")
_VARIABLE = re.compile(r"\{\{ \$(\w+) \}\}")  # as in Prefect's own file


def main(words: list[str] | None = None) -> None:
    """Deploy everything that the command line asks for."""
    options = read_options(words)
    variables = fill_variables(os.environ, options.pools)
    if missing := [name for name in PLACES if not variables.get(name)]:
        sys.exit(f"expected {', '.join(PLACES)} in the environment, found no {', '.join(missing)}; set them")
    if options.create_buckets:
        create_buckets(variables)
    with get_client(sync_client=True) as client:
        for name, template in read_templates(options.pools, variables).items():
            put_pool(client, name, options.pools, template)
        limit_pool(client, "gpu", options.gpus)
        put_automations(client, options.notify or variables.get("ARTBANK_NOTIFY"))
    deploy = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file"]
    sys.exit(subprocess.run([*deploy, str(HERE / "prefect.yaml")], cwd=HERE.parent, env=variables).returncode)


def read_options(words: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pools", choices=KINDS, default="process", help="kind of the work pools; process by default")
    parser.add_argument(
        "--gpus", type=int, help="concurrent flow runs of the pool `gpu`; by default unchanged, 1 for a new pool"
    )
    parser.add_argument(
        "--notify", metavar="URL", help="send every alarm to this webhook, as a POST of {text: ...}; kept in a block"
    )
    parser.add_argument("--create-buckets", action="store_true", help="create the buckets of the s3:// places")
    return parser.parse_args(words)


def fill_variables(given: Mapping[str, str], kind: str) -> dict[str, str]:
    """Return the environment, with defaults for variables that the files need.

    Training uses a device in its own process, so it runs on the pool `gpu`; stylizing starts ranges of shards there.
    With a Dask cluster both only plan and wait.
    """
    dask = given.get("ARTBANK_DASK")
    defaults = {
        "ARTBANK_HOME": str(HERE.resolve().parent) if kind == "process" else "/opt/artbank",
        "ARTBANK_IMAGE": "artbank:cpu",
        "ARTBANK_TRAIN_POOL": "artbank" if dask else "gpu",
        "ARTBANK_TRAIN_RUNNER": dask or "auto",
        "ARTBANK_STYLIZE_RUNNER": dask or "deployment:stylize-shards/gpu",
    }
    return defaults | {name: value for name, value in given.items() if value or name not in defaults}


def read_templates(kind: str, variables: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return the base job template of each pool; an empty one means Prefect's default for that kind."""
    path = HERE / "pools" / f"{kind}.yaml"
    if not path.exists():
        return {name: {} for name in _POOLS}
    return yaml.safe_load(_VARIABLE.sub(lambda found: variables[found[1]], path.read_text()))


def put_pool(client: SyncPrefectClient, name: str, kind: str, template: dict[str, Any]) -> None:
    """Create a work pool or update its template; a pool of another kind stays unchanged."""
    try:
        found = client.read_work_pool(name)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=name, type=kind, base_job_template=template))
        print(f"work pool {name}: created, of kind {kind}")
        return
    if found.type != kind:
        print(f"work pool {name}: is of kind {found.type} and left as it is; delete it to have one of kind {kind}")
    elif template and found.base_job_template != template:
        client.update_work_pool(name, WorkPoolUpdate(base_job_template=template))
        print(f"work pool {name}: has a new base job template")
    else:
        print(f"work pool {name}: up to date")


def limit_pool(client: SyncPrefectClient, name: str, limit: int | None) -> None:
    """Limit the concurrent flow runs of a pool; without a number keep the old limit, or set 1."""
    limit = limit or client.read_work_pool(name).concurrency_limit or 1
    client.update_work_pool(name, WorkPoolUpdate(concurrency_limit=limit))
    print(f"work pool {name}: {limit} at once")


def save_notification(url: str) -> dict[str, Any]:
    """Write the notification block of a webhook; returns the action that sends an alarm to it.

    The address is secret, so the block holds it among its secrets.
    """
    block = CustomWebhookNotificationBlock(
        name=BLOCK,
        url="{{webhook}}",
        json_data={"text": "{{subject}}\n{{body}}"},
        secrets=SecretDict({"webhook": url}),
    )
    block_id = str(block.save(BLOCK, overwrite=True))
    print(f"block {BLOCK}: holds the address for alarms")
    return {
        "type": "send-notification",
        "block_document_id": block_id,
        "subject": "{{ automation.name }}",
        "body": _BODY,
    }


def put_automations(client: SyncPrefectClient, url: str | None) -> None:
    """Create the automations of the files, and warn if alarms notify no one.

    Args:
        url: The webhook that alarms are sent to; None leaves existing automations as they are.
    """
    action = save_notification(url) if url else None
    notifier = find_notifier(client.read_automations())
    for path in sorted((HERE / "automations").glob("*.yaml")):
        put_automation(client, yaml.safe_load(path.read_text()), action, is_told=notifier is not None)
    if action is None and notifier is None:
        print("warning: no one is notified of failed runs and other alarms; deploy with --notify URL, make: NOTIFY=URL")


def put_automation(
    client: SyncPrefectClient, told: dict[str, Any], action: dict[str, Any] | None, *, is_told: bool
) -> None:
    """Create an automation, unless one of that name exists. An alarm is created only if it notifies someone.

    Args:
        client: Of the server.
        told: The automation; an alarm has an action that does nothing, which `action` replaces.
        action: The action that tells people; None for none.
        is_told: Whether another automation tells people.
    """
    name, is_alarm = told["name"], all(one["type"] == "do-nothing" for one in told["actions"])
    if is_alarm and action is not None:
        told = told | {"actions": [action]}
    found = client.read_automations_by_name(name)
    if found and is_alarm and action is not None and all(one.type == "do-nothing" for one in found[0].actions):
        client.update_automation(found[0].id, AutomationCore.model_validate(told))
        print(f"automation {name}: tells people now")
    elif found:
        print(f"automation {name}: is there")
    elif is_alarm and action is None and not is_told:
        print(f"automation {name}: left out, because it would notify no one")
    else:
        client.create_automation(AutomationCore.model_validate(told))
        print(f"automation {name}: created")


def create_buckets(variables: Mapping[str, str]) -> None:
    """Create the missing buckets of the s3:// addresses."""
    from s3fs import S3FileSystem

    fs = S3FileSystem()
    places = (variables[name] for name in PLACES if variables[name].startswith("s3://"))
    for bucket in sorted({place.removeprefix("s3://").partition("/")[0] for place in places}):
        if fs.exists(bucket):
            print(f"bucket {bucket}: is there")
        else:
            fs.call_s3("create_bucket", Bucket=bucket)  # mkdir would name a region, which some gateways refuse
            print(f"bucket {bucket}: created")


if __name__ == "__main__":
    main()
