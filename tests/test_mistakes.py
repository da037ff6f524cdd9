"""What accuracy says of labels and pixels that are not those of the model."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from auditor.auditing.mistakes import find_mistakes
from auditor.subject.data.manifests import WrittenLabel
from auditor.subject.data.sample import Dataset
from auditor.subject.model.keras import KerasClassifier
from tests.closed_form import LinearClassifier, MemorySource, linear, random_images
from tests.small_world import CLASSES, Command, World, make_data

SHAPE = (6, 6, 1)


def sort_out(count=4, images=80):
    """A classifier, images, and the class that it finds in each."""
    classifier = linear(classes=count, shape=SHAPE, output="softmax")
    pictures = random_images(20000, SHAPE)
    found = classifier.scores(pictures).argmax(axis=1)
    chosen = np.concatenate([np.flatnonzero(found == at)[: images // count] for at in range(count)])
    assert len(chosen) == images
    return classifier, pictures[chosen], found[chosen]


def dataset(classifier, pictures, labels, **options):
    source = MemorySource(pictures, [classifier.classes[at] for at in labels], **options)
    return Dataset(source, classes=classifier.classes, image_shape=SHAPE)


class TestOrder:
    @pytest.mark.parametrize("order", [[1, 0, 2, 3], [3, 2, 1, 0], [1, 2, 3, 0]])
    def test_another_order_of_the_classes_is_found(self, order):
        classifier, pictures, found = sort_out()
        (mistake,) = find_mistakes(classifier, dataset(classifier, pictures, np.array(order)[found]))
        assert mistake.kind == "labels"
        seen = set(found.tolist())
        assert [mistake.labels[at] for at in seen] == [classifier.classes[order[at]] for at in seen]
        assert "the model is right on 100 %" in mistake.text

    def test_labels_that_are_numbers_are_mended_by_no_order_of_the_names(self):
        classifier, pictures, found = sort_out()
        source = MemorySource(pictures, np.array([1, 2, 3, 0])[found])
        (mistake,) = find_mistakes(classifier, Dataset(source, classes=classifier.classes, image_shape=SHAPE))
        assert (mistake.kind, mistake.labels) == ("labels", None)
        assert mistake.text.endswith("; the data number their labels, and must number them as the outputs are.")

    def test_of_few_images_of_each_class_the_order_is_found_on_all(self):
        classifier, pictures, found = sort_out(images=16)
        (mistake,) = find_mistakes(classifier, dataset(classifier, pictures, np.array([1, 2, 3, 0])[found]))
        assert mistake.labels == tuple(classifier.classes[at] for at in (1, 2, 3, 0))

    @pytest.mark.parametrize("share", [1.0, 0.7, 0.5])
    def test_a_model_that_is_often_wrong_is_no_mistake(self, share):
        classifier, pictures, found = sort_out()
        wrong = np.arange(len(found)) % 10 >= share * 10
        labels = np.where(wrong, np.random.default_rng(1).integers(0, 4, len(found)), found)
        assert find_mistakes(classifier, dataset(classifier, pictures, labels)) == []

    def test_labels_drawn_at_random_are_no_other_order(self):
        classifier, pictures, found = sort_out()
        for seed in range(20):
            labels = np.random.default_rng(seed).integers(0, 4, len(found))
            assert all(m.kind != "labels" for m in find_mistakes(classifier, dataset(classifier, pictures, labels)))

    def test_a_model_that_takes_one_class_for_another_means_no_other_order(self):
        classifier, pictures, found = sort_out()
        labels = np.where((found == 1) & (np.arange(len(found)) % 10 < 6), 2, found)  # most of class 1 count as 2
        labels = np.where((found == 0) & (np.arange(len(found)) % 10 < 6), 3, labels)
        assert find_mistakes(classifier, dataset(classifier, pictures, labels)) == []

    def test_two_classes_that_are_exchanged_among_ten_are_found(self):
        weights, found = np.zeros((10, *SHAPE), np.float32), np.arange(200) % 10
        pictures = random_images(200, SHAPE) / 10
        for number in range(10):
            weights[number].flat[number] = 10
            pictures[found == number, 0 if number < 6 else 1, number % 6] = 1
        classifier = LinearClassifier(weights, np.zeros(10, np.float32), output="softmax")
        order = np.array([0, 1, 2, 4, 3, 5, 6, 7, 8, 9])
        (mistake,) = find_mistakes(classifier, dataset(classifier, pictures, order[found]))
        assert mistake.labels == tuple(f"class {at}" for at in order)

    def test_images_of_one_class_tell_no_chance(self):
        classifier, pictures, found = sort_out(count=4, images=80)
        assert find_mistakes(classifier, dataset(classifier, pictures, np.zeros(len(found), int))) == []

    def test_images_that_carry_an_artefact_are_left_out(self):
        classifier, pictures, found = sort_out()
        labels, carried = (found + 1) % 4, np.ones(len(found), bool)
        data = dataset(classifier, pictures, labels)
        assert find_mistakes(classifier, data)
        assert find_mistakes(classifier, data, left_out=carried) == []

    def test_few_groups_tell_nothing(self):
        classifier, pictures, found = sort_out()
        labels = np.array([1, 2, 3, 0])[found]
        assert find_mistakes(classifier, dataset(classifier, pictures, labels, groups=[0] * len(found))) == []

    def test_nor_do_few_images(self):
        classifier, pictures, found = sort_out(images=8)
        assert find_mistakes(classifier, dataset(classifier, pictures, 3 - found)) == []


class TestMultilabel:
    """Images with some of four classes, each bright in a corner of its own."""

    @staticmethod
    def images_and_truth(count=80, shares=(0.5, 0.4, 0.3, 0.2)):
        random = np.random.default_rng(0)
        truth = random.random((count, 4)) < shares
        images = random.uniform(0, 0.1, (count, *SHAPE)).astype(np.float32)
        for number in range(4):
            images[truth[:, number], number] += random.uniform(0.5, 0.9)
        return images, truth

    @staticmethod
    def classifier():
        weights = np.zeros((4, *SHAPE), np.float32)
        for number in range(4):
            weights[number, number] = 2
        return LinearClassifier(weights, np.full(4, -4, np.float32), output="multilabel")

    def find(self, labels, images):
        classifier, source = self.classifier(), MemorySource(images, labels)
        options = {"classes": classifier.classes, "image_shape": SHAPE, "multilabel": True}
        return find_mistakes(classifier, Dataset(source, **options))

    @pytest.mark.parametrize("order", [[1, 0, 2, 3], [3, 2, 1, 0], [1, 2, 3, 0]])
    def test_another_order_of_the_columns_is_found(self, order):
        images, truth = self.images_and_truth()
        assert self.find(truth.astype(int), images) == []
        (mistake,) = self.find(truth[:, np.argsort(order)].astype(int), images)
        assert (mistake.kind, mistake.labels) == ("labels", None)
        named = ", ".join(f"class {number}" for number in order)
        assert mistake.text.startswith(f"With the classes in the order {named} the model is right on 100 %")

    def test_another_order_of_the_names_is_found(self):
        images, truth = self.images_and_truth()
        order = [2, 3, 0, 1]
        labels = [WrittenLabel("|".join(f"class {order[at]}" for at in np.flatnonzero(row)) or "none") for row in truth]
        (mistake,) = self.find(labels, images)
        assert mistake.labels == tuple(f"class {number}" for number in order)

    def test_images_without_any_class_tell_nothing(self):
        images, truth = self.images_and_truth(shares=(0, 0, 0, 0))
        assert self.find(truth.astype(int), images) == []


class TestRange:
    @pytest.mark.parametrize(("right", "said"), [((0, 255), (0, 1)), ((0, 1), (0, 255))])
    def test_another_range_is_found(self, right, said):
        low, high = right
        inputs = keras.Input(SHAPE)
        seen = keras.layers.ReLU(max_value=1.0)((inputs - low) / (high - low) * 2 - 1)  # black and white are its limits
        model = keras.Model(inputs, keras.layers.Dense(3, name="head")(keras.layers.Flatten()(seen)))
        kernel = np.zeros((6, 6, 3), np.float32)
        for number in range(3):
            kernel[2 * number : 2 * number + 2, :, number] = 1
        model.get_layer("head").set_weights([kernel.reshape(-1, 3), np.array([0.0, 0.0, 0.01], np.float32)])
        images, labels = np.random.default_rng(0).uniform(0.02, 0.1, (90, *SHAPE)).astype(np.float32), np.arange(90) % 3
        for image, label in zip(images, labels, strict=True):
            image[2 * label : 2 * label + 2] += 0.8
        classifier = KerasClassifier(model, input_range=said, batch_size=32)
        data = Dataset(MemorySource(images, labels), classes=classifier.classes, image_shape=SHAPE)
        found = {mistake.kind: mistake for mistake in find_mistakes(classifier, data)}
        assert found["range"].input_range == right
        assert f"[{low:g}, {high:g}]" in found["range"].text
        assert find_mistakes(classifier.fed_in(right), data) == []


def test_what_the_user_says_is_right_is_taken_as_written(world: World, command: Command) -> None:
    world.replace('labels = "labels.txt"', 'labels = ["boat", "cat", "dog"]')
    world.replace('source = "images.npz"', 'source = "images.npz"\nas_written = true')
    world.replace('target = "boat"', 'target = "dog"')
    world.save_images(labels=np.array(CLASSES)[make_data()["labels"]])
    command("audit", world.config, "--quiet")
    (finding,), notes = world.result().findings, {note.kind: note.text for note in world.result().warnings}
    assert "no verdict is given" not in finding.reason
    assert "the model is right on" in notes["mistake"]
    assert notes["mistake"].endswith("It is taken as written, as as_written says.")


def test_no_verdict_stands_where_labels_are_in_another_order(world: World, command: Command) -> None:
    world.replace('labels = "labels.txt"', 'labels = ["boat", "cat", "dog"]')
    world.save_images(labels=np.array(CLASSES)[make_data()["labels"]])

    ending = command("validate", world.config)
    assert "note: With the classes in the order cat, dog, boat the model is right on " in ending.out
    ending = command("audit", world.config, "--quiet")
    assert ending.code == 4
    (finding,) = world.result().findings
    assert finding.verdict == "inconclusive"
    notes = {note.kind: note.text for note in world.result().warnings}
    assert notes["mistake"].endswith("If all is right as written, as_written = true under [data] says so.")
