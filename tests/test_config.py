"""The configuration: every key has its true place, types are strict, defaults live in one place, schemas are valid."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from pydantic import Field

from auditor.artefacts.kinds import ARTEFACT_KINDS
from auditor.config.file import AuditConfig, config_schema, read_config
from auditor.config.gate import PRESETS, write_preset
from auditor.config.options import bind_options, describe_options, dotted, is_function_spec, suggest
from auditor.config.places import find_places, nearest_place
from auditor.errors import ConfigError
from auditor.explain.table import METHODS

ROOT = Path(__file__).resolve().parents[1]

LEAST = '[model]\nsource = "m.keras"\n[data]\nsource = "d.npz"\n'

# the comment at the end of a line names the keys whose statement starts there
COMPLICATED = '''\
# a comment, then a key before any table
title = "one # two"  #: title
"quoted key" = 1  #: quoted key
numbers = [  #: numbers, numbers.0, numbers.1, numbers.2
  1,  # ] not the end
  2,
  3,
]

  indented = true  #: indented
[table]  #: table
dotted.deep.key = 1  #: table.dotted, table.dotted.deep, table.dotted.deep.key
inline = { a = 1, b = { c = [1, 2] } }  #: table.inline, table.inline.a, table.inline.b, table.inline.b.c
text = """  #: table.text
[table.not_a_table]
key = "not a key"
"""
literal = \'\'\'C:\\no # comment\'\'\'  #: table.literal
after = 2024-05-01  #: table.after

[[list]]  #: list, list.0
name = "first"  #: list.0.name
[list.options]  #: list.0.options
size = [1, 2]  #: list.0.options.size
[[list.inner]]  #: list.0.inner, list.0.inner.0
x = 1  #: list.0.inner.0.x
[[list.inner]]  #: list.0.inner.1
x = 2  #: list.0.inner.1.x

[[list]]  #: list.1
name = "second"  #: list.1.name
[[list.inner]]  #: list.1.inner, list.1.inner.0
x = 3  #: list.1.inner.0.x

[ table . "sub table" ]  #: table.sub table
key = \'\'\'  #: table.sub table.key
]
\'\'\'
last = """ends \\
    here"""  # comment
'''


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from leaves(item, (*path, key))


def read(folder: Path, text: str, *overrides: str) -> AuditConfig:
    file = folder / "audit.toml"
    file.write_text(text, encoding="utf-8")
    return read_config(file, overrides, kinds=ARTEFACT_KINDS, methods=METHODS)


class TestPlaces:
    def test_every_key_of_a_file_has_a_place(self) -> None:
        places = find_places(COMPLICATED)
        assert set(leaves(tomllib.loads(COMPLICATED))) == set(places)

    def test_a_key_stands_where_its_statement_starts(self) -> None:
        places = {".".join(map(str, path)): place for path, place in find_places(COMPLICATED).items()}
        named = set()
        for number, line in enumerate(COMPLICATED.split("\n"), start=1):
            for key in line.partition("#: ")[2].split(", ") if "#: " in line else []:
                assert places[key] == (number, len(line) - len(line.lstrip()) + 1), key
                named.add(key)
        assert {key for key in places if not key.startswith(("table.inline.b.c", "list.0.options.size"))} - named == {
            "table.sub table.last"
        }
        assert places["table.inline.b.c.1"] == places["table.inline"]

    @pytest.mark.parametrize("ending", ["\n", "\r\n"])
    def test_line_endings_do_not_move_a_key(self, ending: str) -> None:
        assert find_places(COMPLICATED.replace("\n", ending)) == find_places(COMPLICATED)

    @pytest.mark.parametrize("character", ["\u2028", "\x85", "\u00a0", "\t"])
    def test_characters_that_look_like_new_lines_are_none(self, character: str) -> None:
        assert find_places(f'a = "x{character}y"\nb = 1\n')[("b",)] == (2, 1)

    def test_a_thousand_labels_take_no_time_worth_mentioning(self) -> None:
        text = "labels = [\n" + "".join(f'  "class {number}",\n' for number in range(1000)) + "]\nlast = 1\n"
        places = find_places(text)
        assert places[("labels", 999)] == (1, 1)
        assert places[("last",)] == (1003, 0 + 1)

    def test_an_empty_file_has_no_keys(self) -> None:
        assert find_places("") == {}
        assert find_places("# nothing\n\n") == {}

    def test_what_has_no_place_of_its_own_stands_with_the_table_around_it(self) -> None:
        places = find_places("\n[model]\nsource = 1\n")
        assert nearest_place(places, ("model", "labels")) == (2, 1)
        assert nearest_place(places, ("model", "source", "deeper")) == (3, 1)
        assert nearest_place(places, ("data",)) == (1, 1)


class TestOverrides:
    def test_a_value_is_read_as_toml_or_else_as_text(self, tmp_path: Path) -> None:
        config = read(
            tmp_path, LEAST, "verdict.margin=1.5", "data.limit=all", 'report.title="7"', "report.formats=['html']",
            "model.source=other.keras", "data.seed = 3",
        )  # fmt: skip
        assert config.verdict.margin == 1.5
        assert config.data.limit == "all"
        assert config.report.title == "7"
        assert config.report.formats == ("html",)
        assert config.model.source == "other.keras"
        assert config.data.seed == 3

    def test_the_last_of_several_counts(self, tmp_path: Path) -> None:
        assert read(tmp_path, LEAST, "data.seed=1", "data.seed=2").data.seed == 2

    def test_an_item_of_a_list_is_named_by_its_number(self, tmp_path: Path) -> None:
        text = LEAST + "[[artefacts]]\nname = 'a'\nkind = 'lightness'\n" * 1
        config = read(tmp_path, text, "artefacts.0.strength=0.5")
        assert config.artefacts[0].options == {"strength": 0.5}

    def test_a_missing_section_is_made(self, tmp_path: Path) -> None:
        config = read(tmp_path, LEAST, "methods.smoothgrad.samples=8")
        assert config.methods["smoothgrad"].options == {"samples": 8}

    def test_they_are_no_part_of_the_record_but_by_their_values(self, tmp_path: Path) -> None:
        text = LEAST.replace("[data]", "batch_size = 8\n[data]")
        assert read(tmp_path, LEAST, "model.batch_size=8").echo() == read(tmp_path, text).echo()

    def test_an_overridden_key_is_placed_on_the_command_line_and_its_neighbour_in_the_file(
        self, tmp_path: Path
    ) -> None:
        config = read(tmp_path, LEAST, "model.batch_size=8")
        assert config.place("model", "batch_size") == "--set"
        assert config.place("model", "source") == f"{tmp_path}/audit.toml:2:1"
        assert config.place("model") == f"{tmp_path}/audit.toml:1:1"


class TestReading:
    def test_the_least_configuration_spells_out_its_defaults(self, tmp_path: Path) -> None:
        echo = read(tmp_path, LEAST).echo()
        assert echo["data"] == {
            "source": "d.npz", "images": None, "labels": None, "groups": None, "ids": None, "range": None,
            "strata": [], "limit": 500, "seed": 0, "fit": "exact", "copies": "auto", "as_written": False,
            "max_corrupt": 0.05, "root": "",
        }  # fmt: skip
        assert echo["verdict"] == {"margin": 0.0, "margin_sd": 0.2, "alpha": 0.05, "min_groups": 12, "sequential": True}
        assert echo["model"]["trust"] is False
        assert set(echo) == {
            "model", "data", "artefacts", "methods", "interventions", "explain", "verdict", "audit", "execution",
            "discovery", "report", "gate", "waivers",
        }  # fmt: skip

    def test_a_recorded_configuration_reads_back_to_itself(self, tmp_path: Path) -> None:
        echo = read(tmp_path, LEAST + "[[artefacts]]\nname = 'a'\nkind = 'box'\nsize = [2, 0.5]\n").echo()
        assert echo["artefacts"][0]["size"] == [2, 0.5]
        text = LEAST + "".join(
            f"[{section}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in echo[section].items())
            for section in ("interventions", "explain", "verdict", "report")
        )
        again = read(tmp_path, text).echo()
        for section in ("interventions", "explain", "verdict", "report"):
            assert again[section] == echo[section]

    def test_a_byte_order_mark_does_no_harm(self, tmp_path: Path) -> None:
        assert read(tmp_path, "\ufeff" + LEAST).model.source == "m.keras"

    def test_windows_line_endings_do_no_harm(self, tmp_path: Path) -> None:
        file = tmp_path / "audit.toml"
        file.write_bytes(LEAST.replace("\n", "\r\n").encode())
        config = read_config(file, kinds=ARTEFACT_KINDS, methods=METHODS)
        assert config.place("data", "source") == f"{file}:4:1"

    def test_paths_are_relative_to_the_file_unless_absolute(self, tmp_path: Path) -> None:
        config = read(tmp_path, LEAST)
        assert config.path("m.keras") == tmp_path / "m.keras"
        assert config.path("/m.keras") == Path("/m.keras")

    def test_nothing_can_be_changed_afterwards(self, tmp_path: Path) -> None:
        config = read(tmp_path, LEAST)
        with pytest.raises(ValueError, match="frozen"):
            config.verdict.margin = 1.0  # type: ignore[misc]

    @pytest.mark.parametrize("file", ["audit.toml", "examples/clean_twin/audit.toml"])
    def test_the_configurations_of_the_repository_are_in_order(self, file: str) -> None:
        config = read_config(ROOT / file, kinds=ARTEFACT_KINDS, methods=METHODS)
        for name in (config.model.source, str(config.model.labels), config.data.source):
            assert config.path(name).is_file()


def example(
    *,
    count: int = 1,
    share: Annotated[float, Field(ge=0, le=1)] = 0.5,
    length: int | float = 1,
    pair: tuple[float, float] = (0, 0),
    word: str = "",
    flag: bool = False,
    file: Path | None = None,
    choice: Literal["a", "b"] = "a",
    names: Annotated[tuple[str, ...], Field(min_length=1)] = ("x",),
) -> None: ...


def bound_options(function: Any, options: dict[str, object]) -> dict[str, Any]:
    call, faults = bind_options(function, options)
    assert not faults
    return call.options


class TestOptions:
    @pytest.mark.parametrize(
        ("option", "value", "bound"),
        [
            ("count", 3, 3),
            ("share", 1, 1.0),
            ("length", 3, 3),
            ("length", 3.0, 3.0),
            ("pair", [1, 0.5], (1.0, 0.5)),
            ("file", "a/b.png", Path("a/b.png")),
            ("names", ["a", "b"], ("a", "b")),
        ],
    )
    def test_a_value_takes_the_type_of_its_parameter(self, option: str, value: object, bound: object) -> None:
        given = bound_options(example, {option: value})[option]
        assert given == bound
        assert type(given) is type(bound) or isinstance(bound, Path)

    @pytest.mark.parametrize(
        ("option", "value", "wanted"),
        [
            ("count", "3", "a whole number"),
            ("count", 3.0, "a whole number"),
            ("count", True, "a whole number"),
            ("share", "0.5", "a number"),
            ("share", True, "a number"),
            ("share", 1.5, "1 or less"),
            ("share", -1, "0 or more"),
            ("share", float("nan"), "a finite number"),
            ("length", "3", "a number"),
            ("pair", [1], "2 items"),
            ("pair", [1, 2, 3], "2 or fewer items"),
            ("pair", 1, "an array"),
            ("word", 3, "text"),
            ("flag", 1, "true or false"),
            ("flag", "true", "true or false"),
            ("file", 3, "text"),
            ("choice", "c", "'a' or 'b'"),
            ("names", [], "1 or more items"),
            ("names", "x", "an array"),
        ],
    )
    def test_nothing_is_converted_that_is_of_another_type(self, option: str, value: object, wanted: str) -> None:
        _, [(path, message)] = bind_options(example, {option: value})
        assert path[0] == option
        assert message.startswith("got ")
        assert message.endswith(f", wanted {wanted}")

    def test_what_is_not_given_has_the_default_of_the_signature(self) -> None:
        bound = bound_options(example, {})
        assert bound["names"] == ("x",)
        assert list(bound) == [name for name, _, _ in describe_options(example)]

    def test_an_option_without_a_default_is_required(self) -> None:
        def needy(*, size: int) -> None: ...

        assert bind_options(needy, {})[1] == [(("size",), "missing; it is required")]

    def test_an_option_without_a_type_takes_anything(self) -> None:
        def free(*, size=3) -> None: ...  # type: ignore[no-untyped-def]

        assert bound_options(free, {"size": "large"}) == {"size": "large"}
        assert bound_options(free, {}) == {"size": 3}

    def test_positional_parameters_are_no_options(self) -> None:
        def stamp(frame: tuple[int, int, int], *, size: int = 1) -> None: ...

        assert bind_options(stamp, {"frame": [1, 1, 1]})[1] == [(("frame",), "unknown key (allowed: size)")]

    @pytest.mark.parametrize("function", [*METHODS.values(), *ARTEFACT_KINDS.values()])
    def test_every_default_is_a_value_that_would_be_accepted(self, function: Any) -> None:
        defaults = {
            name: json.loads(default)
            for name, _, default in describe_options(function)
            if default not in ("required", "none")
        }
        required = {
            "image": "x.png",
            "text": "x",
            "size": [1, 1],
            "folder": "masks",
            "box": [0, 0, 1, 1],
            "parts": ["a", "b"],
        }
        names = [name for name, _, default in describe_options(function) if default == "required"]
        bound_options(function, defaults | {name: required[name] for name in names})


class TestSchema:
    def test_it_is_a_schema(self) -> None:
        jsonschema.Draft202012Validator.check_schema(config_schema())

    @pytest.mark.parametrize("file", ["audit.toml", "examples/clean_twin/audit.toml"])
    def test_the_configurations_of_the_repository_pass_it(self, file: str) -> None:
        data = tomllib.loads((ROOT / file).read_text())
        jsonschema.Draft202012Validator(config_schema()).validate(data)

    @pytest.mark.parametrize(
        "text",
        [
            LEAST.replace("[data]", "[dato]"),
            LEAST + "[verdict]\nmargin = -1\n",
            LEAST + "[verdict]\nmargin = '1'\n",
            LEAST + "[data.more]\n",
            LEAST + "[[artefacts]]\nname = 'a'\n",
            LEAST + "[report]\nformats = []\n",
        ],
    )
    def test_what_the_schema_refuses_the_audit_refuses_too(self, text: str, tmp_path: Path) -> None:
        with pytest.raises(ConfigError):
            read(tmp_path, text)
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            return
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(config_schema()).validate(data)


class TestWords:
    @pytest.mark.parametrize("text", ["a:b", "package.module:function", "_a.b1:c_2"])
    def test_a_function_is_named_by_module_and_name(self, text: str) -> None:
        assert is_function_spec(text)

    @pytest.mark.parametrize("text", ["a", "a:", ":b", "a.b", "C:/models/m.keras", "a:b.c", "a b:c", "a:b\n", "1a:b"])
    def test_a_path_is_no_function(self, text: str) -> None:
        assert not is_function_spec(text)

    def test_a_key_path_reads_like_the_file(self) -> None:
        assert dotted(("artefacts", 0, "name")) == "artefacts[0].name"

    def test_a_suggestion_is_made_only_where_something_is_near(self) -> None:
        assert suggest("lables", ["labels", "source"]) == "; did you mean 'labels'? (allowed: labels, source)"
        assert suggest("xyz", ["labels"]) == " (allowed: labels)"
        assert suggest("xyz", []) == ""

    def test_a_long_list_of_what_is_allowed_is_cut_and_counted(self) -> None:
        assert suggest("?", [f"class {number}" for number in range(1000)]).endswith(", class 11, … (1000 in all))")


class TestGate:
    @pytest.mark.parametrize(
        ("text", "line", "wanted"),
        [
            ('[gate]\npreset = "relaxed"\n', 2, "gate.preset: got \"relaxed\", wanted 'verdicts', 'strict'"),
            ('[gate]\nrelies = "fail"\n', 2, "gate.relies: got \"fail\", wanted 'off', 'warn' or 'error'"),
            ('[gate]\nerrors = "off"\n', 2, "gate.errors: unknown key"),
            ('[[gate.demands]]\nlevel = "warn"\n', 1, "wanted verdict or metric, one of them"),
            ('[[gate.demands]]\nmetric = "effect"\n', 1, "wanted limit or tolerance, one of them"),
            ('[[gate.demands]]\nverdict = "relies"\nlimit = 1.0\n', 1, "wanted limit or tolerance, one of them"),
            ('[[gate.demands]]\nmetric = "accuracy"\nlimit = 0.9\nartefact = "a"\n', 1, "accuracy without artefact"),
            ('[[gate.demands]]\nmetric = "accuracy"\nlimit = 90\n', 1, "of accuracy as shares: 0.9, not 90"),
            ('[[gate.demands]]\nmetric = "flips"\nlimit = 0.9\n', 2, 'gate.demands[0].metric: got "flips"'),
            ('[[gate.demands]]\nverdict = "relies"\nartefact = "tga"\n', 3, "unknown artefact 'tga'"),
            ('[[waivers]]\nartefact = "a"\nreason = "r"\nexpires = 2026-12-31\n', 1, "waivers[0].owner: missing"),
            (
                '[[waivers]]\nartefact = "a"\nowner = "o"\nreason = "r"\nexpires = "soon"\n',
                5,
                "wanted a date, 2026-12-31",
            ),
            (
                '[[waivers]]\nartefact = "a"\nowner = "o"\nreason = "r"\nexpires = 2026\n',
                5,
                "wanted a date, 2026-12-31",
            ),
        ],
    )
    def test_a_fault_is_one_sentence_with_its_place(self, tmp_path: Path, text: str, line: int, wanted: str) -> None:
        with pytest.raises(ConfigError) as raised:
            read(tmp_path, f"{LEAST}{text}")
        (said,) = str(raised.value).splitlines()
        assert wanted in said
        assert f"audit.toml:{LEAST.count(chr(10)) + line}:" in said

    @pytest.mark.parametrize("name", PRESETS)
    def test_a_preset_is_what_it_is_printed_as(self, tmp_path: Path, name: str) -> None:
        config = read(tmp_path, f"{LEAST}{write_preset(name)}")
        assert config.gate == PRESETS[name].model_copy(update={"preset": "verdicts"})
