from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from PIL import Image
from pydantic import BaseModel

from artbank.config import StylizeConfig, TrainConfig
from artbank.store.objects import Store
from artbank_cli.main import app
from tests.support.commands import FAST, TINY, call, complaint
from tests.support.small_inputs import TRAIN, add_collection, draw_photo

MODELS: dict[str, type[BaseModel]] = {"train": TrainConfig, "stylize": StylizeConfig}


def fields(model: type[BaseModel]) -> dict[str, str]:
    """Return the descriptions of a model's fields by name, those of its recipe too."""
    found: dict[str, str] = {}
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            assert not found.keys() & fields(inner).keys()
            found |= fields(inner)
        else:
            assert name not in found
            found[name] = field.description or ""
    return found


@pytest.mark.parametrize("command", MODELS)
def test_every_option_is_a_field_and_every_field_an_option(command: str) -> None:
    group: Any = typer.main.get_command(app)
    parameters = {parameter.name for parameter in group.commands[command].params} - {"help", "help_all"}
    assert parameters == fields(MODELS[command]).keys() | {"parameters", "as_json", "is_local"}


def test_training_again_finds_nothing_to_do(world: Path) -> None:
    words = ("train", world / "gallery", "--store", world / "store", "--collection", "novak", *TINY)
    store = world / "store"
    next_line = f"next: artbank stylize PHOTOS OUTPUT --store {store} --style novak"
    assert call(*words).out.splitlines() == ["novak is up to date", f"page: {store}/index.html", next_line]
    facts = {"trained": {}, "current": ["novak"], "device_seconds": {}, "display_names": {"novak": "novak"}}
    facts |= {"num_skipped": 0, "skipped": [], "failed": {}}
    facts["places"] = {"page": f"{store}/index.html"}
    told = json.loads(call(*words, "--json").out)
    assert told.pop("wall_seconds") > 0
    assert told == facts


def test_a_dry_run_of_a_training_is_told_to_people_and_to_scripts(world: Path) -> None:
    words = ("train", world / "gallery", "--store", world / "store", *TINY, "--force", "--dry-run")
    lines = call(*words).out.splitlines()
    few = "left-out: 1 artwork, too few to train on: at least 3 are needed, 10 or more are better; add some"
    assert lines[:2] == [few, "novak: 4 artworks, to train"]
    assert re.fullmatch(r"3 steps\. About .* s of CPU time on one worker: .* a step, by 1 .*", lines[2])
    facts = json.loads(call(*words, "--json").out)
    assert facts["num_steps"] == [3, 3, 3] and facts["pace"]["seconds"] * 3 == pytest.approx(facts["seconds"][1])


def test_a_collection_of_any_name_is_known_by_its_name_and_by_its_id(world: Path, tmp_path: Path) -> None:
    add_collection(Store.open(str(tmp_path / "gallery")), "Van Gogh")
    place = ("--store", tmp_path / "my store")
    words = ("train", tmp_path / "gallery", *place, *TINY)
    assert call(*words, "--dry-run").out.startswith("Van-Gogh-10152184 (Van Gogh): 4 artworks, to train\n")
    lines = call(*words, "--collection", "Van Gogh").out.splitlines()
    assert lines[0].startswith("Van-Gogh-10152184@1 (Van Gogh) trained in ")
    assert re.fullmatch(r"[\d.]+ s in all, with loading, samples and pages", lines[1])
    assert lines[2] == f"page: {tmp_path}/my store/index.html" and Path(lines[2].removeprefix("page: ")).is_file()
    for name in ("Van Gogh", "Van-Gogh-10152184"):
        again = call(*words, "--collection", name).out
        assert again.splitlines() == ["Van-Gogh-10152184 (Van Gogh) is up to date", *lines[2:]]
    assert re.search(r"^Van-Gogh-10152184@1 +default .*  Van Gogh$", call("banks", *place).out, re.MULTILINE)
    [row] = json.loads(call("banks", *place, "--json").out)
    assert (row["collection"], row["display_name"]) == ("Van-Gogh-10152184", "Van Gogh")
    assert "# Van Gogh, version 1" in call("banks", "show", "Van Gogh@1", *place).out
    assert "token:      <van gogh>\n" in call("export", "Van Gogh", tmp_path / "bank.safetensors", *place).out
    pasted = shlex.split(lines[3].removeprefix("next: artbank "))
    given = {"PHOTOS": str(world / "photos"), "OUTPUT": str(tmp_path / "out")}
    stylize = [*(given.get(word, word) for word in pasted), *FAST, "--json"]
    by_name = [row["display_name"] if word == row["collection"] else word for word in stylize]
    told = [json.loads(call(*words).out) for words in (by_name, stylize)]
    assert [outcome["num_new"] for outcome in told] == [2, 0]
    assert (tmp_path / "out/Van-Gogh-10152184/a.jpg").is_file()
    assert "Van Gogh, version 1" in Path(told[0]["places"]["page"]).read_text()


