"""The pytest plugin: a marked test compares its model with a golden run, and what differs is its failure."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import auditor
from tests.numpy_world import build_numpy_world, set_strength
from tests.small_world import World

pytest_plugins = ["pytester"]

PLUGIN = "auditor.auditing.integrations.pytest_plugin"

TEST = """
    import pytest

    @pytest.mark.auditor("audit.toml")
    def test_takes_no_shortcut():
        pass
"""


@pytest.fixture(scope="module", autouse=True)
def loaded(tmp_path_factory: pytest.TempPathFactory) -> None:
    """All that an audit loads: pytester forgets what is loaded within it, and not every library can be loaded twice."""
    with pytest.MonkeyPatch.context() as patch:
        auditor.audit(build_numpy_world(tmp_path_factory.mktemp("loaded"), patch).config)


@pytest.fixture
def small(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world with one marked test beside its configuration, in which the plugin is loaded by name alone."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("CI", raising=False)
    world = build_numpy_world(pytester.path, monkeypatch)
    pytester.makepyfile(test_model=TEST)
    return world


@pytest.fixture
def run(pytester: pytest.Pytester):
    return lambda *words: pytester.runpytest("-p", PLUGIN, "-p", "no:cacheprovider", *words)


class TestGolden:
    def test_without_one_the_test_fails_and_says_how_to_write_it(self, small: World, run) -> None:
        ended = run()
        ended.assert_outcomes(failed=1)
        ended.stdout.fnmatch_lines(["*golden_audits/audit: no golden run there. pytest --update-audit writes one*"])

    def test_is_wanted_by_methods_of_classes_of_every_kind(self, small: World, run, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            test_model="""
                import unittest
                import pytest

                class TestCase(unittest.TestCase):
                    @pytest.mark.auditor("audit.toml")
                    def test_takes_no_shortcut(self):
                        pass

                @pytest.mark.auditor("audit.toml")
                class TestPlain:
                    def test_takes_no_shortcut(self):
                        pass
            """
        )
        run().assert_outcomes(failed=2)
        run("--update-audit").assert_outcomes(passed=2)
        run().assert_outcomes(passed=2)

    def test_the_same_model_passes_and_reports_nothing(self, small: World, run) -> None:
        written = run("--update-audit")
        written.assert_outcomes(passed=1)
        written.stdout.fnmatch_lines(["golden run written: *golden_audits/audit; read the difference*"])
        assert sorted(file.name for file in (small.folder / "golden_audits" / "audit").iterdir()) == [
            "arrays.npz", "hashes.json", "result.json", "rows.parquet",
        ]  # fmt: skip
        run().assert_outcomes(passed=1)
        assert not (small.folder / "reports").exists()

    def test_another_verdict_fails_and_says_what_was_and_what_is(self, small: World, run) -> None:
        run("--update-audit")
        set_strength(small, 0.0)
        ended = run()
        ended.assert_outcomes(failed=1)
        told = ["*audit.toml: not as the golden run in *", "  mark → boat: was relies (promotes boat), is no evidence"]
        ended.stdout.fnmatch_lines([*told, "If it is meant*"])
        run("--update-audit").assert_outcomes(passed=1)
        run().assert_outcomes(passed=1)

    def test_a_stronger_shortcut_of_the_same_verdict_fails_by_the_images(self, small: World, run) -> None:
        set_strength(small, 1.0)
        run("--update-audit")
        set_strength(small, 2.0)
        ended = run()
        ended.assert_outcomes(failed=1)
        ended.stdout.fnmatch_lines(["  effect, accepted mark → boat: The effect is worse than accepted: it grew by*"])

    def test_a_weaker_shortcut_passes(self, small: World, run) -> None:
        set_strength(small, 2.0)
        run("--update-audit")
        set_strength(small, 1.0)
        run().assert_outcomes(passed=1)

    def test_the_gate_of_the_configuration_decides_where_there_is_one(self, small: World, run) -> None:
        small.add('[gate]\npreset = "release"\n')
        run("--update-audit")
        ended = run()
        ended.assert_outcomes(failed=1)
        ended.stdout.fnmatch_lines(["  relies mark → boat: Inserting mark raises*"])

    def test_a_damaged_one_fails_in_one_sentence(self, small: World, run) -> None:
        run("--update-audit")
        (small.folder / "golden_audits" / "audit" / "rows.parquet").write_bytes(b"")
        ended = run()
        ended.assert_outcomes(failed=1)
        ended.stdout.fnmatch_lines(["*rows.parquet: damaged*"])
        ended.stdout.no_fnmatch_line("*Traceback*")

    def test_a_folder_with_something_else_is_never_replaced(self, small: World, run) -> None:
        kept = small.folder / "golden_audits" / "audit" / "thesis.txt"
        kept.parent.mkdir(parents=True)
        kept.write_text("mine")
        run("--update-audit").assert_outcomes(failed=1)
        assert kept.read_text() == "mine"


class TestMark:
    def test_the_fixture_gives_the_run_and_the_test_s_own_lines_are_run(
        self, small: World, run, pytester: pytest.Pytester
    ) -> None:
        pytester.makepyfile(
            test_model="""
            import pytest

            @pytest.mark.auditor("audit.toml", golden="kept/here", set=["verdict.margin_sd=0.3"])
            def test_reads(audited):
                assert audited.result.rule.margin_sd == 0.3
                assert audited.findings[0].verdict == "no_evidence"
            """
        )
        ended = run("--update-audit")
        ended.assert_outcomes(failed=1)
        ended.stdout.fnmatch_lines(["*assert 'relies' == 'no_evidence'*"])
        assert (small.folder / "kept" / "here" / "result.json").is_file()

    def test_a_model_is_audited_once_for_many_tests(self, small: World, run, pytester: pytest.Pytester) -> None:
        pytester.makepyfile(
            test_model="""
            import pytest

            seen = []

            @pytest.mark.auditor("audit.toml")
            @pytest.mark.parametrize("number", range(3))
            def test_reads(audited, number):
                seen.append(audited)
                assert all(run is seen[0] for run in seen)
            """
        )
        run("--update-audit").assert_outcomes(passed=3)

    @pytest.mark.parametrize(
        ("test", "said"),
        [
            ("def test_it(audited): pass", '*wanted @pytest.mark.auditor("audit.toml") on the test*'),
            ("@pytest.mark.auditor\ndef test_it(): pass", "*got 0 configurations, wanted*"),
            ('@pytest.mark.auditor("audit.toml", gold="x")\ndef test_it(): pass', "*got unknown 'gold', wanted*"),
            ('@pytest.mark.auditor("nowhere.toml")\ndef test_it(): pass', "*nowhere.toml: no such file*"),
        ],
    )
    def test_a_wrong_one_is_one_sentence(
        self, small: World, run, pytester: pytest.Pytester, test: str, said: str
    ) -> None:
        pytester.makepyfile(test_model=f"import pytest\n{test}\n")
        ended = run()
        ended.stdout.fnmatch_lines([said])
        ended.stdout.no_fnmatch_line("*Traceback*")
        assert ended.ret != 0


class TestLoading:
    def test_writing_is_refused_in_continuous_integration(
        self, small: World, run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CI", "true")
        ended = run("--update-audit")
        assert ended.ret == pytest.ExitCode.USAGE_ERROR
        ended.stderr.fnmatch_lines(["*--update-audit: refused where CI is set*"])
        assert not (small.folder / "golden_audits").exists()

    def test_it_loads_nothing_heavy(self) -> None:
        code = f"import sys, pytest; before = set(sys.modules); import {PLUGIN}; print(*set(sys.modules) - before)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        loaded = {name for name in done.stdout.split() if not name.startswith("auditor")}
        assert loaded <= {"importlib.metadata", "warnings"} | set(sys.stdlib_module_names)

    def test_tests_without_the_mark_are_left_alone(self, tmp_path: Path, pytester: pytest.Pytester) -> None:
        """As an installed package offers it to every project, with warnings made errors, and markers strict."""
        place = tmp_path / "site" / "offered-1.dist-info"
        place.mkdir(parents=True)
        (place / "METADATA").write_text("Metadata-Version: 2.1\nName: offered\nVersion: 1\n")
        (place / "entry_points.txt").write_text(f"[pytest11]\nauditor = {PLUGIN}\n")
        pytester.makepyfile(
            test_other="""
            import sys

            def test_other():
                assert "auditor.run" not in sys.modules
                assert "numpy" not in sys.modules
            """
        )
        code = textwrap.dedent(
            f"""
            import sys; sys.path.insert(0, {str(place.parent)!r})
            import pytest
            sys.exit(pytest.main(["-W", "error", "--strict-markers", "-p", "no:cacheprovider", "-q"]))
            """
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=pytester.path)
        assert done.returncode == 0, done.stdout + done.stderr
