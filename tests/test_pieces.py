"""What a study tells in pieces is saved, checked, and drawn alike whoever tells it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pydantic
import pytest

from auditor.measure.pieces import (
    Abreast,
    Answer,
    Answers,
    Column,
    Curves,
    Glossary,
    Interval,
    IntervalPlot,
    Judged,
    Line,
    Matrix,
    Picture,
    Piece,
    Remark,
    Row,
    Strip,
    Table,
    Told,
    check_pieces,
)
from auditor.report.packing import embed
from auditor.report.page import fill_page, view_page
from auditor.report.presentable import Pictures, present
from tests.synthetic import make_arrays, make_result, measure

KINDS = get_args(get_args(Piece)[0])
NAN = float("nan")


def tell_all() -> list[Piece]:
    """Every kind of piece, with everything that it can hold."""
    half, none = measure(0.5), replace(measure(0.5), value=None, low=None, high=None, reason="nothing to measure")
    rows = [
        Row("first", ["a text", half, Judged(half, "failed", "signed"), None], "what it means", "open"),
        Row("second", ["other text", none, Judged(half), half], method="grad_cam (conv)"),
    ]
    plot = IntervalPlot("Intervals.", [Interval("one", half, "subject"), Interval("two", none)], "share", bar=0.4)
    curves = Curves("Curves.", [Line("one", [(0.0, 1.0), (10.0, half)]), Line("two", [(0.0, 0.2)], True)], "steps", "y")
    strip = Strip("Pictures", [Picture("mean", "the mean", "a value"), Picture("map", "a map", under="mean")])
    return [
        Answer("It does.", "One thing:"),
        Answers([Answer("Yes."), Answer("No.", "Another:")]),
        Remark("More is under", section="regions"),
        Remark("Beware.", "warning"),
        Glossary({"word": "meaning"}),
        Table("A table", ["Name", *(Column(name, "meant", "bold") for name in "abcd")], rows, "Its caption"),
        Matrix("A matrix", ["x", "y"], [Row("x", [None, half]), Row("y", [half, None])]),
        plot,
        curves,
        strip,
        Abreast([plot, curves]),
        Told("A question?", [Answer("An answer."), Told("Another?", [Answer("Deep.")])]),
    ]


def draw(pieces: list[Piece], pictures: Pictures = "all") -> str:
    """The part of a page that shows what a section of a user's own told."""
    kept = make_arrays() | {"map": np.ones((8, 8, 3), np.float32)}
    result = replace(make_result(), told={"mine": Told("Mine", pieces)})
    page = view_page(present(result, kept, pictures), run="")
    found = re.search(
        r'<section id="told-0".*?</section>', embed(fill_page(page, []), page.album, page.style), re.DOTALL
    )
    assert found is not None
    return found[0]


class TestPieces:
    def test_every_kind_is_among_those_tried_here(self):
        assert {type(piece) for piece in tell_all()} == set(KINDS)

    def test_come_back_from_json_as_they_were(self):
        pieces = pydantic.TypeAdapter(list[Piece])
        assert pieces.validate_json(pieces.dump_json(tell_all())) == tell_all()

    def test_that_fit_are_given_back(self):
        assert check_pieces(tell_all(), {"mean": 0, "map": 0}) == tell_all()

    @pytest.mark.parametrize(
        ("told", "said"),
        [
            (None, "list"),
            (Answer("not in a list"), "list"),
            ([measure(0.5)], "kind"),
            (["a text"], "wanted a list of pieces: 0"),
            ([Told("q", [Answer(3)])], "0.told.pieces.0.answer.text"),
            ([Table("t", ["a"], [Row("r", [1.5])])], "0.table.rows.0.cells.0"),
            ([Table("t", ["a"], [Row("r", [measure(NAN)])])], "JSON"),
            ([Curves("c", [Line("l", [(0.0, NAN)])], "x", "y")], "JSON"),
            ([Table("t", ["a"], [Row("r", [measure(np.float32(1))])])], "JSON"),
            ([Told("q", [Abreast([Strip("s", [Picture("lost", "c")])])])], "no array was kept as 'lost'"),
            ([Strip("s", [Picture("map", "c", under="lost")])], "no array was kept as 'lost'"),
        ],
    )
    def test_that_do_not_fit_are_refused_and_the_place_is_named(self, told: Any, said: str):
        with pytest.raises(ValueError, match=re.escape(said)):
            check_pieces(told, {"map": 0})


class TestPage:
    def test_shows_all_that_a_piece_of_any_kind_holds(self):
        shown = draw(tell_all())
        texts = [
            "It does.", "One thing:", "Another:", "Beware.", "word", "meaning", "Its caption", "a text", "signed",
            "what it means", "nothing to measure", "failed its tests", "A matrix", "Intervals.", "Curves.", "the mean",
            "a value", "A question?", "An answer.", "Another?", "Deep.",
        ]  # fmt: skip
        assert [text for text in texts if text not in shown] == []
        assert '<a href="#regions">Where the maps look</a>' in shown
        assert shown.count("<svg") == 8  # each for a wide page and for a phone

    def test_leads_from_a_number_to_its_place_in_the_result(self):
        shown = draw([Table("t", ["a"], [Row("r", [measure(0.5)])])])
        assert 'href="result.json#/told/mine/pieces/0/rows/0/cells/0"' in shown

    def test_takes_no_text_for_markup(self):
        bad = "<script>1</script>"
        pieces = [
            Answer(bad, bad), Remark(bad), Glossary({bad: bad}), Told(bad, []), Matrix(bad, [bad], [Row(bad, [None])]),
            Table(bad, [Column(bad, bad, bad)], [Row(bad, [bad], bad, method=bad)], bad),
            Curves(bad, [Line(bad, [(0.0, 1.0)])], bad, bad, bad, name=bad, mark=0.5, mark_name=bad),
            Strip(bad, [Picture("map", bad, bad, alt=bad)]),
            IntervalPlot(bad, [Interval(bad, measure(0.5))], bad, bad, name=bad, bar=0.4, bar_name=bad),
        ]  # fmt: skip
        assert bad not in draw(pieces)

    def test_curves_have_bands_marks_and_steps_also_where_there_is_nothing_to_draw(self):
        band = Line("a band", [(0.0, measure(0.5)), (40.0, measure(0.7))], has_band=True)
        shown = draw([Curves("c", [band], "step", "y", mark=3.0, mark_name="a mark", are_steps=True)])
        assert [text for text in ("a band", "a mark", ">10<", ">40<") if text not in shown] == []
        assert 'class="band ' in shown
        assert draw([Curves("c", [], "step", "y", are_steps=True)]).count("<svg") == 2
        unnamed = draw([Curves("c", [Line("", [(0.0, 1.0), (1.0, 2.0)])], "x", "y")])
        assert unnamed.count("<polyline") == 2

    def test_withholds_pictures_of_a_section_of_ones_own(self):
        strip = [Strip("s", [Picture("mean", "mean"), Picture("map", "map", under="mean")])]
        every, some = (set(re.findall(r'src="([^"]+)"', draw(strip, pictures))) for pictures in ("all", "none"))
        assert every
        assert not every & some
