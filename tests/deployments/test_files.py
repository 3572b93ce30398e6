"""The deployment files fit the schemas of the tools that read them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from prefect.utilities.templating import apply_values, find_placeholders

from artbank.errors import ConfigError
from artbank_cli.deployment.deploy import make_deployment
from artbank_cli.deployment.files import fill_variables, read_prefect_file, read_templates
from tests.support.compose import ROOT, image_env, read_compose, read_env

FOLDER = ROOT / "deployments/kubernetes"
MANIFESTS = sorted({*FOLDER.glob("base/*.yaml"), *FOLDER.glob("dask/*.yaml")} - {*FOLDER.glob("*/kustomization.yaml")})
HELM = sorted(FOLDER.glob("helm/*.yaml"))
BIN = Path(sys.executable).parent
SECRETS = {
    "POSTGRES_PASSWORD": "1a",
    "PREFECT_PASSWORD": "2b",
    "AWS_ACCESS_KEY_ID": "3c",
    "AWS_SECRET_ACCESS_KEY": "4d",
}
KUBERNETES = "1.32"


def templates(kind: str) -> dict[str, dict[str, Any]]:
    return read_templates(kind, fill_variables({"ARTBANK_IMAGE": "registry.example/artbank:1"}, kind))


def fill_template(template: dict[str, Any], **given: Any) -> dict[str, Any]:
    """Return the job configuration that a worker makes of a template's defaults and of what it is given."""
    properties = template["variables"]["properties"]
    defaults = {name: one["default"] for name, one in properties.items() if "default" in one}
    return apply_values(template["job_configuration"], defaults | given)


def job(pool: str) -> dict[str, Any]:
    """Return the job that a flow run of a Kubernetes pool becomes."""
    env = [{"name": "PREFECT_API_URL", "value": "http://prefect-server:4200/api"}]
    return fill_template(
        templates("kubernetes")[pool], name="wise-owl", labels={"a": "b"}, command=["prefect"], env=env
    )["job_manifest"]


def services() -> dict[str, dict[str, Any]]:
    return read_compose(ROOT / "compose.yaml", SECRETS)["services"]


