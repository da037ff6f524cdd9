"""The table of models of every kind says what happens."""

from __future__ import annotations

import pytest

from tests import model_kinds


@pytest.mark.slow
def test_the_page_of_models_of_every_kind_says_what_happens(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    assert model_kinds.PAGE.read_text("utf-8") == model_kinds.write_page()
