"""Audits while a model is trained, and in MLflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import auditor
from auditor.auditing.integrations.mlflow import metrics_of, tags_of
from auditor.errors import ConfigError
from tests.small_world import World, make_data, make_model


def training(model):
    """Pictures and labels of a training that hardly changes the model."""
    import keras

    model.compile(keras.optimizers.SGD(1e-9), "sparse_categorical_crossentropy", jit_compile=False)
    data = make_data()
    return data["images"].astype(np.float32), data["labels"]


class TestCallback:
    def test_a_model_that_learns_a_shortcut_is_warned_of_and_stopped(self, world: World):
        model = make_model(shortcut=True)
        callback = auditor.AuditCallback(world.config, every=2, stop=True)
        with pytest.warns(auditor.AuditWarning, match="epoch 1: mark -> boat: "):
            history = model.fit(*training(model), epochs=6, verbose=0, callbacks=[callback])
        assert list(callback.findings) == [1]
        assert [finding.verdict for finding in callback.findings[1]] == ["relies"]
        assert len(history.epoch) == 2
        assert history.history["mark -> boat"][0] == pytest.approx(callback.findings[1][0].effect.value)
        assert not world.runs()

    def test_an_honest_one_goes_on_without_a_word(self, world: World):
        model = make_model(shortcut=False)
        callback = auditor.AuditCallback(world.config, every=1, stop=True, overrides=["data.limit=30"])
        with warnings.catch_warnings():
            warnings.simplefilter("error", auditor.AuditWarning)
            history = model.fit(*training(model), epochs=2, verbose=0, callbacks=[callback])
        assert len(history.epoch) == 2
        assert all(finding.verdict != "relies" for found in callback.findings.values() for finding in found)

    def test_an_audit_that_fails_does_not_end_the_training(self, world: World):
        model = make_model()
        (world.folder / "images.npz").unlink()
        with pytest.warns(auditor.AuditWarning, match="epoch 0: the audit failed: .*images.npz"):
            history = model.fit(
                *training(model), epochs=1, verbose=0, callbacks=[auditor.AuditCallback(world.config, stop=True)]
            )
        assert len(history.epoch) == 1

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"every": 0}, "every: got 0, wanted 1 epoch or more"),
            ({"every": "2"}, "every: got '2', wanted 1 epoch or more"),
            ({"overrides": "data.limit=20"}, "overrides: got 'data.limit=20', wanted a list of such texts"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, world: World, options, told):
        with pytest.raises(ConfigError, match=told):
            auditor.AuditCallback(world.config, **options)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> auditor.AuditedRun:
    from tests.small_world import build_world

    world = build_world(tmp_path_factory.mktemp("logged"))
    world.replace('name = "mark"', 'name = "../mark: ünï/é"')
    return auditor.audit(world.config)


class TestMlflow:
    def test_metrics_are_the_numbers_of_the_result_under_names_that_mlflow_takes(self, saved):
        metrics, (finding,) = metrics_of(saved.result), saved.findings
        path = "auditor/___mark_ ünï_é/boat"
        assert metrics["auditor/exit_code"] == 1
        assert metrics[f"{path}/effect"] == finding.effect.value
        assert metrics[f"{path}/effect_low"] < metrics[f"{path}/effect"] < metrics[f"{path}/effect_high"]
        assert metrics[f"{path}/insertion_lift"] == finding.measurements["insertion_lift"].value
        assert all(np.isfinite(value) for value in metrics.values())
        assert tags_of(saved.result)[f"{path}/verdict"] == "relies (promotes)"

    def test_two_findings_of_one_name_are_told_apart(self, saved):
        (finding,) = saved.findings
        other = replace(finding, artefact=finding.artefact.replace("é", "?"), target="boat")
        first, second = replace(finding, artefact="a?"), replace(other, artefact="a!")
        third = replace(finding, artefact="a?", target="boat 2")
        result = replace(saved.result, findings=[first, second, third])
        assert [name for name in tags_of(result) if name.endswith("verdict")] == [
            "auditor/a_/boat/verdict",
            "auditor/a_/boat 2/verdict",
            "auditor/a_/boat 2 2/verdict",
        ]

    def test_without_mlflow_it_says_how_to_install_it(self, saved, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setitem(sys.modules, "mlflow", None)
        with pytest.raises(ConfigError, match=r"pip install 'auditor\[mlflow\]'"):
            auditor.mlflow.log_run(saved)

    @pytest.mark.slow
    def test_a_run_is_logged_to_a_store_of_files(self, saved, world: World, tmp_path: Path):
        """In an environment of its own, for MLflow brings forty packages."""
        site = tmp_path / "site"
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(site), "mlflow-skinny>=3.1"]
        subprocess.run(install, check=True, capture_output=True)
        script = tmp_path / "log.py"
        script.write_text(LOG, encoding="utf-8")
        paths = [*filter(None, sys.path), str(site)]
        told = subprocess.run(
            [
                sys.executable,
                "-W",
                "ignore",
                str(script),
                str(saved.folder),
                str(tmp_path / "store"),
                str(world.config),
            ],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "MLFLOW_ALLOW_FILE_STORE": "true"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert told.returncode == 0, told.stderr
        logged = json.loads(told.stdout.splitlines()[-1])
        assert logged["metrics"] == pytest.approx(metrics_of(saved.result))
        assert tags_of(saved.result).items() <= logged["tags"].items()
        assert {"auditor/result.json", "auditor/report.html"} <= set(logged["artifacts"])
        assert logged["evaluated"]["auditor/mark/boat/effect"] == pytest.approx(
            saved.findings[0].effect.value, abs=1e-3
        )


LOG = """
import json, sys
import auditor, mlflow, pandas
mlflow.set_tracking_uri("file://" + sys.argv[2])
with mlflow.start_run() as active:
    auditor.mlflow.log_run(sys.argv[1])
client = mlflow.MlflowClient()
run = client.get_run(active.info.run_id)
files = [item.path for item in client.list_artifacts(active.info.run_id, "auditor")]
told = {"metrics": run.data.metrics, "tags": run.data.tags, "artifacts": files}
with mlflow.start_run():
    data = pandas.DataFrame({"prediction": [0, 1], "label": [0, 1]})
    done = mlflow.models.evaluate(
        data=data, predictions="prediction", targets="label", model_type="classifier", evaluators="auditor",
        evaluator_config={"config": sys.argv[3]},
    )
told["evaluated"] = done.metrics
print(json.dumps(told))
"""
