"""The summary of an output: counts, scores with floor and ceiling, failures, worst pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from artbank.errors import FAILURES
from artbank.report.costs import cost_markdown
from artbank.report.markdown import escape, fence, score_text, share_text, table
from artbank.report.skipped import skipped_markdown
from artbank.runs.outcome import RunCost
from artbank.runtime.counts import number_text
from artbank.runtime.durations import seconds_text
from artbank.scoring.spread import NO_BOUNDS, ScoreBounds, Spread, summarize
from artbank.store.skipped import SKIP_KINDS, SkippedKind, count_skipped

MEASURES = ("clip_style", "clip_text", "clip_content", "clip_direction", "ssim")
OPTIONAL_MEASURES = ("dino_structure", "csd_style", "clip_texture")
"""Optional scores, which most outputs do not have."""
FLOORS = {"clip_style": "clip_style_floor", "csd_style": "csd_style_floor", "clip_texture": "clip_texture_floor"}
"""The scores that have a floor and a ceiling, each with the column of its photos' own scores."""
Bounds = Mapping[str, ScoreBounds]
"""Floor and ceiling of a style by score; missing scores have neither."""

SUMMARY_COLUMNS = (
    *("key", "style", "status", "failure", "reason", "seconds", "scorer", "flags", "notes", "file_name"),
    *("mark", "metadata", "photo_marks"),
    *("structure_model", "style_model"),
    *MEASURES,
    "clip_style_recoloured",
    *OPTIONAL_MEASURES,
)
"""Columns of the results that a summary reads."""
NUM_LISTED = 20
_FIGURES = ("mean", "median", "p5", "p95", "floor", "ceiling")
_LISTED = ("clip_style", "clip_content", "ssim")


def results_summary(
    results: pa.Table,
    bounds: Mapping[str, Bounds],
    skipped: Sequence[SkippedKind] = (),
) -> dict[str, Any]:
    """Summarize results as JSON data.

    Args:
        results: Rows of `Result`, one per photo and style, with at least `SUMMARY_COLUMNS`.
        bounds: By style; missing styles have none.
        skipped: The files of the archive that have no rows, because they are no photos or cannot be listed.
    """
    done, failed = (results.filter(pc.equal(results["status"], status)) for status in ("done", "failed"))
    return {
        "num_photos": pc.count_distinct(results["key"]).as_py(),
        "num_pictures": len(results),
        "counts": {"done": len(done), "failed": len(failed), "skipped": count_skipped(skipped)},
        "skipped": [
            {"kind": kind.kind, "count": kind.count, "names": list(kind.names), "meaning": SKIP_KINDS[kind.kind]}
            for kind in skipped
        ],
        "seconds": {
            "total": pc.sum(done["seconds"]).as_py() or 0.0,
            "mean": pc.mean(done["seconds"]).as_py(),
            "median": pc.quantile(done["seconds"], 0.5)[0].as_py(),
        },
        "scorers": sorted(pc.unique(done["scorer"].drop_null()).to_pylist()),
        "structure_models": sorted(pc.unique(done["structure_model"].drop_null()).to_pylist()),
        "style_models": sorted(pc.unique(done["style_model"].drop_null()).to_pylist()),
        "styles": [
            _style(results, style, bounds.get(style, {})) for style in sorted(pc.unique(results["style"]).to_pylist())
        ],
        "failures": _failures_by_kind(failed),
        "reasons": _tally(failed["reason"].fill_null("no reason was kept"), "reason"),
        "flags": _tally(pc.list_flatten(done["flags"]), "flag"),
        "notes": _tally(pc.list_flatten(done["notes"]), "note"),
        "marks": _tally(done["mark"].fill_null("none"), "mark"),
        "photo_marks": _tally(pc.list_flatten(done["photo_marks"]), "mark"),
        "failed": _first(failed, [("key", "ascending"), ("style", "ascending")], ["key", "style", "reason"]),
        "worst": _first(
            done.filter(pc.is_finite(done["clip_style"])),
            [("clip_style", "ascending"), ("key", "ascending"), ("style", "ascending")],
            ["key", "style", "clip_style", "clip_content", "ssim", "flags", "file_name"],
        ),
    }


