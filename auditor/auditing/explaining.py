"""A unit of explanation: what it finds grows the run, and what it throws becomes its own error."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from auditor.auditing.growing import Growing, changed
from auditor.auditing.plan import Section, describe_method
from auditor.errors import MethodError, TimeUp
from auditor.explain.attribution.exemplars import Case, explain_case
from auditor.explain.inquiry import Inquiry, NotApplicableError
from auditor.explain.table import STUDIES
from auditor.measure.pieces import Piece, Told, check_pieces


def explain_maps(growing: Growing, unit: str, case: Case, inquiry: Inquiry) -> None:
    """The maps of a case; the verdicts stand without them."""
    exhibits = growing.exhibits
    forget = exhibits.marked()
    try:
        explain_case(exhibits, case, inquiry)
        growing.end(unit)
    except TimeUp:
        forget()
        growing.leave_out(unit)
        return
    except (Exception, SystemExit) as fault:
        failure = MethodError(unit, fault, traceback.format_exc())
        growing.end(unit, failure)
        asked = [method.name for method in inquiry.attributions]
        exhibits.failures |= {name: failure for name in asked if name not in exhibits.diagnostics}
    for method in inquiry.attributions:
        growing.end_method(method.name, exhibits.failures.get(method.name))


def run_study(growing: Growing, name: str, study: Callable[[Inquiry], Any], inquiry: Inquiry) -> None:
    """What a study finds, or why it finds nothing.

    A method of attribution that fails in it fails alone, and the study is done without it; so it is without images that
    were found to be gone meanwhile.
    """
    inquiry = inquiry.of_what_is_there()
    try:
        found = study(inquiry)
        if name in STUDIES:
            growing.result = replace(growing.result, **{name: found})
        else:
            _tell(growing, name, study, check_pieces(found, {**growing.exhibits.arrays, **inquiry.arrays}))
        growing.end(name)
        growing.end_method(name)
    except TimeUp:
        inquiry.rows.clear()
        inquiry.arrays.clear()
        growing.leave_out(name)
    except NotApplicableError as obstacle:
        growing.end(name)
        methods = changed(growing.result.methods, name, status="not_applicable", reason=str(obstacle))
        growing.result = replace(growing.result, methods=methods)
    except (Exception, SystemExit) as fault:  # the verdicts stand without it
        inquiry.rows.clear()
        inquiry.arrays.clear()
        if len(inquiry.of_what_is_there().images) < len(inquiry.images):
            return run_study(growing, name, study, inquiry)
        others = [method for method in inquiry.attributions if method.name != getattr(fault, "name", None)]
        if isinstance(fault, MethodError) and len(others) < len(inquiry.attributions):
            growing.end_method(fault.name, fault)
            return run_study(growing, name, study, replace(inquiry, attributions=others))
        failure = MethodError(name, fault, traceback.format_exc())
        growing.end(name, failure)
        growing.end_method(name, failure)


def tell_section(growing: Growing, name: str, section: Section) -> None:
    """What a section of the user's tells of what is known."""
    try:
        arrays = growing.exhibits.arrays
        _tell(growing, name, section, check_pieces(section(growing.settled().result, arrays), arrays))
        growing.end(name)
    except (Exception, SystemExit) as fault:
        growing.end(name, MethodError(name, fault, traceback.format_exc()))


def _tell(growing: Growing, name: str, function: Callable[..., Any], pieces: list[Piece]) -> None:
    """What a function of the user's told, under the first sentence of its docstring."""
    title, _ = describe_method(getattr(function, "func", function))
    told = growing.result.told | {name: Told(title.rstrip(".") or name, pieces)}
    growing.result = replace(growing.result, told=told)
