"""`auditor init` writes a configuration that is in order as it stands, and says what in it is a guess."""

from __future__ import annotations

import io
import re
import tomllib
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from auditor.artefacts.kinds import ARTEFACT_KINDS, build_artefacts
from auditor.auditing.opening import open_subject
from auditor.config.file import read_config
from auditor.config.options import describe_options, to_toml
from auditor.explain.table import METHODS, STUDIES
from tests.bad_worlds import with_lambda
from tests.small_world import CLASSES, SIDE, Command, World, make_data
from tests.test_bad_input import assert_one_error


@pytest.fixture
def here(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The small world without its configuration, as the working directory."""
    world.config.unlink()
    monkeypatch.chdir(world.folder)
    return world


def init(command: Command, *words: str | Path, model: str = "model.keras", data: str = "images.npz") -> dict[str, Any]:
    """Write the configuration, check that it is in order, and read it."""
    ending = command("init", "--model", model, "--data", data, *words)
    assert ending.code == 0, ending.err
    file = Path(words[words.index("--output") + 1]) if "--output" in words else Path("audit.toml")
    assert ending.out.startswith(f"{file}: written\n")
    assert ending.err == ""
    ending = command("validate", file)
    assert (ending.code, ending.err) == (0, "")
    assert ending.out.startswith(f"{file}: in order\n")
    assert ending.out.endswith("are judged.\n")
    return tomllib.loads(file.read_text(encoding="utf-8"))


def remarks(file: str = "audit.toml") -> str:
    """All remarks of the written file as one line."""
    lines = Path(file).read_text(encoding="utf-8").splitlines()
    return " ".join(line[2:] for line in lines if line.startswith("# "))


def save_pictures(folder: Path, *, side: int = 8, names: tuple[str, ...] | None = CLASSES) -> None:
    """The images as a folder per class, or without names as one folder."""
    data = make_data()
    for number, pixels in enumerate(data["images"]):
        parent = folder if names is None else folder / names[data["labels"][number]]
        parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(pixels[..., 0]).resize((side, side), Image.Resampling.NEAREST)
        picture.save(parent / f"{number:02}.png")


def save_silent_model(world: World, **limits: float) -> None:
    """A model that does not tell its pixel range, and sees only pixels within limits of it."""
    import keras

    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Flatten()(keras.layers.ReLU(**limits)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax", name="head")(x))
    weights = np.zeros((8, 8, 3), np.float32)
    for number in range(3):
        weights[:5, 3 * number : 3 * number + 3, number] = 1 / len(range(8)[3 * number : 3 * number + 3])
    model.get_layer("head").set_weights([weights.reshape(-1, 3), np.zeros(3, np.float32)])
    world.save_model(model)


class TestSources:
    def test_an_npz(self, here: World, command: Command) -> None:
        written = init(command, "--labels", "labels.txt")
        assert written["model"]["source"] == "model.keras"
        assert written["model"]["labels"] == "labels.txt"
        assert written["data"]["source"] == "images.npz"
        assert written["data"]["fit"] == "exact"
        said = remarks()
        assert "A functional model of 196 parameters: images of 8 x 8 in grey, 3 classes; the softmax of layer" in said
        assert "Pixels in [0, 255] are fed to the model, as its layer 'rescaling" in said
        assert "42 images, 42 of them labelled: cat 14, dog 14, boat 14. Each is a group by itself" in said
        assert "Read as this file says, 97.6 % of 42 labelled images are predicted rightly" in said
        assert "The 42 images looked at are of the model's size" in said
        assert "GUESS" not in said

    @pytest.mark.slow
    def test_the_accuracy_that_it_states_is_the_one_that_the_audit_finds(self, here: World, command: Command) -> None:
        data = make_data()
        here.save_images(labels=np.where(np.arange(42) % 5, data["labels"], 0))
        init(command, "--labels", "labels.txt")
        switched_off = [word for name in STUDIES for word in ("--set", f"methods.{name}.enabled=false")]
        assert command("audit", "--quiet", *switched_off).code == 4
        found = here.result().data.accuracy
        assert f" {100 * found.value:.1f} % of {found.n} labelled images are predicted rightly" in remarks()
        assert 0.5 < found.value < 0.95

    def test_a_folder_per_class(self, here: World, command: Command) -> None:
        save_pictures(here.folder / "pictures")
        assert init(command, "--labels", "labels.txt", data="pictures")["data"]["source"] == "pictures"

    def test_a_folder_of_unlabelled_pictures(self, here: World, command: Command) -> None:
        save_pictures(here.folder / "pictures", names=None)
        init(command, data="pictures")
        assert "42 images without labels: they count as what they are predicted, and accuracy is not" in remarks()
        assert "are predicted rightly" not in remarks()

    def test_a_manifest(self, here: World, command: Command) -> None:
        save_pictures(here.folder / "pictures", names=None)
        rows = [f"pictures/{number:02}.png,{number % 3 if number else ''},{number // 7}" for number in range(42)]
        (here.folder / "manifest.csv").write_text("\n".join(["path,label,group", *rows]))
        init(command, "--labels", "labels.txt", data="manifest.csv")
        assert "42 images, 41 of them labelled: cat 13, dog 14, boat 14. They form 6 groups," in remarks()

    def test_functions(self, here: World, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        here.write_module(
            monkeypatch,
            "import keras, numpy\n"
            "def load(): return keras.models.load_model('model.keras')\n"
            "def pictures():\n"
            "    for number in range(30): yield numpy.full((8, 8), number, 'uint8'), None, number, number // 2\n",
        )
        written = init(command, model="mine:load", data="mine:pictures")
        assert (written["model"]["source"], written["data"]["source"]) == ("mine:load", "mine:pictures")
        assert "They form 15 groups" in remarks()

    def test_of_many_classes_the_first_are_named(self, here: World, command: Command) -> None:
        import keras

        inputs = keras.Input((8, 8, 1))
        x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
        here.save_model(keras.Model(inputs, keras.layers.Dense(50, activation="softmax")(x)))
        here.save_images(labels=np.arange(42))
        init(command)
        assert ", 19 1, and 22 classes more." in remarks()


class TestGuesses:
    @pytest.mark.parametrize(("limits", "wanted"), [({"max_value": 1.0}, [0, 1]), ({"threshold": 100.0}, [0, 255])])
    def test_of_pixel_ranges_the_one_that_predicts_most_rightly_is_taken_and_all_are_told(
        self, limits: dict[str, float], wanted: list[int], here: World, command: Command
    ) -> None:
        save_silent_model(here, **limits)
        images = make_data()["images"] // (2 if wanted == [0, 1] else 1)  # dark ones are all black in [-1, 1]
        here.save_images(images=images)
        ending = command("init", "--model", "model.keras", "--data", "images.npz", "--labels", "labels.txt")
        assert f"a guess, to be checked: model.input_range = {wanted}\n" in ending.out
        written = init(command, "--labels", "labels.txt", "--force")
        assert written["model"]["input_range"] == wanted
        told = re.search(
            r"A GUESS, to be checked: the model does not tell what pixels it expects\. ([\d.]+) % of 42 labelled "
            r"images are predicted rightly with \[0, 1\], ([\d.]+) % with \[0, 255\], ([\d.]+) % with \[-1, 1\]\.",
            remarks(),
        )
        assert told is not None
        shares = [accuracy_of(images, limits, *ends) for ends in ((0, 1), (0, 255), (-1, 1))]
        assert [float(share) for share in told.groups()] == [round(share, 1) for share in shares]
        assert wanted == [[0, 1], [0, 255], [-1, 1]][int(np.argmax(shares))]
        assert min(shares) < max(shares)

    @pytest.mark.parametrize(("low", "high"), [(0, 255), (-1, 1)])
    def test_data_beyond_fractions_are_taken_for_what_a_model_is_fed_with_that_hides_its_range(
        self, low: int, high: int, here: World, command: Command
    ) -> None:
        save_silent_model(here)
        here.save_images(images=(make_data()["images"] / 255 * (high - low) + low).astype(np.float32))
        assert init(command, "--labels", "labels.txt")["model"]["input_range"] == [low, high]
        assert "The data go beyond [0, 1] and lie in this one, so they are taken to be what the model" in remarks()

    def test_without_labels_nothing_tells_the_range_and_the_file_says_so(self, here: World, command: Command) -> None:
        save_silent_model(here, max_value=1.0)
        here.save_images(labels=None)
        assert init(command)["model"]["input_range"] == [0, 1]
        assert "A GUESS, to be checked: the model does not tell what pixels it expects. Without labels" in remarks()

    def test_as_many_classes_in_the_data_as_in_the_model_are_named_in_the_order_of_the_alphabet(
        self, here: World, command: Command
    ) -> None:
        names = ('a "cat"', "b\\dog", "c böat")
        save_pictures(here.folder / "pictures", names=names)
        assert init(command, data="pictures")["model"]["labels"] == list(names)
        assert "A GUESS, to be checked: the data name as many classes as the model has" in remarks()
        assert " 97.6 % of 42 labelled images are predicted rightly" in remarks()

    def test_an_order_of_the_classes_that_is_far_better_is_proposed_with_both_accuracies(
        self, here: World, command: Command
    ) -> None:
        save_pictures(here.folder / "pictures")
        ending = command("init", "--model", "model.keras", "--data", "pictures")
        assert 'a guess, to be checked: model.labels = ["cat", "dog", "boat"] (97.6 % right in the order' in ending.out
        assert init(command, "--force", data="pictures")["model"]["labels"] == list(CLASSES)
        assert (
            "A GUESS, to be checked: 97.6 % of 42 labelled images are predicted rightly in this order, the order"
            in (remarks())
        )
        assert " that fits best, 0.0 % in the order of the alphabet." in remarks()

    def test_names_that_were_given_stay_and_what_is_wrong_with_them_is_said(
        self, here: World, command: Command
    ) -> None:
        save_pictures(here.folder / "pictures")
        (here.folder / "alphabet.txt").write_text("boat\ncat\ndog\n")
        ending = command("init", "--model", "model.keras", "--data", "pictures", "--labels", "alphabet.txt")
        assert (
            "note: With the classes in the order cat, dog, boat the model is right on 98 %, as written on" in ending.out
        )
        assert (
            init(command, "--force", "--labels", "alphabet.txt", data="pictures")["model"]["labels"] == "alphabet.txt"
        )
        assert " 0.0 % of 42 labelled images are predicted rightly" in remarks()

    def test_another_number_of_classes_is_asked_for(self, here: World, command: Command) -> None:
        save_pictures(here.folder / "pictures", names=("cat", "dog", "cat"))
        ending = command("init", "--model", "model.keras", "--data", "pictures")
        assert_one_error(
            ending, 2, "--data: data.source: labels that the model lacks: 'cat' (28 images), 'dog' (14 images)",
            "; name the classes of the model with --labels",
        )  # fmt: skip
        assert not Path("audit.toml").exists()

    def test_numbers_are_no_names(self, here: World, command: Command) -> None:
        assert "labels" not in init(command)["model"]
        assert "Classes are called by their numbers until a file names them" in remarks()


TEN_AND_ONE = tuple(str(number) for number in range(11))
TIED = "the images do not tell the pixel range that the model expects: in [0, 1] it is right on 33 % of 42 labelled"


class TestTies:
    """What the images do not tell is asked at a terminal and refused elsewhere."""

    def test_ranges_that_do_alike_are_refused_with_both_and_the_option_that_settles_it(
        self, here: World, command: Command
    ) -> None:
        save_silent_model(here, max_value=0.01)  # all white in [0, 1] and in [0, 255], and bright ones in [-1, 1]
        words = ("init", "--model", "model.keras", "--data", "images.npz", "--labels", "labels.txt")
        here.save_images(images=make_data()["images"] // 2)
        ending = command(*words)
        assert_one_error(ending, 2, TIED, "; in [0, 255] it is right on 33 %", "; say it with --input-range LOW HIGH")
        assert not Path("audit.toml").exists()
        assert init(command, "--labels", "labels.txt", "--input-range", "0", "255")["model"]["input_range"] == [0, 255]
        assert "The pixel range as it was given." in remarks()
        assert "GUESS" not in remarks()

    def test_nor_is_guessed_between_accuracies_that_differ_by_chance(self, here: World, command: Command) -> None:
        save_silent_model(here, max_value=1.0)
        ending = command("init", "--model", "model.keras", "--data", "images.npz", "--labels", "labels.txt")
        assert_one_error(ending, 2, "in [0, 1] it is right on 100 % of 42 labelled images; in [-1, 1] it is right on 9")

    def test_at_a_terminal_a_person_chooses(
        self, here: World, command: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        save_silent_model(here, max_value=1.0)
        answer(monkeypatch, "7\n2\n")
        ending = command("init", "--model", "model.keras", "--data", "images.npz", "--labels", "labels.txt")
        assert ending.code == 0
        assert "The images do not tell the pixel range" in ending.err
        assert "\n  2  in [-1, 1] it is right on " in ending.err
        assert "guess" not in ending.out
        assert tomllib.loads(here.config.read_text())["model"]["input_range"] == [-1, 1]
        assert "Chosen by hand, for neither the model nor the images tell what pixels it expects." in remarks()

    @pytest.mark.parametrize("ends", [("1", "0"), ("0", "nan"), ("0", "inf"), ("1", "1")])
    def test_a_range_that_is_none_is_refused(self, ends: tuple[str, str], here: World, command: Command) -> None:
        ending = command("init", "--model", "model.keras", "--data", "images.npz", "--input-range", *ends)
        assert_one_error(ending, 2, f"--input-range: got {ends[0]} {ends[1]}, wanted two numbers, the lower one first")

    @pytest.mark.parametrize("trained", [TEN_AND_ONE, tuple(sorted(TEN_AND_ONE))], ids=["numbers", "text"])
    def test_folders_called_by_numbers_are_in_the_order_in_which_the_model_does_better(
        self, trained: tuple[str, ...], here: World, command: Command
    ) -> None:
        save_columns(here, trained)
        assert init(command, data="pictures")["model"]["labels"] == list(trained)
        assert "100.0 % of 66 labelled images are predicted rightly in this order, the order of the " in remarks()
        assert ", 18.2 % in the order of the " in remarks()

    def test_numbered_folders_that_tell_no_order_are_asked_for(
        self, here: World, command: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        save_columns(here, TEN_AND_ONE, kept=("0", "1"))  # the first of both orders
        words = ("init", "--model", "model.keras", "--data", "pictures")
        said = (
            "the images do not tell the order of the classes: as 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 it is right on 100 %"
        )
        assert_one_error(
            command(*words), 2, said, "; as 0, 1, 10, 2, 3, 4, 5, 6, 7, 8, 9 it", "say it with --labels FILE"
        )
        answer(monkeypatch, "2\n")
        assert command(*words).code == 0
        assert tomllib.loads(here.config.read_text())["model"]["labels"] == sorted(TEN_AND_ONE)

    def test_numbers_in_a_table_are_numbers(self, here: World, command: Command) -> None:
        save_columns(here, TEN_AND_ONE, kept=("0", "1"))
        files = sorted((here.folder / "pictures").rglob("*.png"))
        rows = [f"{file.relative_to(here.folder)},{file.parent.name}" for file in files]
        (here.folder / "manifest.csv").write_text("\n".join(["path,label", *rows]))
        assert "labels" not in init(command, data="manifest.csv")["model"]

    def test_few_images_do_not_tell_the_order_that_they_fit_from_the_alphabet(
        self, here: World, command: Command
    ) -> None:
        save_pictures(here.folder / "pictures")
        for file in sorted(here.folder.glob("pictures/*/*")):
            if int(file.stem) > 3:
                file.unlink()
        ending = command("init", "--model", "model.keras", "--data", "pictures")
        assert_one_error(
            ending, 2, "as boat, cat, dog it is right on 0 % of 4 labelled images; as cat, dog, boat it is"
        )


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Somebody sits at a terminal and types."""
    monkeypatch.setattr("auditor.cli.commands.can_ask", lambda: True)
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def save_columns(world: World, trained: tuple[str, ...], kept: tuple[str, ...] | None = None) -> None:
    """A model that says which column is the brightest, and a folder per class, in the order that it was trained in."""
    import keras

    side = len(trained)
    inputs = keras.Input((side, side, 1))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(side, activation="softmax", name="head")(x))
    kernel = np.tile(np.eye(side, dtype=np.float32), (side, 1))
    model.get_layer("head").set_weights([kernel, np.zeros(side, np.float32)])
    world.save_model(model)
    for at, name in enumerate(trained):
        for number in range(6) if kept is None or name in kept else ():
            pixels = np.full((side, side), 20 + number, np.uint8)
            pixels[:, at] = 200
            file = world.folder / "pictures" / name / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(file)