def summary_markdown(
    summary: Mapping[str, Any], *, title: str, places: Mapping[str, str], cost: RunCost | None = None
) -> str:
    """Return a run's report as Markdown.

    Args:
        summary: From `results_summary`.
        title: Headline, e.g. "Stylized holiday photos".
        places: URIs of the results, by description.
        cost: What the run took; None if it had nothing to do.
    """
    sections = [
        f"# {escape(title)}",
        _alarms(summary),
        _counts(summary),
        _scores(summary),
        _marks(summary),
        _failures(summary),
        skipped_markdown(summary["skipped"]),
        _worst(summary),
        cost_markdown(cost) if cost else "",
        "## Where things are\n\n" + table(["what", "where"], places.items(), numbers_from=2) if places else "",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _style(results: pa.Table, style: str, bounds: Bounds) -> dict[str, Any]:
    rows = results.filter(pc.equal(results["style"], style))
    done = rows.filter(pc.equal(rows["status"], "done"))
    spreads = {}
    for measure in (*MEASURES, *OPTIONAL_MEASURES):
        spread = summarize(done[measure].to_numpy(), bounds.get(measure, NO_BOUNDS))
        if spread.n or measure in MEASURES:
            spreads[measure] = spread
    recoloured = pc.mean(done["clip_style_recoloured"]).as_py()
    return {
        "style": style,
        "done": len(done),
        "failed": len(rows) - len(done),
        "seconds_per_picture": pc.mean(done["seconds"]).as_py(),
        "scores": {measure: asdict(spread) for measure, spread in spreads.items()},
        "recoloured": {
            "clip_style": recoloured,
            "gain": _gain_over(recoloured, spreads["clip_style"], bounds.get("clip_style", NO_BOUNDS)),
        },
        "num_without_csd": len(done.filter(pc.is_valid(pc.field("style_model")) & pc.is_null(pc.field("csd_style")))),
    }


def _gain_over(recoloured: float | None, clip_style: Spread, bounds: ScoreBounds) -> float | None:
    """Return the style gain with photos in the collection's colours as its floor; None where there is none."""
    return None if clip_style.mean is None else ScoreBounds(recoloured, bounds.ceiling).gain(clip_style.mean)


def _failures_by_kind(failed: pa.Table) -> list[dict[str, Any]]:
    """Return each kind of failure with its count, its meaning and its first photos by name; the most frequent first."""
    kinds = failed["failure"].fill_null("unreadable")
    entries = []
    for entry in _tally(kinds, "failure"):
        of_kind = failed.filter(pc.equal(kinds, entry["failure"]))
        rows = _first(of_kind, [("key", "ascending"), ("style", "ascending")], ["key", "style", "reason"])
        entries.append({**entry, "meaning": FAILURES[entry["failure"]], "rows": rows})
    return entries


def _tally(values: pa.ChunkedArray, name: str) -> list[dict[str, Any]]:
    counted = pc.value_counts(values).to_pylist()
    ordered = sorted(counted, key=lambda entry: (-entry["counts"], entry["values"]))
    return [{name: entry["values"], "count": entry["counts"]} for entry in ordered]


def _first(rows: pa.Table, order: list[tuple[str, str]], columns: list[str]) -> list[dict[str, Any]]:
    first = pc.select_k_unstable(rows.select([name for name, _ in order]), NUM_LISTED, sort_keys=order)
    return rows.select(columns).take(first).to_pylist()


def _alarms(summary: Mapping[str, Any]) -> str:
    texts = [f"* {escape(alarm['text'])}" for alarm in summary.get("alarms", ())]
    return "## Worth a look\n\n" + "\n".join(texts) if texts else ""


def _counts(summary: Mapping[str, Any]) -> str:
    counts = summary["counts"]
    seconds = summary["seconds"]
    rows = [
        (entry["style"], entry["done"], entry["failed"], seconds_text(entry["seconds_per_picture"]))
        for entry in summary["styles"]
    ]
    rows.append(("all", counts["done"], counts["failed"], seconds_text(seconds["mean"])))
    flags = ", ".join(f"{entry['count']} {escape(entry['flag'])}" for entry in summary["flags"])
    notes = "; ".join(f"{entry['count']} {escape(entry['note'])}" for entry in summary.get("notes", ()))
    return (
        f"{number_text(summary['num_photos'], 'photo')}, {number_text(summary['num_pictures'], 'picture')} asked for: "
        f"**{counts['done']} done, {counts['failed']} failed**; "
        f"{number_text(counts['skipped'], 'file')} skipped. "
        f"{seconds_text(seconds['total'])} of device time for all pictures.\n\n"
        + table(["style", "done", "failed", "device seconds a picture"], rows)
        + (f"\n\nPictures that look wrong at first sight: {flags}." if flags else "")
        + (f"\n\nNotes on photos: {notes}." if notes else "")
    )


def _marks(summary: Mapping[str, Any]) -> str:
    if not summary["counts"]["done"]:
        return ""
    num_marked = sum(entry["count"] for entry in summary["marks"] if entry["mark"] == "iptc")
    photo_marks = ", ".join(f"{entry['count']:,} {escape(entry['mark'])}" for entry in summary["photo_marks"])
    num_other = summary.get("num_with_other_metadata", 0)
    return (
        f"## Marks\n\n{num_marked:,} of {number_text(summary['counts']['done'], 'picture')} carry the mark "
        "`compositeWithTrainedAlgorithmicMedia` (IPTC) in their files."
        + (f" Marks that photos had themselves: {photo_marks}." if photo_marks else "")
        + (
            f" {number_text(num_other, 'picture')} of earlier runs have another mark, or keep other metadata, than "
            "this run asked for; they stay as they are. A new output gets all of them anew."
            if num_other
            else ""
        )
    )


def _scores(summary: Mapping[str, Any]) -> str:
    rows = [
        (entry["style"], measure, spread["n"], *(score_text(spread[f]) for f in _FIGURES), share_text(spread["gain"]))
        for entry in summary["styles"]
        for measure, spread in entry["scores"].items()
        if spread["n"]
    ]
    if not rows:
        return ""
    scorers = ", ".join(map(escape, summary["scorers"]))
    return (
        "## Scores\n\n"
        + table(["style", "score", "n", *_FIGURES, "gain"], rows, numbers_from=2)
        + "\n\nThe floor is what untouched photos score, the ceiling what held-out artworks score; gain is the share "
        "of the way between them that the mean has come. It is left out where the ceiling is not clearly above the "
        "floor: there the scorer cannot tell the collection from photos. "
        f"Raw cosines of the scorer {scorers}; `ssim` is of lumas." + _recoloured(summary) + _optional_scores(summary)
    )


def _recoloured(summary: Mapping[str, Any]) -> str:
    """Return what photos score whose colours alone are those of the collections."""
    texts = []
    for entry in summary["styles"]:
        score, gain = entry["recoloured"]["clip_style"], entry["recoloured"]["gain"]
        if score is not None:
            beyond = "" if gain is None else f", so the gain beyond colours is {share_text(gain)}"
            texts.append(f"{escape(entry['style'])} {score_text(score)}{beyond}")
    if not texts:
        return ""
    return f" `clip_style` of the same photos in the collection's colours, not painted: {'; '.join(texts)}."


def _optional_scores(summary: Mapping[str, Any]) -> str:
    """Return the sentences about the scores of optional models."""
    texts = []
    if models := summary.get("structure_models"):
        texts.append(f" `dino_structure` is by {', '.join(map(escape, models))}: 1 is the structure of the photo.")
    if models := summary.get("style_models"):
        texts.append(f" `csd_style` is by {', '.join(map(escape, models))}.")
    for entry in summary["styles"]:
        if entry.get("num_without_csd"):
            texts.append(
                f" {number_text(entry['num_without_csd'], 'picture')} in {escape(entry['style'])} got no `csd_style`: "
                "the style's banks were not trained with that `--style-model`."
            )
    return "".join(texts)


def _failures(summary: Mapping[str, Any]) -> str:
    if not summary["failed"]:
        return ""
    num_failed = summary["counts"]["failed"]
    more = len(summary["reasons"]) - NUM_LISTED
    shown = [(entry["reason"], entry["count"]) for entry in summary["reasons"][:NUM_LISTED]]
    command = summary.get("retry_command")
    return (
        f"## Failed\n\n{number_text(num_failed, 'picture')} could not be made."
        + (f" To try again:\n\n{fence(command, 'sh')}" if command else "")
        + "".join(_failures_of(entry, has_others=len(summary["failures"]) > 1) for entry in summary["failures"])
        + "\n\n### Reasons\n\n"
        + table(["reason", "pictures"], shown)
        + (f"\n\nAnd {number_text(more, 'other reason')}." if more > 0 else "")
    )


def _failures_of(entry: Mapping[str, Any], *, has_others: bool) -> str:
    """Return the failures of one kind, with the first photos by name."""
    rows = [(row["key"], row["style"], row["reason"] or "no reason was kept") for row in entry["rows"]]
    more = entry["count"] - len(rows)
    return (
        f"\n\n### {escape(entry['failure'])}: {number_text(entry['count'], 'picture')}\n\n{entry['meaning']}"
        + (f" Only these again: add `--failure {entry['failure']}`." if has_others else "")
        + "\n\n"
        + table(["photo", "style", "reason"], rows, numbers_from=3)
        + (f"\n\nAnd {more:,} more." if more > 0 else "")
    )


def _worst(summary: Mapping[str, Any]) -> str:
    rows = [
        (row["key"], row["style"], *(score_text(row[name]) for name in _LISTED), ", ".join(row["flags"] or ()))
        for row in summary["worst"]
    ]
    head = ["photo", "style", *_LISTED, "flags"]
    return f"## Least like their style\n\n{table(head, rows, numbers_from=2)}" if rows else ""