def validate_manifest(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


@pytest.mark.parametrize("kind", ["docker", "kubernetes"])
@pytest.mark.parametrize("pool", ["artbank", "gpu"])
def test_a_template_has_a_variable_for_every_place_and_defaults_of_their_types(kind: str, pool: str) -> None:
    template = templates(kind)[pool]
    variables = template["variables"]
    places = {place.name for place in find_placeholders(template["job_configuration"])}
    # Prefect's workers fill in the environment themselves, in Docker's case into what the template has there.
    assert places | {"env"} == variables["properties"].keys()
    jsonschema.Draft202012Validator.check_schema(variables)
    defaults = {name: one["default"] for name, one in variables["properties"].items() if "default" in one}
    jsonschema.validate(defaults, variables | {"additionalProperties": False})
    [shared] = (entry["variables"] for entry in [yaml.safe_load(deployment_file())["definitions"]])
    jsonschema.validate(shared, variables | {"additionalProperties": False})


def deployment_file() -> str:
    return (ROOT / "deployments/prefect.yaml").read_text()


def test_a_pod_of_the_gpu_pool_has_one_gpu_and_one_of_the_other_pool_has_none() -> None:
    limits = {
        pool: job(pool)["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
        for pool in ("artbank", "gpu")
    }
    assert limits["gpu"]["nvidia.com/gpu"] == 1
    assert "nvidia.com/gpu" not in limits["artbank"]


@pytest.mark.parametrize("pool", ["artbank", "gpu"])
def test_a_job_is_one_that_kubernetes_takes_and_its_pod_meets_the_restricted_standard(pool: str) -> None:
    manifest = job(pool)
    validate_manifest(manifest)
    assert_restricted(manifest["spec"]["template"]["spec"])
    labels = manifest["spec"]["template"]["metadata"]["labels"]
    # Prefect's worker replaces those of app.kubernetes.io, so that no network policy may stand on them.
    assert labels == {"artbank/component": "flow-run"}


def assert_restricted(pod: dict[str, Any]) -> None:
    """Hold a pod against Kubernetes' restricted standard, and to what artbank's image allows beyond it."""
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert {"/tmp", "/cache"} <= {mount["mountPath"] for mount in container["volumeMounts"]}


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_manifest_is_one_that_kubernetes_takes(path: Path) -> None:
    for manifest in yaml.safe_load_all(path.read_text()):
        validate_manifest(manifest)
        if manifest["kind"] == "Deployment":
            assert_restricted(manifest["spec"]["template"]["spec"])


def test_kustomize_gives_each_dask_worker_one_gpu() -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl")
    done = subprocess.run(
        ["kubectl", "kustomize", ROOT / "deployments/kubernetes/dask-gpu"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    manifests = list(yaml.safe_load_all(done.stdout))
    for manifest in manifests:
        validate_manifest(manifest)
    [worker] = [one for one in manifests if one["metadata"]["name"] == "dask-worker"]
    [container] = worker["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1 and container["image"] == "artbank:cuda"


def test_whatever_a_manifest_or_a_job_takes_from_the_cluster_is_there() -> None:
    files = [*MANIFESTS, FOLDER / "secrets.example.yaml"]
    found = [one for path in files for one in yaml.safe_load_all(path.read_text())]
    there = {(one["kind"], one["metadata"]["name"]) for one in found}
    text = repr([job("gpu"), job("artbank"), *(path.read_text() for path in (*MANIFESTS, *HELM))])
    wanted = {("Secret", name) for name in re.findall(r"(?:secretRef'?: {'?name'?: '?|existingSecret: )([\w-]+)", text)}
    wanted |= {("ServiceAccount", name) for name in re.findall(r"serviceAccountName'?: '?([\w-]+)", text)}
    wanted |= {("PersistentVolumeClaim", name) for name in re.findall(r"claimName'?: '?([\w-]+)", text)}
    assert len(wanted) >= 5 and wanted <= there


def test_deployments_name_the_prefect_that_is_locked() -> None:
    [locked] = re.findall(r"^prefect==(\S+)$", (ROOT / "requirements-runtime.txt").read_text(), re.MULTILINE)
    named = [yaml.safe_load((ROOT / "deployments/prefect.yaml").read_text())["prefect-version"]]
    for path in HELM:
        named += re.findall(r"prefectTag: ([\d.]+)-", path.read_text())
    assert named == [locked] * (1 + len(HELM))


def test_compose_files_follow_the_specification() -> None:
    files = [str(ROOT / name) for name in ("compose.yaml", "compose.gpu.yaml")]
    done = subprocess.run(
        [BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", *files], capture_output=True
    )
    assert done.returncode == 0, done.stdout.decode()


def test_dockerfiles_are_without_fault() -> None:
    files = [str(ROOT / name) for name in ("Dockerfile", "deployments/store/Dockerfile")]
    done = subprocess.run([BIN / "hadolint", *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_nothing_listens_beyond_the_machine_and_dask_on_no_port_of_it() -> None:
    published = [port for service in services().values() for port in service.get("ports", [])]
    assert published and all(port.startswith("127.0.0.1:") for port in published)
    assert not any("ports" in services()[name] for name in ("dask-scheduler", "dask-worker", "postgres", "worker"))


def test_every_service_comes_back_and_says_whether_it_is_well() -> None:
    for name, service in services().items():
        assert service["restart"] == ("on-failure" if name == "init" else "unless-stopped")
        assert name == "init" or service["healthcheck"]["test"][0] == "CMD"


def test_compose_refuses_to_start_without_secrets() -> None:
    example = read_env(ROOT / ".env.example")
    assert {name for name, value in example.items() if not value} == SECRETS.keys()
    with pytest.raises(ValueError, match="run make env first"):
        read_compose(ROOT / "compose.yaml", example)


def test_make_env_draws_secrets_that_only_the_owner_reads_and_never_again(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    command = [sys.executable, ROOT / "deployments/new_env.py", ROOT / ".env.example", path]
    subprocess.run(command, check=True)
    drawn = [read_env(path)[name] for name in SECRETS]
    assert len(set(drawn)) == len(SECRETS) and all(len(secret) == 48 for secret in drawn)
    assert path.stat().st_mode & 0o077 == 0
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 1 and "keeps its secrets" in again.stderr
    assert [read_env(path)[name] for name in SECRETS] == drawn


def test_the_image_gets_what_it_copies_and_no_more() -> None:
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {word for name in ("Dockerfile", "deployments/store/Dockerfile")
              for line in re.findall(r"(?m)^COPY (?!--from)(.*)$", (ROOT / name).read_text())
              for word in line.split()[:-1] if not word.startswith("--")}  # fmt: skip
    assert {path.split("/")[0] for path in copied} == let_through
    assert all((ROOT / path).exists() for path in copied)


def test_the_runtime_lock_is_the_lock_without_what_only_tests_need() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    runtime, whole = (
        {line for line in (ROOT / name).read_text().splitlines() if not line.startswith("tzdata")}
        for name in ("requirements-runtime.txt", "requirements.txt")
    )
    assert runtime < whole
    locked = {re.split(r"[=\[ ]", line)[0] for line in runtime}
    needed, dev = (
        {re.split(r"[>=<\[]", line)[0] for line in lines}
        for lines in (project["project"]["dependencies"], project["dependency-groups"]["dev"])
    )
    assert needed - locked == {"torch"}  # its build is chosen by an argument
    assert not dev & locked


def test_the_image_writes_to_its_cache_and_to_tmp_only() -> None:
    for name, value in image_env().items():
        if value.startswith("/") and name not in ("PATH", "ARTBANK_HOME"):
            assert value.startswith(("/cache", "/tmp")), name


@pytest.mark.parametrize(
    "name", ["requirements-runtime.txt", "Dockerfile", "deployments/store/Dockerfile", "compose.yaml"]
)
def test_no_file_names_a_package_index(name: str) -> None:
    assert not re.search(r"(?i)index-url|pypi\.|download\.pytorch", (ROOT / name).read_text())


@pytest.mark.parametrize(
    ("given", "kind", "expected"),
    [
        ({}, "process", (str(ROOT), "gpu", "auto", "deployment:stylize-shards/gpu")),
        ({}, "kubernetes", ("/opt/artbank", "gpu", "auto", "deployment:stylize-shards/gpu")),
        ({"ARTBANK_DASK": "tcp://a:1"}, "process", (str(ROOT), "artbank", "tcp://a:1", "tcp://a:1")),
        ({"ARTBANK_STYLIZE_RUNNER": "auto", "ARTBANK_DASK": ""}, "process", (str(ROOT), "gpu", "auto", "auto")),
    ],
)
def test_what_is_not_set_follows_from_where_the_work_is_done(
    given: dict[str, str], kind: str, expected: tuple[str, ...]
) -> None:
    filled = fill_variables(given, kind)
    names = ("ARTBANK_HOME", "ARTBANK_TRAIN_POOL", "ARTBANK_TRAIN_RUNNER", "ARTBANK_STYLIZE_RUNNER")
    assert tuple(filled[name] for name in names) == expected


def test_the_environment_names_several_styles_and_switches_the_schedule_on() -> None:
    def stylizing(**given: str) -> dict[str, Any]:
        variables = {"ARTBANK_STYLE": "monet, monet:0.7+hokusai:0.3", **given}
        [entry] = [one for one in read_prefect_file(variables, ["stylizing"])["deployments"] if one["name"] != "gpu"]
        return entry

    assert stylizing()["parameters"]["config"]["styles"] == ["monet", "monet:0.7+hokusai:0.3"]
    assert stylizing()["schedules"][0]["active"] is False
    nightly = stylizing(ARTBANK_STYLIZE_CRON="30 4 * * *")["schedules"][0]
    assert (nightly["cron"], nightly["active"], nightly["slug"]) == ("30 4 * * *", True, "nightly")


def test_training_alone_needs_no_photos_and_deploys_no_stylizing() -> None:
    places = {"ARTBANK_GALLERY": "gallery", "ARTBANK_STORE": "store"}
    make_deployment("process", places, ["training"], None, None).check()
    content = read_prefect_file(places, ["training"])
    assert [entry["name"] for entry in content["deployments"]] == ["train-banks", "watch-gallery"]
    with pytest.raises(ConfigError, match="found no ARTBANK_PHOTOS.*or add --only training"):
        make_deployment("process", places, [], None, None).check()
    with pytest.raises(ConfigError, match="found no ARTBANK_GALLERY") as caught:
        make_deployment("process", {}, ["training"], None, None).check()
    assert "--only" not in str(caught.value)