class TestNeeds:
    def test_columns_of_booleans_alone_are_proposed_with_their_counts(self, here: World, command: Command) -> None:
        save_pictures(here.folder / "pictures", names=None)
        rows = [f"pictures/{n:02}.png,{n % 3},{n},{'yes' if n < 5 else 'no'},{int(n % 2)},0,a" for n in range(42)]
        head = "path,label,group,a tag,marked,never,scanner"
        (here.folder / "manifest.csv").write_text("\n".join([head, *rows]))
        init(command, "--labels", "labels.txt", data="manifest.csv")
        text = here.config.read_text()
        assert (
            '# These data have present = "a tag": 5 of 42 images.\n'
            '#             and present = "marked": 21 of 42 images.\n'
            '#present = "a tag"\n'
        ) in text
        assert '"never"' not in text
        assert '"scanner"' not in text

    def test_of_many_columns_the_first_are_named(self, here: World, command: Command) -> None:
        here.save_images(**{f"flag {number}": np.arange(42) < 6 for number in range(23)})
        init(command, "--labels", "labels.txt")
        text = here.config.read_text()
        assert text.count('present = "flag ') == 20 + 1
        assert "\n# And 3 columns more of true and false.\n" in text

    def test_so_are_arrays(self, here: World, command: Command) -> None:
        here.save_images(marked=np.arange(42) < 6, wide=np.zeros((42, 2), bool), number=np.arange(42))
        init(command, "--labels", "labels.txt")
        assert '# These data have present = "marked": 6 of 42 images.\n#present = "marked"' in here.config.read_text()
        assert "            and present" not in here.config.read_text()

    def test_what_a_verdict_needs_stands_beside_what_the_data_have(self, here: World, command: Command) -> None:
        ending = command("init", "--model", "model.keras", "--data", "images.npz", "--labels", "labels.txt")
        assert "note: " not in ending.out
        said = "A verdict on a class needs 12 independent groups of images of other classes, to put the artefact into,"
        assert said in remarks()
        assert "the sample of 42 images has 42 groups, at the fewest 14 of cat." in remarks()

    def test_classes_of_too_few_groups_are_told(self, here: World, command: Command) -> None:
        here.save_images(groups=np.where(np.arange(42) % 3 == 0, 0, np.arange(42) % 12))
        ending = command("init", "--model", "model.keras", "--data", "images.npz", "--labels", "labels.txt")
        assert "note: A verdict on a class needs 12 independent groups" in ending.out
        few = "the sample of 42 images has 9 groups, too few of all but cat (8), all but dog (5), all but boat (5), cat"
        assert few in ending.out
        assert few in remarks()

    def test_without_labels_the_groups_alone_are_told(self, here: World, command: Command) -> None:
        here.save_images(labels=None)
        init(command)
        assert "without labels, what is predicted counts, and the sample of 42 images has 42 groups." in remarks()


