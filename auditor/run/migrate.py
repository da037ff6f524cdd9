"""Results of earlier schemas, made into results of today's: a saved run stays readable for good."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

SCHEMA_VERSION = 2

Json = dict[str, Any]


def migrate(data: Json) -> Json:
    """The JSON of a result as today's schema has it; what does not fit is left for the reader to refuse.

    Parameters
    ----------
    data
        With a `schema_version` from 1 to today's.
    """
    for version in range(data["schema_version"], SCHEMA_VERSION):
        data = {**_STEPS[version](data), "schema_version": version + 1}
    return data


def _to_second(data: Json) -> Json:
    """Schema 2 calls a study by one name, gives notes a kind, and has fields where schema 1 had names to be parsed."""
    data = {_STUDIES.get(key, key): value for key, value in data.items()}
    data = _each(data, "methods", lambda record: {**record, "name": _STUDIES.get(record["name"], record["name"])})
    data = _each(data, "findings", lambda finding: _kinds(_apart(finding)))
    data = _each(data, "artefacts", lambda record: {key: value for key, value in record.items() if key != "notes"})
    data = _each(data, "region_scores", lambda scores: _kinds(_map(scores)))
    data = _each(data, "exemplars", lambda exemplar: _each(exemplar, "maps", _map))
    data = _kinds(data, "warnings")
    for study in ("optima", "counterfactual", "errors"):
        data = _inside(data, study, _kinds)
    data = _inside(_inside(data, "trust", _trust), "errors", _errors)
    return {**data, "made_up": _made_up(data)}


def _trust(record: Json) -> Json:
    record = _each(record, "methods", _map)
    return _each(record, "likenesses", lambda pair: {**pair, **{key: _name(pair[key]) for key in ("first", "second")}})


def _errors(record: Json) -> Json:
    for key in ("likeness", "regions", "mending"):
        record = _each(record, key, _map)
    record = _each(record, "exemplars", lambda exemplar: _each(exemplar, "maps", _map))
    record = _each(record, "interventions", _kinds)
    return _each(record, "regions", lambda share: {**share, "errors": _WHICH.get(share["errors"], share["errors"])})


def _inside(data: Json, key: str, change: Callable[[Json], Json]) -> Json:
    """With a change of the record under a key, if there is one."""
    return {**data, key: change(data[key])} if isinstance(data.get(key), dict) else data


def _each(data: Json, key: str, change: Callable[[Json], Json]) -> Json:
    """With a change of every record in the list under a key, if there is one; one that it does not fit stays."""

    def changed(item: Any) -> Any:
        try:
            return change(item)
        except (AttributeError, KeyError, TypeError):
            return item

    return {**data, key: [changed(item) for item in data[key]]} if isinstance(data.get(key), list) else data


def _kinds(record: Json, key: str = "notes") -> Json:
    """With notes that have a kind: schema 1 told it by the words alone."""

    def noted(note: Any) -> Any:
        if not isinstance(note, str):
            return note
        return {"kind": next((kind for words, kind in _KINDS.items() if words in note), "remark"), "text": note}

    notes = record.get(key)
    return {**record, key: [noted(note) for note in notes]} if isinstance(notes, list) else record


def _map(record: Json) -> Json:
    """With the name of its maps in two fields: schema 1 had the variant in brackets behind the method."""
    return {"map": _name(record["method"]), **{key: value for key, value in record.items() if key != "method"}}


def _name(text: str) -> Json:
    method, _, variant = text.partition(" (")
    return {"method": method, "variant": variant.removesuffix(")")}


def _apart(finding: Json) -> Json:
    """With the removal drop by each fill in a field of its own."""
    parts = {name: measured for name, measured in finding["measurements"].items() if name.startswith(_DROP)}
    others = {name: measured for name, measured in finding["measurements"].items() if name not in parts}
    return {**finding, "measurements": others, "drops": {name[len(_DROP) :]: part for name, part in parts.items()}}


def _made_up(data: Json) -> list[str]:
    """Keys of the arrays that show no audited images: in schema 1 only the keys themselves told it."""
    artefacts, methods = (data[name] if isinstance(data.get(name), list) else [] for name in ("artefacts", "methods"))
    drawn = [record.get("picture") for record in artefacts if isinstance(record, dict)]
    studies = [each for each in methods if isinstance(each, dict) and each.get("name") == "optima"]
    options = [study["options"] for study in studies if isinstance(study.get("options"), dict)]
    if all(each.get("start", "noise") == "noise" for each in options):
        drawn += [text for text in _texts(data.get("optima")) if text.startswith(_OPTIMISED) and not _REAL.search(text)]
    return [key for key in drawn if isinstance(key, str)]


def _texts(value: Any) -> Iterator[str]:
    """Every text inside a value of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


_STUDIES = {"activation_maximisation": "optima", "contrastive": "errors"}

_DROP = "removal_drop."

_WHICH = {"those that came with it": "came", "those made by inserting it": "inserted"}

_KINDS = {
    "Not calibrated": "calibration",
    "the baseline equals the artefact": "baseline",
    "was not tested: ": "untested",
    "the data have no labels, so no image": "no errors",
    "the model gets no labelled image wrong": "no errors",
}
"""Words of a note of schema 1 -> its kind, where code asks for it."""

_OPTIMISED = "activation maximisation: "
"""How the keys of the arrays of optimised inputs began in schema 1 ..."""

_REAL = re.compile(r", real \d+$|\bimage to start from$|\bcompared, image$")
"""... and ended, where they showed real images, or inputs that started from one."""

_STEPS: dict[int, Callable[[Json], Json]] = {1: _to_second}
"""Schema -> what makes it the next one."""
