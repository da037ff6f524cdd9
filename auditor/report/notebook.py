"""A run as a notebook shows it: a card for each verdict, the pictures behind it, and the numbers as a table."""

from __future__ import annotations

from auditor.explain.attribution.record import Exemplar
from auditor.measure.ledger import Arrays
from auditor.report.pictures import picture_uri
from auditor.report.presentable import present
from auditor.report.templates import open_templates
from auditor.report.words import headline, subject
from auditor.run.result import AuditResult


def show_run(result: AuditResult, arrays: Arrays) -> str:
    """HTML without scripts, which shows no more of the images than the run's configuration allows."""
    presented = present(result, arrays)
    shown, kept = presented.result, presented.arrays
    explained: dict[tuple[str, str | None], Exemplar] = {
        (each.artefact, each.target): each for each in reversed(shown.exemplars)
    }  # the first of each finding
    view = {
        "result": shown,
        "cards": [(each, headline(each), explained.get((each.artefact, each.target))) for each in shown.findings],
        "subject": subject,
        "picture": lambda key: picture_uri(kept[key]),
    }
    return open_templates(autoescape=True).get_template("notebook.html.j2").render(view)
