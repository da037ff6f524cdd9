"""Numbers of the report lead to their place in the saved result."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import pytest

from auditor.report.pointers import point, pointer_of
from auditor.report.write import render_html
from auditor.run.result import result_to_json
from tests.synthetic import make_arrays, make_result, measure

LINK = re.compile(r'<a class="pointer" href="result.json#([^"]*)"[^>]*>([^<]*)</a>')


def follow(document: Any, pointer: str) -> Any:
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        document = document[int(key)] if isinstance(document, list) else document[key]
    return document


def read(shown: str) -> tuple[float, float]:
    """A number as it is told, and half a unit of its last digit."""
    number = shown.replace("\N{MINUS SIGN}", "-").removesuffix("\N{NARROW NO-BREAK SPACE}%")
    half = 0.5001 * 10.0 ** Decimal(number).as_tuple().exponent
    return float(number), half


@pytest.mark.parametrize("artefact", ["tag", "a/b ~ c", '100 % "tag" <b>', "tag\u202egat", "שלום", "x" * 300])
def test_every_link_leads_to_the_number_that_it_stands_on(artefact):
    result = make_result(artefact=artefact)
    saved = json.loads(result_to_json(result))
    links = LINK.findall(render_html(result, make_arrays()))
    assert len(links) > 100
    for pointer, shown in links:
        found = follow(saved, unquote(pointer))
        hundredths = 100 if found["unit"] == "share" else 1
        told, half = read(shown)
        assert told == pytest.approx(hundredths * found["value"], abs=half), pointer


def test_all_numbers_of_a_finding_are_linked():
    result = make_result()
    linked = {unquote(pointer) for pointer, _ in LINK.findall(render_html(result, make_arrays()))}
    for name in (name for name, measured in result.findings[0].measurements.items() if measured.value is not None):
        assert f"/findings/0/measurements/{name}" in linked


def test_a_number_that_is_of_no_result_has_no_place():
    assert pointer_of(measure(1.0)) == ""
    assert pointer_of(point({"a/b": [measure(1.0)]})["a/b"][0]) == "/a~1b/0"
    assert point({"a": [measure(1.0)]})["a"][0] != measure(2.0)
