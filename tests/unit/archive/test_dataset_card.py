"""An output with its card is a dataset: `datasets` reads the folder as the hub would, in every format."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from artbank.archive.finish import finish_archive
from artbank.archive.plan import plan_archive
from artbank.archive.shard import stylize_shard
from artbank.errors import ResultsError
from artbank.records.photo_records import Result
from artbank.report.dataset_card import dataset_card
from artbank.results.containers import PackedPicture, pack
from artbank.results.filenames import output_name
from artbank.store.objects import Store
from artbank.store.parquet import table_bytes
from tests.support import shards
from tests.support.commands import call, complaint
from tests.support.image_files import draw, save
from tests.support.rows import result
from tests.support.small_inputs import HEIGHT_PX, STYLIZE, WIDTH_PX, draw_photo


def front_matter(card: str) -> dict[str, Any]:
    _, front, body = card.split("---\n", 2)
    assert body.startswith("\n# ")
    return yaml.safe_load(front)


@pytest.mark.parametrize("output_format", ["images", "webdataset", "parquet"])
def test_an_output_with_its_card_loads_as_a_dataset(
    tmp_path: Path, shelf: str, output_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    photos = Store.open(str(tmp_path / "photos"))
    photos.write_many({f"roll 1/{seed}.jpg": draw_photo(seed) for seed in range(3)} | {"roll 1/1.txt": b"lilies"})
    recipe = STYLIZE.model_copy(update={"photo_captions": True})
    config = shards.asked(photos, shelf, format=output_format, recipe=recipe)
    plan, parts, listing = plan_archive(config)
    for part in parts:
        stylize_shard(config, plan, part)
    finish_archive(config, plan, listing)

    told = call("dataset", config.output_uri, "--licence", "cc-by-4.0", "--title", "Novak's photos")
    assert told.code == 0 and "hf upload USER/NAME" in told.out
    card = (Path(config.output_uri) / "README.md").read_text()
    assert front_matter(card)["license"] == "cc-by-4.0" and "| novak | 3 |" in card
    loaded = datasets.load_dataset(config.output_uri, split="train", cache_dir=str(tmp_path / "cache"))
    facts = [row.get("json", row) for row in loaded]
    prompts = {row["key"]: (row["caption"], row["prompt"]) for row in facts}
    plain = (None, "a painting, in the style of novak")
    assert prompts == {
        "roll 1/0.jpg": plain,
        "roll 1/1.jpg": ("lilies", "lilies, in the style of novak"),
        "roll 1/2.jpg": plain,
    }
    pictures = [row.get("image") or row["jpg"] for row in loaded]
    assert {picture.size for picture in pictures} == {(48, 32)}


def test_tar_files_load_whatever_their_first_pictures_have_in_common(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    name = "monet/0123456789abcdef-00000.tar"
    rows = [result(f"{place}.jpg", file_name=name) for place in range(7)]
    rows[1] = result("1.tif", file_name=name)
    rows += [result("7.WEBP", file_name=name, caption="lilies", flags=["faint"], dino_structure=0.5, mark="iptc")]
    kinds = {".jpg": "JPEG", ".tif": "PNG", ".WEBP": "WEBP"}
    packed = [
        PackedPicture.from_row(row, output_name(row.key), save(draw(), kinds[Path(row.key).suffix])) for row in rows
    ]
    output = Store.open(str(tmp_path / "output"))
    output.write_many({name: pack(name, packed), "results.parquet": table_bytes(Result.to_table(rows))})
    assert call("dataset", output.uri).code == 0

    loaded = datasets.load_dataset(output.uri, split="train", cache_dir=str(tmp_path / "cache"))
    found = {row["json"]["key"]: row for row in loaded}
    assert sorted(found) == sorted(row.key for row in rows)
    images = {key: [kind for kind in ("jpg", "png", "webp") if row[kind] is not None] for key, row in found.items()}
    assert images == {
        **{f"{place}.jpg": ["jpg"] for place in range(7) if place != 1},
        "1.tif": ["png"],
        "7.WEBP": ["webp"],
    }
    last = found["7.WEBP"]["json"]
    assert (last["caption"], last["flags"], last["dino_structure"]) == ("lilies", ["faint"], 0.5)
    assert found["0.jpg"]["json"]["caption"] is None and found["0.jpg"]["json"]["flags"] == []


def test_names_that_datasets_would_change_are_told_with_the_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    monkeypatch.setenv("ROLL", "other")
    names = ("$ROLL.jpg", "a/${ROLL}/b.jpg", "a\\b.jpg", "5 $.jpg", "a$ b.jpg", "~c.jpg", "e*[1].jpg", "%41.jpg")
    for number, name in enumerate(names):
        output = Store.open(str(tmp_path / f"output {number}"))
        row = result(name, file_name=f"monet/{name}")
        output.write_many({f"monet/{name}": draw_photo(0), "results.parquet": table_bytes(Result.to_table([row]))})
        output.write("metadata.parquet", table_bytes(pa.table({"file_name": [row.file_name], "key": [name]})))
        told = call("dataset", output.uri).out.splitlines()
        notes = [line for line in told if line.startswith("note: ")]
        try:
            loaded = datasets.load_dataset(output.uri, split="train", cache_dir=str(tmp_path / f"cache {number}"))
            loads = [picture.size for picture in loaded["image"]] == [(WIDTH_PX, HEIGHT_PX)]
        except FileNotFoundError:
            loads = False
        assert (loads, notes) == (
            number > 2,
            []
            if number > 2
            else [
                "note: 1 picture may not load from a folder, because `datasets` changes $ or \\ in its name, such as "
                f"monet/{name}; rename the photos, or stylize with --format webdataset or parquet"
            ],
        )


def test_the_command_that_publishes_an_output_can_be_pasted(tmp_path: Path) -> None:
    rows = {"results.parquet": table_bytes(Result.to_table([result()]))}
    folder = str(tmp_path / "it's $HOME")
    for uri in (folder, "memory://published"):
        Store.open(uri).write_many(rows)
    [publish] = [line for line in call("dataset", folder).out.splitlines() if line.startswith("to publish: ")]
    words = shlex.split(publish.removeprefix("to publish: "))
    assert words[:7] == ["hf", "upload", "USER/NAME", folder, ".", "--repo-type", "dataset"]
    told = call("dataset", "memory://published").out
    assert "to publish: copy memory://published to a FOLDER, then hf upload USER/NAME FOLDER . --repo-type" in told


@pytest.mark.parametrize("output_format", ["images", "webdataset"])
def test_pictures_that_no_table_names_are_told_with_the_card(tmp_path: Path, shelf: str, output_format: str) -> None:
    photos = Store.open(str(tmp_path / "photos"))
    photos.write_many({f"{seed}.jpg": draw_photo(seed) for seed in range(3)})
    config = shards.asked(photos, shelf, format=output_format, allow_missing=True)

    def draw_all() -> None:
        plan, parts, listing = plan_archive(config)
        for part in parts:
            stylize_shard(config, plan, part)
        finish_archive(config, plan, listing)

    def list_notes() -> list[str]:
        told = call("dataset", config.output_uri, "--replace").out.splitlines()
        return [line for line in told if line.startswith("note: ")]

    draw_all()
    assert list_notes() == []
    (tmp_path / "photos/1.jpg").unlink()
    draw_all()
    told = {
        "images": "1 picture is in no row of results.parquet, and would be published: novak/1.jpg; its photo was "
        "removed, or drawn again in another format. Run `artbank stylize` with --delete-removed, or delete it and run "
        "`artbank verify --repair`",
        "webdataset": "1 picture of a photo that is no longer in the archive is in a container, and loads with the "
        "others: 1.jpg in novak; `artbank stylize` with --delete-removed deletes it",
    }
    assert list_notes() == [f"note: {told[output_format]}"]

    photos.write("3.jpg", draw_photo(3))
    plan, [part], _ = plan_archive(config)
    stylize_shard(config, plan, part)  # and the run is killed
    assert list_notes() == [
        "note: results.parquet does not have all pictures yet, because a run has not ended; run its stylize command "
        "again, then this one with --replace"
    ]


@pytest.mark.parametrize("command", ["dataset", "export-picks"])
def test_a_place_without_results_is_told_from_an_output_whose_run_has_not_ended(tmp_path: Path, command: str) -> None:
    picks = tmp_path / "picks.txt"
    picks.write_text("monet/a.jpg\n")
    others = [picks, tmp_path / "picked"] if command == "export-picks" else []
    place = tmp_path / "output"
    found = {}
    for name in ("nothing", "banks/monet/1/bank.safetensors", "runs/0123456789abcdef/config.json"):
        if name != "nothing":
            Store.open(str(place)).write(name, b"{}")
        refused = call(command, place, *others)
        assert refused.code == 2
        found[name.partition("/")[0]] = complaint(refused).removeprefix("artbank: ").rstrip()
    assert found == {
        "nothing": f"expected the output of `artbank stylize` in {place}, found nothing there; correct its name, or "
        "mount it",
        "banks": f"expected the output of `artbank stylize` in {place}, found no results of a run there; correct its "
        "name",
        "runs": f"expected finished results in {place}, found those of a run that has not ended; run its stylize "
        "command again, which does only what is missing",
    }


def test_a_card_of_ones_own_is_not_replaced_unasked(tmp_path: Path) -> None:
    output = Store.open(str(tmp_path / "output"))
    output.write_many({"results.parquet": table_bytes(Result.to_table([result()])), "README.md": b"mine"})
    refused = call("dataset", output.uri)
    assert refused.code == 2 and "--replace" in complaint(refused) and output.read("README.md") == b"mine"
    assert call("dataset", output.uri, "--replace").code == 0
    assert front_matter(output.read("README.md").decode())["pretty_name"] == "output"


def test_a_card_has_a_config_for_each_format_and_escapes_what_it_names() -> None:
    rows = Result.to_table(
        [
            result("a.jpg", file_name="monet/a.jpg"),
            result("b.png", file_name="monet/b.png"),
            result("c.jpg", file_name="monet/0123456789abcdef-00000.tar"),
            result("d.jpg", status="failed", failure="unreadable", file_name=None),
        ]
    )
    card = dataset_card(rows, "<b>[x](y)", "")
    facts = front_matter(card)
    assert [config["config_name"] for config in facts["configs"]] == ["images", "webdataset"]
    paths = [config["data_files"][0]["path"] for config in facts["configs"]]
    assert paths == [["metadata.parquet", "monet/**/*.jpg", "monet/**/*.png"], ["monet/*.tar"]]
    assert [info["config_name"] for info in facts["dataset_info"]] == ["webdataset"]
    assert "license" not in facts and facts["task_categories"] == ["image-to-image"]
    assert facts["size_categories"] == ["n<1K"] and "| monet | 3 |" in card
    assert "# &lt;b&gt;\\[x\\](y" in card.replace("\\(", "(")
    with pytest.raises(ResultsError, match="at least one picture"):
        dataset_card(rows.filter(pa.compute.field("status") == "failed"), "x", "")
