"""
Whose loss is stable?
=====================

The audit of the cross-entropy of each installed library, and what it returns for five rows of logits.
"""

import argparse
import functools
import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from tinyclf import __version__, cross_entropy, cross_entropy_grad
from tinyclf.teaching.libraries import markdown, measure, write

# Each function takes logits (n, k) and labels (n,), and returns the losses (n,), or the losses and gradients.
# Those of a framework get and return its tensors, and the framework differentiates them.


def tinyclf_loss(z, t):
    return cross_entropy(z, t), cross_entropy_grad(z, t)


def minus_entries(log_p, t):
    return -np.asarray(log_p)[np.arange(len(t)), t]


def scipy_loss(z, t):
    from scipy.special import log_softmax

    return minus_entries(log_softmax(z, axis=1), t)


def mlp_classifier(z, t):
    from sklearn.neural_network._base import inplace_softmax, log_loss

    p, y = z.copy(), np.eye(z.shape[1], dtype=z.dtype)[t]
    inplace_softmax(p)
    return np.array([log_loss(y[[i]], p[[i]]) for i in range(len(t))]), p - y


def logistic_regression(z, t):
    from sklearn._loss import HalfMultinomialLoss

    return HalfMultinomialLoss(n_classes=z.shape[1]).loss_gradient(t.astype(z.dtype), z)


def torch_loss(z, t):
    from torch.nn.functional import cross_entropy

    return cross_entropy(z, t, reduction="none")


def jax_loss(z, t):
    from jax import nn

    return -nn.log_softmax(z)[np.arange(len(t)), t]


def optax_loss(z, t):
    import optax

    return optax.softmax_cross_entropy_with_integer_labels(z, t)


def tensorflow_loss(z, t):
    import tensorflow as tf

    return tf.nn.sparse_softmax_cross_entropy_with_logits(t, z)


def keras_logits(z, t):
    from keras import losses

    return losses.sparse_categorical_crossentropy(t, z, from_logits=True)


def keras_softmax(z, t):
    from keras import activations, losses

    return losses.sparse_categorical_crossentropy(t, activations.softmax(z))


def mlx_loss(z, t):
    import mlx.core as mx
    from mlx.nn.losses import cross_entropy

    with mx.stream(mx.cpu):  # only there is a float64, whose exp has the accuracy of float32
        logits, labels = mx.array(z, dtype=getattr(mx, z.dtype.name)), mx.array(t)
        gradients = mx.grad(lambda x: cross_entropy(x, labels).sum())(logits)
        return np.array(cross_entropy(logits, labels)), np.array(gradients)


def onnx_model(z):
    from onnx import TensorProto, helper

    kind = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}[z.dtype.name]
    x, y = (helper.make_tensor_value_info(name, kind, [None, None]) for name in "xy")
    graph = helper.make_graph([helper.make_node("LogSoftmax", ["x"], ["y"])], "audit", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def onnx_reference(z, t):
    from onnx.reference import ReferenceEvaluator

    return minus_entries(ReferenceEvaluator(onnx_model(z)).run(None, {"x": z})[0], t)


def onnx_runtime(z, t):
    from onnxruntime import InferenceSession

    return minus_entries(InferenceSession(onnx_model(z).SerializeToString()).run(None, {"x": z})[0], t)


@functools.cache
def java():
    from pyspark.sql import SparkSession

    settings = {"spark.driver.bindAddress": "127.0.0.1", "spark.ui.enabled": "false"}
    return SparkSession.builder.master("local[1]").config(map=settings).getOrCreate()._sc._gateway


def spark_mlp(z, t):
    layer = java().jvm.org.apache.spark.ml.ann.SoftmaxLayerModelWithCrossEntropyLoss()

    def column(values):
        array = java().new_array(java().jvm.double, len(values))
        for i, value in enumerate(values):
            array[i] = float(value)
        return java().jvm.breeze.linalg.DenseMatrix(len(values), 1, array)

    losses, gradients = np.zeros(len(z)), np.zeros(z.shape)
    for i, y in enumerate(np.eye(z.shape[1])[t]):
        p, gradient = column(y), column(y)
        layer.eval(column(z[i]), p)
        losses[i], gradients[i] = layer.loss(p, column(y), gradient), list(gradient.data())
    return losses, gradients


BACKENDS = {"jax": "JAX", "tensorflow": "TensorFlow", "torch": "PyTorch"}
KERAS = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# The library, what it calls, the packages that it needs, and the options of the audit.
LOSSES = {
    tinyclf_loss: ("tinyclf", "cross_entropy", [], {}),
    scipy_loss: ("SciPy", "log_softmax", ["scipy"], {}),
    mlp_classifier: ("scikit-learn", "MLPClassifier", ["scikit-learn"], {}),
    logistic_regression: ("scikit-learn", "LogisticRegression", ["scikit-learn"], {}),
    torch_loss: ("PyTorch", "cross_entropy", ["torch"], {"framework": "torch"}),
    jax_loss: ("JAX", "log_softmax", ["jax"], {"framework": "jax"}),
    optax_loss: ("Optax", "loss with integer labels", ["optax"], {"framework": "jax"}),
    tensorflow_loss: ("TensorFlow", "loss with logits", ["tensorflow"], {"framework": "tensorflow"}),
    keras_logits: ("Keras", "from_logits=True", ["keras", KERAS], {"framework": KERAS}),
    keras_softmax: (
        "Keras",
        f"softmax, on {BACKENDS.get(KERAS, KERAS)}",
        ["keras", KERAS],
        {"framework": KERAS},
    ),
    mlx_loss: ("MLX", "cross_entropy", ["mlx"], {"dtypes": ["float32"]}),
    onnx_reference: ("ONNX reference", "LogSoftmax", ["onnx"], {}),
    onnx_runtime: ("ONNX Runtime", "LogSoftmax", ["onnxruntime", "onnx"], {}),
    spark_mlp: ("Spark", "multilayer perceptron", ["pyspark"], {"dtypes": ["float64"]}),
}


def main():
    names = list(dict.fromkeys(library for library, *_ in LOSSES.values()))
    parser = argparse.ArgumentParser(description="Audit the cross-entropy of each installed library.")
    parser.add_argument("libraries", nargs="*", help=f"audit only these: {', '.join(names)}")
    parser.add_argument("--json", type=Path, help="add the results to this file, which keeps other versions")
    parser.add_argument("--picture", type=Path, help="draw the results of --json, or these; needs matplotlib")
    options = parser.parse_args()
    if unknown := set(options.libraries) - set(names):
        parser.error(f"{', '.join(unknown)} is none of {', '.join(names)}")
    for path in filter(None, (options.json, options.picture)):
        if not path.absolute().parent.is_dir():
            parser.error(f"there is no folder {path.absolute().parent}")
    entries = []
    for function, (library, call, packages, settings) in LOSSES.items():
        if options.libraries and library not in options.libraries:
            continue
        try:
            versions = [version(package) for package in packages] or [__version__]
            if function is spark_mlp and not shutil.which("java"):
                raise ImportError("Spark needs Java")
            entries.append(measure(function, library, call, versions[0], **settings))
        except (ImportError, ValueError) as error:  # a package that is missing or broken
            reason = f"{error.name} is not installed" if isinstance(error, PackageNotFoundError) else error
            print(f"{library}, {call}: skipped, {reason}", file=sys.stderr)
    if options.json:
        entries = write(options.json, entries)
    print(markdown(entries))
    if options.picture:
        from tinyclf.teaching.plots import save_libraries

        save_libraries(entries, options.picture)


if __name__ == "__main__":
    main()