class TestSizes:
    def test_pictures_of_other_sizes_are_resized_and_the_file_says_why(self, here: World, command: Command) -> None:
        save_pictures(here.folder / "pictures", side=24)
        Image.new("L", (8, 8)).save(here.folder / "pictures" / "cat" / "00.png")
        assert init(command, "--labels", "labels.txt", data="pictures")["data"]["fit"] == "resize"
        said = "41 of 42 images looked at are not of the model's size (the commonest of their sizes is 24 x 24)"
        assert said in remarks()

    def test_pictures_that_cannot_be_read_are_told(self, here: World, command: Command) -> None:
        save_pictures(here.folder / "pictures")
        (here.folder / "pictures" / "dog" / "04.png").write_bytes(b"")
        init(command, "--labels", "labels.txt", data="pictures")
        assert "Of those looked at 1 cannot be read; the first is dog/04.png: not a readable picture" in remarks()
        assert " 97.6 % of 41 labelled images" in remarks()

    def test_where_none_can_be_read_nothing_is_written(self, here: World, command: Command) -> None:
        save_pictures(here.folder / "pictures")
        for file in here.folder.glob("pictures/*/*"):
            file.write_bytes(b"")
        ending = command("init", "--model", "model.keras", "--data", "pictures")
        assert_one_error(ending, 3, "--data: data.source: none of 42 images looked at can be read; the first is boat/")


