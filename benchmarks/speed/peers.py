"""Other makers' explanations behind one signature: (images, targets, amount) to maps (n, h, w, c or 1).

Each is called as its documentation shows, with the largest batches that it offers up to `BATCH` images, and without
what it draws afterwards. The amount is of noisy samples or of steps; who takes none ignores it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

Explain = Callable[[np.ndarray, np.ndarray, int], np.ndarray]

BATCH = 32
NOISE = 0.15
METHODS = ("gradient", "grad_cam", "smoothgrad", "integrated_gradients")


def tf_explain(model: Any, layer: str) -> dict[str, Explain]:
    import tensorflow as tf
    from tf_explain.core.grad_cam import GradCAM
    from tf_explain.core.integrated_gradients import IntegratedGradients
    from tf_explain.core.smoothgrad import SmoothGrad
    from tf_explain.core.vanilla_gradients import VanillaGradients

    likely = tf.keras.Model(model.input, tf.keras.layers.Softmax()(model.output))  # its loss is of probabilities

    def each(explain: Callable[[np.ndarray, int], Any]) -> Any:
        return lambda images, targets: np.concatenate(
            [np.asarray(explain(image[None], int(target))) for image, target in zip(images, targets, strict=True)]
        )

    def smooth(image: np.ndarray, target: int, samples: int) -> np.ndarray:
        parts = []
        for start in range(0, samples, BATCH):
            count = min(BATCH, samples - start)
            noisy = SmoothGrad.generate_noisy_images(image, count, NOISE)
            parts.append(count * SmoothGrad.get_averaged_gradients(noisy, likely, target, count).numpy())
        return sum(parts) / samples

    def path(image: np.ndarray, target: int, steps: int) -> np.ndarray:
        points = IntegratedGradients.generate_interpolations(image, steps)
        return IntegratedGradients.get_integrated_gradients(points, model, target, steps).numpy() * image

    def cam(image: np.ndarray, target: int) -> np.ndarray:
        outputs, slopes = GradCAM.get_gradients_and_filters(model, image, layer, target, False)
        return np.stack([one.numpy() for one in GradCAM.generate_ponderated_output(outputs, slopes)])[..., None]

    return {
        "gradient": lambda x, t, _: each(lambda i, c: VanillaGradients.compute_gradients(i, model, c))(x, t),
        "grad_cam": lambda x, t, _: each(cam)(x, t),
        "smoothgrad": lambda x, t, n: each(lambda i, c: smooth(i, c, n))(x, t),
        "integrated_gradients": lambda x, t, n: each(lambda i, c: path(i, c, n))(x, t),
    }


def xplique(model: Any, layer: str) -> dict[str, Explain]:
    from xplique.attributions import GradCAM, IntegratedGradients, Saliency, SmoothGrad

    classes = model.output_shape[-1]

    def ask(explainer: Any, images: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return np.asarray(explainer.explain(images, np.eye(classes, dtype=np.float32)[targets]))

    kept: dict[tuple[str, int], Any] = {}  # each explainer is made once, as its own traces are

    def once(kind: Any, amount: int = 0, **options: Any) -> Any:
        key = kind.__name__, amount
        kept.setdefault(key, kind(model, batch_size=BATCH, **options))
        return kept[key]

    return {
        "gradient": lambda x, t, _: ask(once(Saliency, reducer=None), x, t),
        "grad_cam": lambda x, t, _: ask(once(GradCAM, conv_layer=layer), x, t),
        "smoothgrad": lambda x, t, n: ask(once(SmoothGrad, n, nb_samples=n, noise=NOISE, reducer=None), x, t),
        "integrated_gradients": lambda x, t, n: ask(once(IntegratedGradients, n, steps=n, reducer=None), x, t),
    }


def tf_keras_vis(model: Any, layer: str) -> dict[str, Explain]:
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.saliency import Saliency
    from tf_keras_vis.utils.scores import CategoricalScore

    saliency, cam = Saliency(model, clone=False), Gradcam(model, clone=False)
    raw = {"keepdims": True, "gradient_modifier": None, "normalize_map": False}

    def smooth(images: np.ndarray, targets: np.ndarray, samples: int) -> np.ndarray:
        spread = images.max(axis=(1, 2, 3), keepdims=True) - images.min(axis=(1, 2, 3), keepdims=True)
        score = CategoricalScore(targets.tolist())
        found = saliency(score, images, smooth_samples=samples, smooth_noise=NOISE / spread[None], **raw)
        return np.asarray(found)

    return {
        "gradient": lambda x, t, _: np.asarray(saliency(CategoricalScore(t.tolist()), x, **raw)),
        "grad_cam": lambda x, t, _: np.asarray(
            cam(CategoricalScore(t.tolist()), x, penultimate_layer=layer, normalize_cam=False)
        )[..., None],
        "smoothgrad": smooth,
    }


def pair_saliency(model: Any, layer: str) -> dict[str, Explain]:
    import saliency.core as saliency
    import tensorflow as tf

    both = tf.keras.Model(model.input, [model.get_layer(layer).output, model.output])

    @tf.function
    def by_pixels(images: Any, target: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(images)
            score = model(images, training=False)[:, target]
        return tape.gradient(score, images)

    @tf.function
    def by_features(images: Any, target: Any) -> Any:
        with tf.GradientTape() as tape:
            features, scores = both(images, training=False)
            tape.watch(features)
            score = scores[:, target]
        return features, tape.gradient(score, features)

    def call(images: np.ndarray, call_model_args: Any, expected_keys: Any) -> dict[str, np.ndarray]:
        target = call_model_args
        batch = tf.constant(images, tf.float32)
        if saliency.INPUT_OUTPUT_GRADIENTS in expected_keys:
            return {saliency.INPUT_OUTPUT_GRADIENTS: by_pixels(batch, target).numpy()}
        values, slopes = by_features(batch, target)
        return {
            saliency.CONVOLUTION_LAYER_VALUES: values.numpy(),
            saliency.CONVOLUTION_OUTPUT_GRADIENTS: slopes.numpy(),
        }

    def each(explain: Callable[[np.ndarray, Any], np.ndarray], x: np.ndarray, t: np.ndarray) -> np.ndarray:
        return np.stack([explain(one, tf.constant(int(at))) for one, at in zip(x, t, strict=True)])

    slope, path, cam = saliency.GradientSaliency(), saliency.IntegratedGradients(), saliency.GradCam()

    def smooth(image: np.ndarray, target: Any, samples: int) -> np.ndarray:
        options = {"stdev_spread": NOISE / np.ptp(image), "nsamples": samples, "magnitude": False}
        return slope.GetSmoothedMask(image, call, target, **options)

    return {
        "gradient": lambda x, t, _: each(lambda i, c: slope.GetMask(i, call, c), x, t),
        "grad_cam": lambda x, t, _: each(lambda i, c: cam.GetMask(i, call, c), x, t)[..., None],
        "smoothgrad": lambda x, t, n: each(lambda i, c: smooth(i, c, n), x, t),
        "integrated_gradients": lambda x, t, n: each(
            lambda i, c: path.GetMask(i, call, c, x_steps=n, batch_size=BATCH), x, t
        ),
    }


def captum(model: Any, layer: str) -> dict[str, Explain]:
    import torch
    from captum.attr import IntegratedGradients, LayerAttribution, LayerGradCam, NoiseTunnel, Saliency
    from networks import to_torch

    network = to_torch(model)
    saliency, path = Saliency(network), IntegratedGradients(network)
    tunnel, cam = NoiseTunnel(saliency), LayerGradCam(network, network.part(layer))

    def ask(explain: Callable[[Any, Any], Any], images: np.ndarray, targets: np.ndarray) -> np.ndarray:
        given = torch.tensor(images.transpose(0, 3, 1, 2).copy())
        return explain(given, torch.tensor(targets)).detach().numpy().transpose(0, 2, 3, 1)

    def smooth(images: Any, targets: Any, samples: int) -> Any:
        together = max(1, BATCH // len(images))
        options = {"nt_type": "smoothgrad", "nt_samples": samples, "nt_samples_batch_size": together, "stdevs": NOISE}
        return tunnel.attribute(images, target=targets, abs=False, **options)

    def weigh(images: Any, targets: Any) -> Any:
        found = cam.attribute(images, target=targets, relu_attributions=True)
        return LayerAttribution.interpolate(found, images.shape[2:], "bilinear")

    return {
        "gradient": lambda x, t, _: ask(lambda i, c: saliency.attribute(i, target=c, abs=False), x, t),
        "grad_cam": lambda x, t, _: ask(weigh, x, t),
        "smoothgrad": lambda x, t, n: ask(lambda i, c: smooth(i, c, n), x, t),
        "integrated_gradients": lambda x, t, n: ask(
            lambda i, c: path.attribute(i, target=c, n_steps=n, internal_batch_size=BATCH), x, t
        ),
    }


PEERS: dict[str, Callable[[Any, str], dict[str, Explain]]] = {
    "tf-explain": tf_explain,
    "xplique": xplique,
    "tf-keras-vis": tf_keras_vis,
    "PAIR saliency": pair_saliency,
    "captum": captum,
}


def open_peers(model: Any, layer: str) -> tuple[dict[str, dict[str, Explain]], dict[str, str]]:
    """The peers that can be used, and why not of the others."""
    found, missing = {}, {}
    for name, make in PEERS.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found[name] = make(model, layer)
        except Exception as fault:
            missing[name] = f"{type(fault).__name__}: {fault}".splitlines()[0]
    return found, missing
