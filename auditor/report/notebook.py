"""A run as a notebook shows it: a card for each verdict, the pictures behind it, and the numbers as a table."""

from __future__ import annotations

from auditor.explain.attribution.record import Exemplar
from auditor.measure.ledger import Arrays
from auditor.report.pictures import picture_uri
from auditor.report.presentable import present
from auditor.report.templates import open_templates
from auditor.report.words import named, subject
from auditor.run.result import AuditResult


def show_run(result: AuditResult, arrays: Arrays) -> str:
    """HTML without scripts, which shows no more of the images than the run's configuration allows."""
    presented = present(result, arrays)
    shown, kept = presented.result, presented.arrays
    cards = []
    for finding in shown.findings:
        effect = None if finding.endpoint is None else named(finding.endpoint, finding.measurements[finding.endpoint])
        about = (each for each in shown.exemplars if (each.artefact, each.target) == (finding.artefact, finding.target))
        first = next(about, None)
        artefact, target = subject(finding)
        cards.append(
            {
                "finding": finding,
                "artefact": artefact,
                "target": target,
                "effect": effect,
                "margin": f"{finding.margin:.3g}",
                "pictures": [] if first is None else _pictures(first, kept),
            }
        )
    view = {"title": shown.title, "cards": cards, "warnings": [warning.text for warning in shown.warnings]}
    return open_templates(autoescape=True).get_template("notebook.html.j2").render(view)


def _pictures(exemplar: Exemplar, arrays: Arrays) -> list[dict[str, str]]:
    """An image with the artefact and without it, and what the model says of each."""
    sides = [
        ("without it", exemplar.picture_without, exemplar.predicted_without),
        ("with it", exemplar.picture_with, exemplar.predicted_with),
    ]
    return [
        {"uri": picture_uri(arrays[key]), "caption": f"{side}: {predicted or '–'}"}
        for side, key, predicted in sides
        if key is not None
    ]
