"""A study of one's own, in one file: a question put to the model, and what is told of the answer.

    [methods."study:brightness"]
    steps = [-0.2, 0.2]              # its keyword-only parameters are its options

What it returns is saved in `result.json` and drawn by the report; it never enters the verdict.
"""

import numpy as np

from auditor import Answer, Inquiry, NotApplicableError, Piece, Row, Table, share_interval


def brightness(inquiry: Inquiry, *, steps: tuple[float, ...] = (-0.2, 0.2)) -> list[Piece]:
    """Does brightness alone turn answers?"""
    chosen = inquiry.select(inquiry.images.positions[:64])
    if not len(chosen):
        raise NotApplicableError("no image can be used")
    before = inquiry.classifier.scores(chosen.images).argmax(axis=1)
    rows = []
    for step in steps:
        after = inquiry.classifier.scores(np.clip(chosen.images + np.float32(step), 0, 1)).argmax(axis=1)
        rows.append(Row(f"{step:+.0%} of the range", [share_interval(after != before, chosen.groups, inquiry.level)]))
    worst = max((row.cells[0].value or 0.0) for row in rows)
    answer = f"Of {len(chosen)} images, {worst:.0%} change their class where brightness changes most."
    return [Answer(answer), Table("Answers that turn", ["Brighter by", "Turned"], rows)]
