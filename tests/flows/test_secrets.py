"""No secret is told on: not in logs, artifacts, states or parameters, not in what a run writes, prints or raises."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow.parquet as pq
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, LogFilter, TaskRunFilter
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ParameterTypeError
from prefect.utilities.schema_tools.validation import ValidationError, validate
from s3fs import S3FileSystem

import artbank_prefect.flows.train_banks as train_banks_module
from artbank.config import StylizeConfig, TrainConfig
from artbank.store.objects import Store
from artbank_prefect.flows.stylize_archive import stylize_archive
from artbank_prefect.flows.train_banks import train_banks
from tests.support import rgw
from tests.support.flow_runs import id_of, log_of, run
from tests.support.small_inputs import add_collection, draw_photo, stylizing, training

TOKENS = {"HF_TOKEN": "hf_tokenThatNobodyTells", "HUGGING_FACE_HUB_TOKEN": "hf_otherThatNobodyTells"}
WRONG = "a-wrong+secret/that-nobody+tells"
FORBIDDEN = ("nobody+tells", "NobodyTells", "nobody%2Btells")


def check(place: str, text: str, expected: str) -> None:
    """Check that a text tells no secret, and that it is the one that was meant: it holds what is expected."""
    assert expected in text, f"{place} does not hold {expected}: {text[:500]}"
    assert not [secret for secret in FORBIDDEN if secret in text], f"a secret is in {place}"


@pytest.fixture
def bucket(s3_store: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket with a gallery and photos, and an environment full of secrets."""
    for name, value in TOKENS.items():
        monkeypatch.setenv(name, value)
    add_collection(Store.open(f"{s3_store}/gallery"), "novak")
    Store.open(f"{s3_store}/photos").write_many({"a.jpg": draw_photo(1), "torn.jpg": draw_photo(2)[:200]})
    yield s3_store
    S3FileSystem.clear_instance_cache()  # a client keeps the credentials that it was made with


def configs(bucket: str) -> tuple[TrainConfig, StylizeConfig]:
    gallery, photos, output, store = (f"{bucket}/{name}" for name in ("gallery", "photos", "output", "store"))
    return training(gallery, store), stylizing(photos, output, store, "novak")


def everything_of(run_id: UUID) -> dict[str, str]:
    """Return all that the server knows of a flow run, by kind."""
    own = {"flow_run_id": {"any_": [run_id]}}
    with get_client(sync_client=True) as client:
        lines = [client.read_logs(LogFilter.model_validate(own), offset=start, limit=200) for start in (0, 200)]
        tasks = client.read_task_runs(task_run_filter=TaskRunFilter.model_validate(own))
        artifacts = client.read_artifacts(artifact_filter=ArtifactFilter.model_validate(own))
        states = client.read_flow_run_states(run_id) + [s for t in tasks for s in client.read_task_run_states(t.id)]
        return {
            "flow run": client.read_flow_run(run_id).model_dump_json(),
            "log": "".join(line.model_dump_json() for part in lines for line in part),
            "task runs": "".join(task.model_dump_json() for task in tasks),
            "artifacts": "".join(artifact.model_dump_json() for artifact in artifacts),
            "states": "".join(state.model_dump_json() for state in states),
        }


def check_run(run_id: UUID, awaited: str, expected: dict[str, str]) -> None:
    log_of(run_id, awaited)
    for place, text in everything_of(run_id).items():
        check(place, text, expected.get(place, ""))


def objects(bucket: str) -> Iterator[tuple[str, str]]:
    """Yield name and content of every object, as text; tables as their rows and what their schema says."""
    store = Store.open(bucket)
    for stored in store.list():
        data = store.read(stored.key)
        yield stored.key, data.decode("latin-1")
        if stored.key.endswith(".parquet"):
            table = pq.read_table(io.BytesIO(data))
            yield stored.key, f"{table.to_pylist()} {table.schema.metadata} {pq.read_metadata(io.BytesIO(data))}"


def said_of(error: BaseException) -> str:
    """Return an error with all that it came from, and its values."""
    chain = "".join(traceback.format_exception(error))
    return chain + repr(error) + repr(error.args) + repr(error.__cause__) + repr(error.__context__)


def test_what_succeeds_tells_no_secret(bucket: str, capfd: pytest.CaptureFixture[str]) -> None:
    train, stylize = configs(bucket)
    trained, stylized = run(train_banks, train), run(stylize_archive, stylize)
    assert trained.is_completed() and stylized.is_completed()
    places = {"flow run": bucket, "states": "COMPLETED", "artifacts": "novak", "task runs": "COMPLETED"}
    check_run(id_of(trained), "registered novak@1", places | {"log": "registered novak@1"})
    check_run(id_of(stylized), "to stylize: 2", places | {"log": "photos: 2; to stylize: 2"})
    written = dict(objects(bucket))
    assert {key.split("/")[0] for key in written} == {"gallery", "photos", "store", "output"}
    for key, text in objects(bucket):
        check(key, text, "")
    check("the catalog", "".join(text for key, text in objects(bucket) if "catalog/banks" in key), f"{bucket}/store")
    check("output", "".join(capfd.readouterr()), "")


