"""A format of one's own, in one file: what a run becomes for another tool.

    [report]
    formats = ["html", "exporter:one_line"]

The file that it names stands in the run's folder, beside the report.
"""

from auditor import AuditedRun


def one_line(run: AuditedRun) -> tuple[str, bytes]:
    """The verdicts in a line, for a status page."""
    said = ", ".join(f"{finding.artefact} {finding.verdict.replace('_', ' ')}" for finding in run.findings)
    return "status.txt", f"{run.result.title}: {said or 'nothing to decide on'} (code {run.exit_code})\n".encode()
