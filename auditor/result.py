"""An audit's whole result, and its JSON: a report is a pure function of an `AuditResult` and its arrays."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

import pydantic

from auditor.errors import ReportError
from auditor.explanations import ActivationRecord, ContrastRecord, CounterfactualRecord, TrustRecord
from auditor.records import (
    Agreement,
    ArtefactRecord,
    DataRecord,
    Exemplar,
    Finding,
    MethodRecord,
    ModelRecord,
    Provenance,
    RegionScores,
    Rule,
)

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class AuditResult:
    """Everything an audit found; a report needs this and the arrays, nothing else."""

    schema_version: int
    title: str
    calibrated: bool
    """Whether the thresholds were calibrated on models of known truth."""
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
    warnings: list[str]
    provenance: Provenance
    preface: str = ""
    """The user's own words about the audit."""
    trust: TrustRecord | None = None
    """This and those below: null where the study did not run, which the `MethodRecord` of its name explains."""
    activation_maximisation: ActivationRecord | None = None
    counterfactual: CounterfactualRecord | None = None
    contrastive: ContrastRecord | None = None


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
    """Text of `result.json`: indented, keys in the order of the records, no NaN."""
    data = _adapter().dump_python(result, mode="json")
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def result_from_json(text: str, where: str) -> AuditResult:
    """Read a result back.

    Raises
    ------
    ReportError
        The text is no JSON, of another schema version, or does not fit the schema.
    """
    try:
        data = json.loads(text)
    except json.JSONDecodeError as fault:
        raise ReportError(f"{where}:{fault.lineno}:{fault.colno}: not JSON: {fault.msg}") from None
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version != SCHEMA_VERSION:
        raise ReportError(f"{where}: schema_version: got {version!r}, wanted {SCHEMA_VERSION}")
    try:
        return _adapter().validate_python(data)
    except pydantic.ValidationError as fault:
        first = fault.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ReportError(f"{where}: {place}: {first['msg']} ({fault.error_count()} faults)") from None