def test_a_collection_that_fails_is_named_and_ends_in_1(world: Path, tmp_path: Path) -> None:
    ended = call("train", world / "gallery", "--store", tmp_path, "--collection", "left-out", *TINY)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.splitlines()[-1].startswith("artbank: 1 of 1 collections failed: left-out (CollectionError: 1 art")


def test_photos_become_pictures_and_the_places_are_told(world: Path, tmp_path: Path) -> None:
    words = ("stylize", world / "photos", tmp_path / "out", "--store", world / "store", "--style", "novak", *FAST)
    ended = call(*words, "--seed", "7")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[:2] == ["2 pictures done, 0 failed, 0 files skipped", "this run worked on 2 photos"]
    assert re.fullmatch(r"[\d.]+ s of device time, [\d.]+ s per photo; .* in all", lines[2])
    assert f"pictures: {tmp_path / 'out'}" in ended.out
    with Image.open(tmp_path / "out/novak/roll 1/b.png") as picture:
        assert min(picture.size) == 32
    told = json.loads(call(*words, "--seed", "7", "--json").out)
    assert (told["num_done"], told["num_failed"], told["num_new"]) == (2, 0, 0)


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_run_that_made_nothing_of_any_photo_ends_in_1(world: Path, tmp_path: Path, form: list[str]) -> None:
    Store.open(str(tmp_path / "photos")).write_many({"a.jpg": b"no image", "b.png": b""})
    words = ("stylize", tmp_path / "photos", tmp_path / "out", "--store", world / "store", "--style", "novak", *FAST)
    ended = call(*words, *form)
    assert ended.code == 1 and ended.out
    line = ended.err.splitlines()[-1]
    assert line.startswith("artbank: expected pictures, found none: all 2 failed; ") and "--retry-failed" in line


def test_a_run_with_one_picture_ends_in_0(world: Path, tmp_path: Path) -> None:
    Store.open(str(tmp_path / "photos")).write_many({"a.jpg": b"no image", "b.jpg": draw_photo(1)})
    words = ("stylize", tmp_path / "photos", tmp_path / "out", "--store", world / "store", "--style", "novak", *FAST)
    ended, told = call(*words), json.loads(call(*words, "--json").out)
    assert ended.code == 0 and ended.out.startswith("1 picture done, 1 failed, 0 files skipped\n")
    assert told["failures"] == [{"kind": "unsupported", "count": 1, "names": ["a.jpg"]}]
    assert "\nfailed, unsupported: 1 picture, a.jpg (The image has a format or a depth that artbank" in ended.out


def test_names_that_steer_a_terminal_are_shown_as_escapes(world: Path, tmp_path: Path) -> None:
    names = ["eva\u202egpj.exe.jpg", "zero\u200bwidth\x9b2J.jpg"]
    Store.open(str(tmp_path / "photos")).write_many({name: draw_photo(1) for name in names})
    words = ("stylize", tmp_path / "photos", tmp_path / "out", "--store", world / "store", "--style", "novak", *FAST)
    shown = call(*words, "--dry-run")
    assert shown.code == 0 and not set("\u202e\u200b\x9b") & set(shown.out + shown.err)
    assert shown.out.splitlines()[-1].endswith(r"eva\u202egpj.exe.jpg to zero\u200bwidth\x9b2J.jpg")
    assert json.loads(call(*words, "--dry-run", "--json").out)["first_shards"][0][1:] == names


