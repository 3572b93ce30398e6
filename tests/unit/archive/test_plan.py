"""The plan of a run, as flow runs elsewhere read it out of the output."""

from __future__ import annotations

import pytest

from artbank.archive.plan import StylizePlan, load_range, plan_archive, plan_key
from artbank.archive.styles import resolve_styles
from artbank.catalog.catalog import Catalog
from artbank.config import StylizeConfig
from artbank.diffusion.fetch import fetch_base_model
from artbank.diffusion.weights import hash_base_model
from artbank.errors import ConfigError, ResultsError
from artbank.results.manifest import Shard
from artbank.runtime.collection_ids import collection_id
from artbank.store.objects import Store
from tests.support.rows import bank_record, register
from tests.support.small_inputs import STYLIZE, stylizing

STYLES = ("monet:0.7+hokusai:0.3", "monet")


@pytest.fixture
def config(store_uri: str) -> StylizeConfig:
    """Seven photos, whose content is never read, and two banks."""
    place = Store.open(store_uri)
    place.write_many({f"photos/{number}.jpg": b"" for number in range(7)})
    for name in ("monet", "hokusai"):
        record = bank_record(
            collection=name, base_model_hash=hash_base_model(fetch_base_model("mini", None)), warnings=["few"]
        )
        register(Catalog(place.child("store")), record)
    return stylizing(*map(place.uri_of, ("photos", "output", "store")), *STYLES, shard_size=2)


def planned(config: StylizeConfig) -> tuple[StylizePlan, list[Shard]]:
    plan, shards, _ = plan_archive(config)
    return plan, shards


def test_a_plan_and_its_shards_come_out_of_the_output_as_they_were_made(config: StylizeConfig) -> None:
    plan, shards = planned(config)
    assert (plan.num_shards, len(plan.styles[0].banks)) == (4, 2)
    assert load_range(config, plan.run_id, 0, 4) == (plan, shards)
    assert load_range(config, plan.run_id, 2, 1) == (plan, shards[2:3])


def test_a_plan_is_the_same_bytes_whenever_it_is_made_and_the_first_one_stays(config: StylizeConfig) -> None:
    plan, _ = planned(config)
    output = Store.open(config.output_uri)
    before = output.list(hash_content=True)
    assert planned(config)[0] == plan
    turned = config.model_copy(update={"styles": STYLES[::-1]})
    assert planned(turned)[0].run_id == plan.run_id
    assert output.list(hash_content=True) == before
    assert load_range(turned, plan.run_id, 0, 4)[0] == plan


def test_a_plan_that_is_missing_or_damaged_is_an_error_that_says_what_to_do(config: StylizeConfig) -> None:
    plan, _ = planned(config)
    output, key = Store.open(config.output_uri), plan_key(plan.run_id)
    with pytest.raises(ResultsError, match=r"expected a planned run 0123 in .*output, found none; run stylize-archive"):
        load_range(config, "0123", 0, 1)
    output.write(key, output.read(key)[:-9])
    with pytest.raises(ResultsError, match=r"plan.json should be .* delete it and run stylize-archive again"):
        load_range(config, plan.run_id, 0, 1)
    output.delete_many([key])
    planned(config)
    assert load_range(config, plan.run_id, 0, 4)[0] == plan


def test_a_range_that_a_run_does_not_have_is_refused(config: StylizeConfig) -> None:
    plan, _ = planned(config)
    with pytest.raises(ConfigError, match=f"run {plan.run_id} has 4 shards, but shards 3 to 4 were asked for"):
        load_range(config, plan.run_id, 3, 2)


def test_a_run_is_not_worked_on_with_another_recipe(config: StylizeConfig) -> None:
    plan, _ = planned(config)
    other = config.model_copy(update={"recipe": STYLIZE.model_copy(update={"seed": 1})})
    with pytest.raises(ConfigError, match="planned with another recipe for style monet_0.7"):
        load_range(other, plan.run_id, 0, 4)
    elsewhere = config.model_copy(update={"batch_size": 1, "device": "cpu", "runner": "threads"})
    assert load_range(elsewhere, plan.run_id, 0, 4)[0] == plan


def test_a_run_for_a_device_that_is_not_there_is_not_planned(config: StylizeConfig) -> None:
    with pytest.raises(ConfigError, match="device cuda:4096 is not available"):
        plan_archive(config.model_copy(update={"device": "cuda:4096"}))
    assert not Store.open(config.output_uri).has_objects()


def test_where_nothing_is_to_do_no_plan_is_written(config: StylizeConfig) -> None:
    assert planned(config.model_copy(update={"retry_failed": True}))[0].run_id == ""
    assert Store.open(config.output_uri).list() == []


def test_a_style_is_the_same_by_name_by_id_and_in_a_mix(store_uri: str) -> None:
    catalog = Catalog(Store.open(store_uri))
    for name in ("Van Gogh", "葛飾北斎", "Gilbert + George"):
        register(catalog, bank_record(collection=collection_id(name), display_name=name, base_model_hash="b"))
    pairs = {
        "Van Gogh": "Van-Gogh-10152184",
        "葛飾北斎@1": "collection-d76f9fac@1",
        "Van Gogh:0.7 + 葛飾北斎:0.3": "Van-Gogh-10152184:0.7+collection-d76f9fac:0.3",
    }
    for by_name, by_id in pairs.items():
        assert resolve_styles(catalog, [by_name], STYLIZE, "b") == resolve_styles(catalog, [by_id], STYLIZE, "b")
        with pytest.raises(ConfigError, match="would share its folder"):
            resolve_styles(catalog, [by_name, by_id], STYLIZE, "b")
    [whole] = resolve_styles(catalog, ["Gilbert + George"], STYLIZE, "b")
    assert [bank.title for bank, _ in whole.banks] == ["Gilbert + George"]
