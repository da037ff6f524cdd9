"""An audit's whole result, and its JSON: a report is a pure function of an `AuditResult` and its arrays."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import pydantic

from auditor.artefacts.record import ArtefactRecord
from auditor.errors import ReportError
from auditor.explain.attribution.record import Agreement, Exemplar, MethodRecord, RegionScores
from auditor.explain.counterfactual.record import CounterfactualRecord
from auditor.explain.errors.record import ErrorsRecord
from auditor.explain.optima.record import OptimaRecord
from auditor.explain.trust.record import TrustRecord
from auditor.measure.measurement import Note
from auditor.measure.pieces import Told
from auditor.run.migrate import SCHEMA_VERSION, migrate
from auditor.run.provenance import Provenance
from auditor.run.ruling import GateRecord
from auditor.run.suspects import DiscoveryRecord, Suspect
from auditor.subject.record import DataRecord, ModelRecord
from auditor.verdict.record import Finding, Rule


@dataclass(frozen=True)
class WorkUnit:
    """A part of an audit that is done, and kept, as a whole."""

    name: str
    status: Literal["done", "missing", "error", "left_out"]
    """Missing where the audit ended before it; left out where the time that it may take did."""
    reason: str | None = None
    """Why it failed, or was left out ..."""
    trace: str = ""
    """... and the traceback of what it threw."""


@dataclass(frozen=True)
class AuditResult:
    """Everything an audit found; a report needs this and the arrays, nothing else."""

    schema_version: int
    title: str
    calibrated: bool
    """Whether it is known for every finding how often such verdicts err on models of known truth."""
    rule: Rule
    exit_code: int
    findings: list[Finding]
    artefacts: list[ArtefactRecord]
    region_scores: list[RegionScores]
    methods: list[MethodRecord]
    agreement: list[Agreement]
    exemplars: list[Exemplar]
    model: ModelRecord
    data: DataRecord
    warnings: list[Note]
    provenance: Provenance
    preface: str = ""
    """The user's own words about the audit."""
    trust: TrustRecord | None = None
    """This and those below: null where the study did not run, which the `MethodRecord` of its name explains."""
    optima: OptimaRecord | None = None
    counterfactual: CounterfactualRecord | None = None
    errors: ErrorsRecord | None = None
    told: dict[str, Told] = field(default_factory=dict)
    """What studies and sections of a user's own tell, by their names in `audit.toml`."""
    made_up: list[str] = field(default_factory=list)
    """Keys of the arrays that show nothing of the audited images: every other one may have to be withheld."""
    suspects: list[Suspect] = field(default_factory=list)
    """What nobody named and the audit found worth testing, the foremost first; those judged have a finding."""
    discovery: DiscoveryRecord | None = None
    """How suspects were looked for; null where they were not."""
    units: list[WorkUnit] = field(default_factory=list)
    """In the order of the audit; empty in runs from before there were any."""
    gate: GateRecord | None = None
    """What the gate says; null where none is configured."""

    @property
    def final_code(self) -> int:
        """What a command ends with: 3 where something failed, else the gate's code, else that of the verdicts."""
        return self.exit_code if self.gate is None or self.exit_code == 3 else self.gate.exit_code


@cache
def _adapter() -> pydantic.TypeAdapter[AuditResult]:
    return pydantic.TypeAdapter(AuditResult)


def result_schema() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of `result.json`."""
    schema = _adapter().json_schema(mode="serialization")
    for record in [schema, *schema["$defs"].values()]:
        if "properties" in record:
            record["additionalProperties"] = False
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def result_to_json(result: AuditResult) -> str:
    """Text of `result.json`: indented, keys in the order of the records, no NaN.

    Halves of surrogate pairs, which names of files may hold and no encoding, are escaped.
    """
    data = _adapter().dump_python(result, mode="json")
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def result_from_json(text: str, where: str) -> AuditResult:
    """Read a result back.

    Raises
    ------
    ReportError
        The text is no JSON, of another schema version, or does not fit the schema.
    """
    try:
        data = json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as fault:
        raise ReportError(f"{where}:{fault.lineno}:{fault.colno}: not JSON: {fault.msg}") from None
    except (ValueError, RecursionError) as fault:
        raise ReportError(f"{where}: not JSON: {fault}") from None
    version = data.get("schema_version") if isinstance(data, dict) else None
    if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version <= SCHEMA_VERSION:
        is_newer = isinstance(version, int) and version > SCHEMA_VERSION
        newer = "; a newer Auditor wrote it, update this one" if is_newer else ""
        raise ReportError(f"{where}: schema_version: got {version!r}, wanted 1 to {SCHEMA_VERSION}{newer}")
    data = migrate(data)
    try:
        result = _adapter().validate_python(data)
    except pydantic.ValidationError as fault:
        first = fault.errors()[0]
        place = ".".join(str(part) for part in first["loc"][:_DEEP]) + (" …" if len(first["loc"]) > _DEEP else "")
        raise ReportError(f"{where}: {place}: {first['msg']} ({fault.error_count()} faults)") from None
    for number, finding in enumerate(result.findings):
        if finding.endpoint is not None and finding.endpoint not in finding.measurements:
            raise ReportError(f"{where}: findings.{number}.endpoint: {finding.endpoint!r} is none of its measurements")
    return result


_DEEP = 12
"""Steps of a place that are told."""


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")