def test_what_is_no_photo_is_skipped_and_told_everywhere(world: Path, tmp_path: Path) -> None:
    photos = Store.open(str(tmp_path / "photos"))
    no_photos = ("2019/@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg", "a.AAE", "a.MOV", "a.xmp", "Thumbs.db", "desktop.ini")
    photos.write_many({"a.jpg": draw_photo(1), **dict.fromkeys(no_photos, b"1")})
    (tmp_path / "photos/tab\t.jpg").write_bytes(b"1")
    words = ["stylize", photos.uri, tmp_path / "out", "--store", world / "store", "--style", "novak", *FAST]
    lines = call(*words, "--least-photos", "1").out.splitlines()
    assert lines[0] == "1 picture done, 0 failed, 7 files skipped" and "failed" not in "".join(lines[1:])
    assert r"skipped, name: 1 file, tab\t.jpg" in lines
    assert "skipped, no_photo: 6 files, 2019/@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg, Thumbs.db, a.AAE, ..." in lines
    [summary] = (tmp_path / "out/runs").glob("*/summary.json")
    told = json.loads(summary.read_text())
    assert told["counts"] == {"done": 1, "failed": 0, "skipped": 7}
    assert {kind["kind"]: kind["names"] for kind in told["skipped"]} == {
        "name": [r"tab\t.jpg"],
        "no_photo": sorted(no_photos),
    }
    assert "SYNOPHOTO" in summary.with_name("summary.md").read_text()
    page = tmp_path / "out/report/index.html"
    assert "SYNOPHOTO" in page.read_text() and "<strong>7</strong><span>files skipped" in page.read_text()
    photos.write("b.mp4", b"1")
    told = json.loads(call(*words, "--json", "--skip", "!desktop.ini", "--dry-run").out)
    assert (told["num_photos"], told["num_tasks"], told["num_skipped"]) == (2, 1, 7)
    told = json.loads(call(*words, "--json").out)  # a run that has nothing to do tells of it too
    assert (told["num_done"], told["num_failed"], told["num_new"], told["num_skipped"]) == (1, 0, 0, 8)
    assert told["skipped"][1] == {"kind": "no_photo", "count": 7, "names": sorted((*no_photos, "b.mp4"))}
    assert "b.mp4" in page.read_text()


def test_a_training_tells_what_it_skips(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "gallery", tmp_path / "gallery")
    Store.open(str(tmp_path / "gallery")).write_many({"novak/@eaDir/0.png/thumb.png": b"1", "novak/0.mov": b"1"})
    words = ("train", tmp_path / "gallery", "--store", world / "store", "--collection", "novak", *TINY)
    assert call(*words).out.splitlines()[:2] == [
        "novak is up to date",
        "skipped, no_photo: 2 files, novak/0.mov, novak/@eaDir/0.png/thumb.png",
    ]
    assert json.loads(call(*words, "--dry-run", "--json").out)["num_skipped"] == 2


