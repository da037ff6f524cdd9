"""The answer of each section in a line, for the column beside the report and the folded appendix."""

from __future__ import annotations

from auditor.measure.words import number, say_effect
from auditor.report.gravity import by_gravity, tell_counts
from auditor.report.methods import read_methods
from auditor.report.sections.methods_compared import points_at
from auditor.report.telling import deciding, tell_cautions, tell_severity
from auditor.report.words import VERDICTS
from auditor.run.result import AuditResult


def tell_answers(result: AuditResult) -> dict[str, str]:
    """Id of a section -> its answer, without a full stop; sections without one are left out."""
    findings = [result.findings[at] for at in by_gravity(result.findings)]
    told: dict[str, str] = {}
    if findings:
        first = findings[0]
        effect = deciding(first)
        cautions = sum(len(tell_cautions(finding)) for finding in findings)
        told["verdict"] = tell_counts(findings) or VERDICTS[first.told][1].lower()
        told["severity"] = tell_severity(first)
        told["certainty"] = "no effect was measured" if effect is None else say_effect(effect.measured)
        if cautions:
            told["certainty"] += f"; {cautions} caution{'' if cautions == 1 else 's'}"
    limits = len(result.warnings) + sum(len(finding.notes) for finding in findings)
    told["limits"] = "other artefacts, other images" + (f"; {limits} remarks" if limits > 1 else "")
    accuracy = result.data.accuracy
    told["accuracy"] = f"{result.data.used} images"
    if result.data.labelled and accuracy.value is not None:
        told["accuracy"] += f", {number(accuracy.value, 'share')} right"
    return told | _appendix(result)


def _appendix(result: AuditResult) -> dict[str, str]:
    told = {"gallery": _count(len(result.exemplars), "image"), "skipped": _count(len(result.data.skipped), "image")}
    scored = [entry for entry in result.region_scores if entry.scores]
    if scored:
        pointing = sum(points_at(entry, result) == "points" for entry in scored)
        told["methods_compared"] = told["regions"] = f"{pointing} of {len(scored)} maps point at the artefact"
    if result.trust is not None:
        failed, count = len(read_methods(result.trust).failed), len(result.trust.methods)
        passed = sum(entry.status == "passed" for entry in result.trust.methods)
        told["trust"] = f"{passed} of {count} methods passed, {failed} failed"
    if result.optima is not None:
        told["optima"] = _count(len(result.optima.classes), "class")
    if result.errors is not None:
        told["errors"] = _count(result.errors.errors, "error")
    if result.counterfactual is not None:
        told["counterfactual"] = _count(sum(not entry.control for entry in result.counterfactual.sets), "question")
    for study in ("trust", "optima", "errors", "counterfactual"):
        told.setdefault(study, "not run")
    told["methods"] = _count(sum(record.status == "ok" for record in result.methods), "method") + " run"
    return told


def _count(count: int, what: str) -> str:
    plural = f"{what}es" if what.endswith("s") else f"{what}s"
    return f"{count or 'no'} {what if count == 1 else plural}"
