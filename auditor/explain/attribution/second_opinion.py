"""A second opinion on our maps: tf-explain, an independent implementation of the same methods.

Only its raw static methods are used; they are sound. Nothing of it is ever on the scoring path.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from auditor.explain.attribution.likeness import correlations
from auditor.explain.attribution.question import Question
from auditor.explain.attribution.record import Agreement
from auditor.measure.arrays import Floats, Groups
from auditor.measure.intervals import mean_interval
from auditor.subject.model.anatomy import trace
from auditor.subject.model.keras import KerasClassifier


def compare_with_tf_explain(question: Question, groups: Groups, level: float) -> list[Agreement]:
    """Pearson correlation of our raw gradient and Grad-CAM features with those of tf-explain, per image.

    All images must ask for the same target. Grad-CAM is compared before enlargement, so that only the two
    implementations differ, not their resampling.

    References: Meudec, "tf-explain" (2021).
    """
    classifier, found = question.classifier, []
    for name, compare in {"gradient": _compare_gradient, "grad_cam": _compare_grad_cam}.items():
        reason = _inapplicable(question, name)
        if reason is not None:
            found.append(Agreement(name, "not_applicable", reason, None, None))
            continue
        assert isinstance(classifier, KerasClassifier)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # tf-explain nests its inputs in a list, of which Keras warns
                ours, theirs = compare(question, classifier)
        except Exception as fault:  # a second opinion that fails must not end the audit
            reason = f"tf-explain failed: {type(fault).__name__}: {fault}"[:300]
            found.append(Agreement(name, "error", reason, None, None))
            continue
        correlation = mean_interval(correlations(ours, theirs), groups, level, unit="correlation")
        largest = float(np.abs(ours - theirs).max() / max(float(np.abs(ours).max()), 1e-30))
        found.append(Agreement(name, "ok", None, correlation, largest))
    return found


def _inapplicable(question: Question, method: str) -> str | None:
    classifier = question.classifier
    if not isinstance(classifier, KerasClassifier):
        return "tf-explain needs a Keras model"
    if classifier.structure != "functional":
        return f"tf-explain runs on plain functional models only (this one: {classifier.structure})"
    if classifier.input_range is None:
        return "the model is fed through a preprocessing function"
    if classifier.score_name != "logit" or classifier.output == "binary" or not classifier.can_give_logits:
        return "tf-explain reads the model's output itself, and that is no logit per class here"
    if method == "gradient":
        return "no method that reads the gradient is on" if np.isnan(question.first.gradient).any() else None
    if question.first.features:
        return None
    return "no method that reads feature maps is on" if classifier.feature_layers else "the model has no feature maps"


def _compare_gradient(question: Question, classifier: KerasClassifier) -> tuple[Floats, Floats]:
    from tf_explain.core.vanilla_gradients import VanillaGradients

    # as it stands it would trace every model into one function, which keeps the graphs and warns of them
    differentiate, target = VanillaGradients.compute_gradients.python_function, int(question.targets[0])
    inputs = classifier.to_input(question.images)
    with classifier.as_logits() as model:
        theirs = _in_graph(lambda images: differentiate(images, model, target), inputs)
    scale = classifier.input_scale or 1.0
    return question.first.gradient, theirs.numpy().reshape(question.images.shape) * scale


def _compare_grad_cam(question: Question, classifier: KerasClassifier) -> tuple[Floats, Floats]:
    from tf_explain.core.grad_cam import GradCAM

    # as a graph: run op by op it also differentiates the kernels, which nobody reads, and that can crash TensorFlow
    differentiate, target = GradCAM.get_gradients_and_filters, int(question.targets[0])
    layer = next(iter(question.first.features))
    inputs = classifier.to_input(question.images)
    with classifier.as_logits() as model:
        outputs, slopes = _in_graph(lambda images: differentiate(model, images, layer, target, False), inputs)
    theirs = np.stack([cam.numpy() for cam in GradCAM.generate_ponderated_output(outputs, slopes)])
    weights = question.first.feature_gradients[layer].mean(axis=(1, 2))
    ours = np.einsum("nhwk,nk->nhw", question.first.features[layer], weights)
    return np.maximum(ours, 0), np.maximum(theirs, 0)


def _in_graph(function: Callable[[Any], Any], inputs: Any) -> Any:
    """What a function gives for a tensor, from a graph that nothing keeps."""
    import tensorflow as tf

    return trace(function, tf.TensorSpec(inputs.shape, inputs.dtype), in_place=False)(inputs)
