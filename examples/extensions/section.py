"""A section of the report of one's own, in one file.

    [report]
    sections = ["section:sign_off"]

It tells what it has to say in pieces, and needs no template; numbers link to their places in `result.json`.
"""

from auditor import Answer, Arrays, AuditResult, Piece, Remark, Row, Table


def sign_off(result: AuditResult, arrays: Arrays) -> list[Piece]:
    """Who may sign this off?"""
    relies = [finding for finding in result.findings if finding.verdict == "relies"]
    answer = "Nobody, as it is." if relies else "The owner of the model."
    rows = [Row(finding.artefact, [finding.verdict, finding.effect]) for finding in result.findings]
    table = Table("Verdicts", ["Artefact", "Verdict", "Effect"], rows)
    return [Answer(answer), table, Remark("Our house rule, not Auditor's.")]