@pytest.mark.parametrize("token", [None, "sessionTokenThatNobodyTells"])
def test_wrong_credentials_are_not_told(
    bucket: str, token: str | None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", WRONG)
    if token:
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    for flow, config in zip((train_banks, stylize_archive), configs(bucket), strict=True):
        state = run(flow, config)
        assert state.is_failed()
        with pytest.raises(PermissionError) as caught:
            state.result()
        check("the error", said_of(caught.value), bucket)
        check_run(id_of(state), "PermissionError", {"log": "PermissionError", "states": "PermissionError"})
    check("output", "".join(capfd.readouterr()), "")


def test_an_endpoint_that_cannot_be_reached_tells_no_secret(
    bucket: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{rgw.free_port()}")
    impatient = train_banks_module.plan_training.with_options(retries=0)
    monkeypatch.setattr(train_banks_module, "plan_training", impatient)
    state = run(train_banks, configs(bucket)[0])
    assert state.is_failed()
    with pytest.raises(Exception, match="connect") as caught:
        state.result()
    check("the error", said_of(caught.value), "127.0.0.1")
    check_run(id_of(state), "connect", {"log": "connect", "states": "connect"})
    check("output", "".join(capfd.readouterr()), "")


def command(server: str, *words: str, **env: str) -> tuple[int, str, str]:
    """Run the command line in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "artbank_cli.main", *words],
        capture_output=True,
        text=True,
        env=os.environ | {"PREFECT_API_URL": server} | env,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.faults
def test_the_command_line_tells_no_secret(bucket: str, prefect_server: str, tmp_path: Path) -> None:
    for name, config in zip(("train", "stylize"), configs(bucket), strict=True):
        (tmp_path / f"{name}.json").write_text(config.model_dump_json())
    train, stylize = (["--parameters", str(tmp_path / f"{name}.json")] for name in ("train", "stylize"))
    code, out, err = command(prefect_server, "train", *train)
    assert code == 0
    check("train", out + err, "novak@1 trained")
    code, out, err = command(prefect_server, "stylize", *stylize, "--json")
    assert code == 0
    check("stylize --json", out + err, f"{bucket}/output")
    code, out, err = command(prefect_server, "banks", "--store", f"{bucket}/store", AWS_SECRET_ACCESS_KEY=WRONG)
    assert code == 1
    check("a failing command", out + err, "the store refuses the secret key")


SECRET_URI = "s3://AKIAKEY:key+nobody+tells/x@bucket/folder"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train", SECRET_URI, "--store", "s"], "GALLERY_URI s3://***@bucket/folder: a URI must not hold credentials"),
        (["train", "g", "--store", SECRET_URI], "--store s3://***@bucket/folder: a URI must not hold credentials"),
        (
            ["train", "g", "--store", "s", "--base-model", SECRET_URI],
            "--base-model s3://***@bucket/folder: a URI must not hold",
        ),
        (["train", "g", "--store", "s", "--runner", "tcp://me:nobody+tells@host:1"], "--runner tcp://***@host:1: "),
        (["stylize", "p", "o", "--store", "s", "--style", "x", "--max-megapixels", SECRET_URI], "--max-megapixels s3"),
        (["stylize", "p", f"https://h/x?Signature={WRONG}", "--store", "s", "--style", "x"], "Signature=***: a URI"),
        (["banks", "--store", SECRET_URI], "s3://***@bucket/folder holds credentials"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_the_command_line_refuses_credentials_without_telling_them(words: list[str], expected: str) -> None:
    code, out, err = command("", *words)
    assert (code, out) == (2, "") and err.count("\n") == 1
    check(" ".join(words), err, expected)


@pytest.mark.parametrize(
    ("flow", "values"),
    [
        (train_banks, {"gallery_uri": SECRET_URI, "store_uri": "s"}),
        (train_banks, {"gallery_uri": "g", "store_uri": "s", "runner": "tcp://me:nobody+tells@host:1"}),
        (stylize_archive, {"archive_uri": "a", "output_uri": "o", "store_uri": SECRET_URI, "styles": ["x"]}),
    ],
    ids=range(3),
)
def test_prefect_refuses_credentials_without_telling_them(
    flow: Callable[..., Any], values: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ParameterTypeError) as caught:
        flow(values)
    check("the error", said_of(caught.value), "config.")
    check("output", "".join(capfd.readouterr()), "")
    with get_client(sync_client=True) as client:
        [found, *_] = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)
    told = everything_of(found.id) | {"flow run": str(found.state)}  # its parameters are kept as they were given
    for place, text in told.items():
        check(place, text, "")


@pytest.mark.parametrize("field", ["gallery_uri", "store_uri", "base_model"])
def test_a_deployment_keeps_no_run_with_a_password(field: str) -> None:
    schema = train_banks.parameters.model_dump()
    values = {"config": {"gallery_uri": "g", "store_uri": "s", field: SECRET_URI}}
    with pytest.raises(ValidationError, match="does not match"):
        validate(values, schema, raise_on_error=True)
    validate({"config": {"gallery_uri": "g", "store_uri": "s", field: "s3://bucket/a@b"}}, schema, raise_on_error=True)