class TestFile:
    def test_one_that_exists_is_never_overwritten_unless_forced(self, here: World, command: Command) -> None:
        here.config.write_text("mine")
        words = ("init", "--model", "model.keras", "--data", "images.npz")
        assert_one_error(command(*words), 2, "--output: audit.toml: exists already; wanted a new file, or --force")
        assert here.config.read_text() == "mine"
        init(command, "--force")

    def test_a_place_that_is_none_is_refused_before_the_model_is_loaded(self, here: World, command: Command) -> None:
        words = ("init", "--model", "gone.keras", "--data", "images.npz", "--force", "--output")
        assert_one_error(command(*words, "gone/audit.toml"), 2, "--output: gone: no such folder")
        assert_one_error(command(*words, here.folder), 2, "exists already; wanted a file")

    def test_paths_are_relative_to_it_wherever_one_stands(
        self, here: World, command: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (here.folder / "audits" / "first").mkdir(parents=True)
        (here.folder / "linked").symlink_to(here.folder / "audits" / "first")
        monkeypatch.chdir(here.folder / "audits")
        for output in (Path("first/one.toml"), here.folder / "linked" / "two.toml"):
            written = init(
                command, "--labels", "../labels.txt", "--output", output,
                model="../model.keras", data=str(here.folder / "images.npz"),
            )  # fmt: skip
            assert written["model"]["source"] == "../../model.keras"
            assert written["model"]["labels"] == "../../labels.txt"
            assert written["data"]["source"] == "../../images.npz"

    def test_a_link_is_named_itself(self, here: World, command: Command) -> None:
        (here.folder / "model.keras").rename(here.folder / "blob")
        (here.folder / "model.keras").symlink_to(here.folder / "blob")
        assert init(command)["model"]["source"] == "model.keras"

    @pytest.mark.parametrize("name", ["a \"b\" 'c'", "a\\b", "a\nb\tc\x7f\x01", "Löwe 猫 🙂", "#[x] = {{ y }}"])
    def test_names_of_any_signs_are_written_as_they_are(self, name: str, here: World, command: Command) -> None:
        folder = here.folder / name
        folder.mkdir()
        (here.folder / "model.keras").rename(folder / "model.keras")
        save_pictures(folder / "pictures", names=(f"a{name}", f"b{name}", f"c{name}"))
        output = Path(f"{name}.toml")
        written = init(command, "--output", output, model=f"{name}/model.keras", data=f"{name}/pictures")
        assert written["model"]["source"] == f"{name}/model.keras"
        assert written["model"]["labels"] == [f"a{name}", f"b{name}", f"c{name}"]

    def test_a_name_that_is_not_utf_8_is_refused(self, here: World, command: Command) -> None:
        ending = command("init", "--model", "m\udce9.keras", "--data", "images.npz")
        assert_one_error(ending, 2, "'m\\udce9.keras': its name is not UTF-8")

    def test_a_lambda_layer_is_loaded_only_where_trusted(self, here: World, command: Command) -> None:
        import keras

        here.save_model(with_lambda(keras))
        ending = command("init", "--model", "model.keras", "--data", "images.npz")
        assert_one_error(ending, 3, "--model: model.source: model.keras: holds a Lambda layer")
        assert not here.config.exists()
        assert init(command, "--trust")["model"]["trust"] is True

    @pytest.mark.parametrize(
        ("words", "code", "said"),
        [
            (("--model", "gone.keras"), 2, "--model: model.source: gone.keras: no such file"),
            (("--model", "labels.txt"), 2, "--model: model.source: got 'labels.txt', wanted one of: .keras"),
            (("--data", "gone"), 2, "--data: data.source: gone: no such file or folder; wanted an .npz, .csv or"),
            (("--labels", "gone.txt"), 2, "--labels: model.labels: gone.txt: no such file"),
            (("--labels", "two.txt"), 2, "--labels: model.labels: got 2 names, wanted 3: the model has 3 output units"),
        ],
    )
    def test_a_fault_is_told_with_the_option_that_it_came_with(
        self, words: tuple[str, str], code: int, said: str, here: World, command: Command
    ) -> None:
        (here.folder / "two.txt").write_text("a\nb\n")
        options = {"--model": "model.keras", "--data": "images.npz"} | dict([words])
        assert_one_error(command("init", *(word for pair in options.items() for word in pair)), code, said)
        assert not here.config.exists()

    def test_labels_that_do_not_fit_a_model_that_hides_its_range_are_blamed_and_not_the_range(
        self, here: World, command: Command
    ) -> None:
        save_silent_model(here, max_value=1.0)
        (here.folder / "two.txt").write_text("a\nb\n")
        ending = command("init", "--model", "model.keras", "--data", "images.npz", "--labels", "two.txt")
        assert_one_error(ending, 2, "--labels: model.labels: got 2 names, wanted 3")

    def test_images_of_an_unknown_kind_are_refused_even_without_labels(self, here: World, command: Command) -> None:
        here.save_images(labels=None, images=np.zeros((42, 8, 8, 2), np.uint8))
        ending = command("init", "--model", "model.keras", "--data", "images.npz")
        assert_one_error(ending, 2, "--data: data.source: image picture-0 has shape (8, 8, 2), wanted")


class TestSettings:
    """What stands after a bare number sign is a setting, and a right one."""

    def uncommented(self, command: Command) -> dict[str, Any]:
        init(command, "--labels", "labels.txt")
        text = Path("audit.toml").read_text()
        own = text.index("# Your own: a function")  # no such module here
        text = text[:own] + text[text.index("# Maps illustrate") :]
        text = text.replace('#preprocess = "package.module:function"', "")
        Path("all.toml").write_text(re.sub(r"^#(?=[^ ])", "", text, flags=re.MULTILINE))
        return tomllib.loads(Path("all.toml").read_text())

    def test_all_of_them_are_right(self, here: World, command: Command) -> None:
        self.uncommented(command)
        config = read_config(Path("all.toml"), kinds=ARTEFACT_KINDS, methods=METHODS)
        assert config.model.input_range == (0, 255)
        empty = {"methods", "artefacts"}
        usual = read_config(Path("audit.toml"), kinds=ARTEFACT_KINDS, methods=METHODS)
        assert config.model_dump(include={"verdict", "report", "interventions", "explain", "data"}) == usual.model_dump(
            include={"verdict", "report", "interventions", "explain", "data"}
        )
        assert not any(usual.model_dump(include=empty).values())

    def test_every_kind_has_an_example_that_can_be_built(self, here: World, command: Command) -> None:
        assert {entry["kind"] for entry in self.uncommented(command)["artefacts"]} == set(ARTEFACT_KINDS)
        mark = (here.folder / "mark.png").read_bytes()
        for name in ("watermark.png", "innocent.png", "alike.png"):
            (here.folder / name).write_bytes(mark)
        (here.folder / "masks").mkdir()
        for name in make_data()["ids"]:
            Image.new("L", (SIDE, SIDE), "white").save(here.folder / "masks" / f"{name}.png")
        config = read_config(Path("all.toml"), kinds=ARTEFACT_KINDS, methods=METHODS)
        dataset = open_subject(config.model_copy(update={"artefacts": ()})).dataset
        built = build_artefacts(config, dataset, (64, 64, 3), CLASSES)  # the frame of a model for colour
        assert [artefact.kind for artefact in built] == list(ARTEFACT_KINDS)

    def test_every_method_stands_there_with_all_its_options(self, here: World, command: Command) -> None:
        methods = self.uncommented(command)["methods"]
        assert list(methods) == list(METHODS)
        for name, function in METHODS.items():
            options = {option for option, _, default in describe_options(function) if default != "none"}
            assert set(methods[name]) == {"enabled", *options} | ({"on"} if name not in STUDIES else set())

    def test_every_section_of_the_configuration_stands_there(self, here: World, command: Command) -> None:
        from auditor.config.file import config_schema

        assert set(self.uncommented(command)) == set(config_schema()["properties"])


VALUES = ["", 'a"b\\c', "\x00\x1f\x7f\x80\n\r\t", "Löwe 🙂 \u2028", 0, -3, 10**7, 0.05, 1e-9, 255.0, True, [1, [2.5]]]


@pytest.mark.parametrize("value", VALUES)
def test_a_value_is_read_back_as_it_was_written(value: Any) -> None:
    assert tomllib.loads(f"value = {to_toml(value)}")["value"] == value


def accuracy_of(images: np.ndarray, limits: dict[str, float], low: float, high: float) -> float:
    """Of the silent model on pixels of that range, worked out by hand, in per cent."""
    pixels = images[..., 0] / np.float32(255) * (high - low) + low
    seen = np.where(pixels >= limits.get("threshold", 0), pixels, 0).clip(max=limits.get("max_value", np.inf))
    scores = [seen[:, :5, 3 * number : 3 * number + 3].mean(axis=(1, 2)) for number in range(3)]
    return 100 * float((np.argmax(np.round(scores, 4), axis=0) == make_data()["labels"]).mean())


class TestSeveralInputsAndOutputs:
    @pytest.fixture
    def two_headed(self, world: World) -> World:
        image, age = keras.Input((8, 8, 1), name="image"), keras.Input((1,), name="age")
        flat = keras.layers.Concatenate()([keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image)), age])
        outputs = {"kind": keras.layers.Dense(3, name="a")(flat), "grade": keras.layers.Dense(2, name="b")(flat)}
        world.save_model(keras.Model({"image": image, "age": age}, outputs))
        world.config.unlink()
        return world

    def test_are_told_and_written(self, two_headed: World, command: Command, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.chdir(two_headed.folder)
        files = ["--model", "model.keras", "--data", "images.npz"]
        ending = command("init", *files, "--inputs", "age=50", "--outputs", "kind")
        assert ending.code == 0, ending
        text = two_headed.config.read_text(encoding="utf-8")
        assert 'inputs = { "age" = 50 }' in text
        assert 'outputs = "kind"' in text
        assert command("validate", two_headed.config).code == 0

    @pytest.mark.parametrize("written", ["age", "=50", "age=old", "age=inf", "age="])
    def test_what_is_no_number_is_refused(self, written, two_headed: World, command: Command):
        ending = command("init", "--model", "m", "--data", "d", "--inputs", written, "--output", two_headed.config)
        assert (ending.code, ending.err) == (
            2,
            f"error: --inputs: got {written!r}, wanted NAME=NUMBER, as age=50, or numbers, as place=1,2\n",
        )