def test_a_dry_run_is_told_to_people_and_to_scripts(world: Path, tmp_path: Path) -> None:
    words = ["stylize", world / "photos", tmp_path / "out", "--store", world / "store", "--style", "novak", "--dry-run"]
    ended = call(*words, *FAST, "--include", "roll 1/*")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert re.fullmatch(
        r"about .* s of CPU time on one worker, at .* a picture, by the samples of 1 bank on .*", lines.pop(3)
    )
    assert lines == [
        "photos: 2, to stylize: 1, skipped: 0",
        "pictures to draw: 1, in 1 shard",
        "UNet evaluations: 3",
        "shard 1: 1 photo, roll 1/b.png to roll 1/b.png",
    ]
    reusing = call(*words, *FAST, "--reuse", "2").out.splitlines()
    assert "UNet evaluations: 6, of which 2 reuse features" in reusing
    file = tmp_path / "parameters.yaml"
    file.write_text(yaml.safe_dump({"config": {"recipe": {"reach_style": 0.5}}}))
    again = "UNet evaluations for pictures that are drawn again: up to 20"
    for goal in (["--reach-style", "0.5"], ["--parameters", file]):
        assert again in call(*words, *FAST, *goal).out.splitlines()
    facts = json.loads(call(*words, *FAST, "--json").out)
    assert (facts["num_tasks"], facts["first_shards"]) == (2, [[2, "a.jpg", "roll 1/b.png"]])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "GALLERY", "--store", "S", "--max-steps", "0"], "--max-steps 0: .*greater than or equal to 1"),
        (["train", "GALLERY", "--store", "S", "--max-steps", "many"], "--max-steps many: .*should be a valid integer"),
        (["train", "GALLERY", "--store", "S", "--attention", "some"], "--attention some: .*'ssam', 'self', 'released'"),
        (
            ["train", "GALLERY", "--store", "S", "--collection", "../up"],
            r"--collection \.\./up: expected the name",
        ),
        (["train", "GALLERY", "--store", "s3://key:secret@bucket/x"], "--store .*: a URI must not hold credentials"),
        (["train", "GALLERY"], "--store is missing"),
        (["train", "--store", "S"], "GALLERY_URI is missing"),
        (["stylize", "PHOTOS", "--store", "S", "--style", "x"], "OUTPUT_URI is missing"),
        (["stylize", "PHOTOS", "OUT", "--store", "S"], "--style is missing"),
        (["stylize", "P", "O", "--store", "S", "--style", "x", "--strength", "2"], "--strength 2: .*less than or eq"),
        (["stylize", "P", "O", "--store", "S", "--style", "x", "--style", "x"], "--style .*named twice in x, x"),
        (["stylize", "P", "O", "--store", "S", "--style", "x", "--failure", "odd"], "--failure odd: .*'unreadable'"),
        (["stylize", "P", "O", "--store", "S", "--style", "x", "--failure", "damaged"], "--failure .*add retry_failed"),
        (["banks"], "--store is missing; give the folder"),
        (["export", "novak", "file"], "--store is missing; give the folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_parameter_is_told_in_one_line_and_ends_in_2(
    words: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ARTBANK_STORE", raising=False)
    ended = call(*words)
    assert (ended.code, bool(re.search(f"^artbank: {message}", complaint(ended)))) == (2, True), ended.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "G", "--steps", "3"], "--steps"),
        (["paint"], "'paint'"),
        (["banks", "show"], "'name'"),
    ],
)
def test_what_the_parser_cannot_read_ends_in_2(words: list[str], message: str) -> None:
    ended = call(*words)
    assert (ended.code, ended.out, message in ended.err) == (2, "", True), ended.err


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["banks", "show", "monet"], "monet"),
        (["banks", "promote", "novak@7"], "novak@7"),
        (["banks", "retire", "monet"], "monet"),
        (["export", "monet", "file"], "monet"),
    ],
)
def test_a_bank_that_is_not_there_is_told_in_one_line_and_ends_in_1(world: Path, words: list[str], name: str) -> None:
    ended = call(*words, "--store", world / "store")
    assert ended.code == 1
    assert re.match(rf"artbank: no bank {name} in \S+: there is novak", complaint(ended))


def test_a_parameter_file_gives_what_the_options_do_not(world: Path, tmp_path: Path) -> None:
    config = {"gallery_uri": str(world / "gallery"), "store_uri": str(world / "store")}
    config |= {
        "collections": ["novak"],
        "num_samples": 1,
        "num_milestones": 0,
        "recipe": {**TRAIN.model_dump(), "max_steps": 9},
    }
    file = tmp_path / "parameters.yaml"
    file.write_text(yaml.safe_dump({"config": config}))
    assert call("train", "--parameters", file, "--max-steps", "3").out.startswith("novak is up to date\n")
    refused = call("train", "--parameters", file, "--max-steps", "0")
    assert refused.code == 2 and "--max-steps 0" in complaint(refused)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a list", "expected YAML or JSON with the parameters of a flow"),
        ("config: {", "cannot be read"),
        (None, "cannot be read: there is no .*correct the name"),
        ("config: {gallery_uri: g, store_uri: s, speed: 5}", r"speed \(line 1\): unknown; see `--help`"),
    ],
)
def test_a_parameter_file_that_is_wrong_ends_in_2(tmp_path: Path, text: str | None, message: str) -> None:
    file = tmp_path / "parameters.yaml"
    if text is not None:
        file.write_text(text)
    ended = call("train", "--parameters", file)
    assert ended.code == 2 and re.search(message, complaint(ended))
