"""An audit while a model is trained: verdicts every few epochs, and an end where a shortcut is learnt."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from auditor.auditing.api import audit_file
from auditor.errors import AuditError, ConfigError
from auditor.explain.table import METHODS
from auditor.verdict.record import Finding


class AuditWarning(UserWarning):
    """The model that is being trained relies on an artefact, or could not be audited."""


class AuditCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Audits the model that is being trained every few epochs; verdicts only, nothing is explained or written.

        model.fit(images, labels, callbacks=[auditor.AuditCallback("audit.toml", every=5, stop=True)])

    Each effect stands in the epoch's logs as `ARTEFACT -> CLASS`, so that other callbacks can watch it. What is relied
    on is an `AuditWarning`. An audit that fails is one too, and the training goes on.

    Parameters
    ----------
    config
        An `audit.toml`; the model that it names is not read, and its images should be none of the training's.
    every
        Epochs from one audit to the next.
    stop
        Whether training ends once an artefact is relied on.
    overrides
        `KEY=VALUE`, as the command's `--set` takes them: `data.limit=200` makes it cheaper.
    """

    def __init__(
        self, config: str | Path, *, every: int = 1, stop: bool = False, overrides: Sequence[str] = ()
    ) -> None:
        super().__init__()
        if not isinstance(every, int) or every < 1:
            raise ConfigError(f"AuditCallback: every: got {every!r}, wanted 1 epoch or more")
        if isinstance(overrides, str):
            raise ConfigError(f"AuditCallback: overrides: got {overrides!r}, wanted a list of such texts")
        self.config, self.every, self.stop = Path(config), every, stop
        self.overrides = [*overrides, *(f"methods.{name}.enabled=false" for name in METHODS)]
        self.findings: dict[int, list[Finding]] = {}
        """Epoch, counted from 0 -> what the audit after it found."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Audit, if it is time to."""
        if (epoch + 1) % self.every:
            return
        try:
            run = audit_file(self.config, model=self.model, overrides=self.overrides, is_kept=False)
        except AuditError as fault:
            warnings.warn(f"epoch {epoch}: the audit failed: {fault}", AuditWarning, stacklevel=2)
            return
        self.findings[epoch] = run.findings
        for finding in run.findings:
            name = f"{finding.artefact} -> {finding.target or 'every class'}"
            if logs is not None and finding.effect is not None:
                logs[name] = finding.effect.value
            if finding.verdict == "relies":
                warnings.warn(f"epoch {epoch}: {name}: {finding.reason}", AuditWarning, stacklevel=2)
                self.model.stop_training = self.model.stop_training or self.stop
