"""What can go wrong, for the user of the audit.

    AuditError            exit code
    ├── ConfigError       2   the configuration, or a file it names, is at fault
    │   └── TemplateError 2   a template of the user's own cannot be drawn
    ├── ModelError        3   the model cannot be loaded, read or explained
    │   └── NotFiniteError 3  it gives no numbers for some images
    ├── MethodError       3   a method, study or exporter failed; the verdicts stand
    ├── DataError         3   the images, labels or masks cannot be read or used
    │   └── MisfitError   2   they can be read, and do not fit the model or the configuration
    ├── StoreError        3   an object store cannot be reached, or what reaches it is not installed
    │   └── NotGivenError 3   it can, and something on it is not there, denied, or not as long as it says
    ├── EngineError       3   the workers that an audit was to be spread over cannot be had, or are of another kind
    │   └── EngineLostError 3 what holds them together was lost in the middle of an audit
    └── ReportError       3   a saved run cannot be read, or its report not be written

Our own bugs are `AssertionError`s; the command line alone catches them, shows them whole and ends with 3.
"""

from __future__ import annotations

from typing import Any


class AuditError(Exception):
    """A fault the user can mend; its text is one sentence: where, what, got, wanted."""

    exit_code = 3


class ConfigError(AuditError):
    """The configuration is at fault; several faults stand on lines of their own."""

    exit_code = 2

    def __init__(self, message: str, path: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.path = path
        """The key at fault, where it is one."""


class OptionError(ConfigError):
    """One option has an unusable value; whoever knows the file adds where it stands."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(f"{option}: {message}" if option else message)
        self.option = option
        self.message = message


class TemplateError(ConfigError):
    """A template of the user's own, or the folder that holds it, cannot be used."""


class ModelError(AuditError):
    """The model cannot be loaded, read or explained."""


class NotFiniteError(ModelError):
    """What the model gives for some images is NaN or infinite."""

    def __init__(self, message: str, rows: Any = None) -> None:
        super().__init__(message)
        self.rows = rows
        """Which images (n,) of the call, where that is known."""


class MethodError(AuditError):
    """A method, study, section or exporter failed, ours or the user's: the verdicts stand without it."""

    def __init__(self, name: str, fault: BaseException, trace: str = "") -> None:
        self.name = name
        """Of what failed."""
        self.reason = describe_fault(fault)
        self.trace = trace
        """Its traceback, for who is to mend it."""
        super().__init__(f"{name}: {self.reason}")


class DataError(AuditError):
    """The images, labels, groups or masks cannot be used."""


class MisfitError(DataError):
    """The data are whole, and do not fit the model or what the configuration says of them: the user's to mend."""

    exit_code = 2


class StoreError(AuditError):
    """An object store cannot be reached, read or written."""


class NotGivenError(StoreError):
    """One thing on a store is not there, may not be read, or is not what the store says of it."""

    def __init__(self, place: object, reason: str) -> None:
        super().__init__(place, reason)
        self.reason = reason
        """Without the place."""

    def __str__(self) -> str:
        return f"{self.args[0]}: {self.reason}"


class EngineError(AuditError):
    """Workers cannot be had, differ from the process that asked for them, or failed at a unit of work too often."""


class EngineLostError(EngineError):
    """What holds the workers together was lost in the middle of an audit.

    Ray would crash a process that ends as usual after that: who tells of it on a command line ends it at once.
    """


class ReportError(AuditError):
    """A saved run cannot be read, or a report cannot be written."""


def describe_fault(fault: BaseException) -> str:
    """What was raised, in a line."""
    if isinstance(fault, AuditError):
        return str(fault)
    if isinstance(fault, MemoryError):
        return "out of memory; lower model.batch_size or explain.images"
    if isinstance(fault, SystemExit):
        return f"Python was told to exit (code {fault.code})"
    lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
    return f"{type(fault).__name__}: {lines[0][:300] if lines else 'no message'}"


class TimeUp(BaseException):
    """No fault but a signal, which no method or study catches: the time that explanations may take is over."""
