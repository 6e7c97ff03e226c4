"""The workspace: buffers of layers and of the loss, and their slices for short batches."""

import numpy as np
import pytest

from tests.support.parts import LAYERS, PReLU
from tinyclf import Buffer, Dense, Dropout, Network, ReLU, SigmoidCrossEntropy, SoftmaxCrossEntropy, Tanh
from tinyclf.nn.workspace import Workspace


@pytest.mark.parametrize("name", ["x", "y", "dy", "dx", "ones", "training", "rng"])
def test_buffers_with_reserved_names_of_the_tape_are_refused(name):
    class Strange(PReLU):
        def buffers(self, n_in):
            return {name: Buffer(n_in)}

    with pytest.raises(ValueError, match=f"^'{name}' is reserved .*Strange$"):
        Network([Strange()], 3).workspace(2)


def test_tapes_of_a_short_batch_are_slices_made_once():
    workspace = Network([Dense(5), Tanh()], 4).workspace(8)
    short = workspace.tapes(3)
    assert workspace.tapes(3) is short
    assert np.shares_memory(short.layers[0].y, workspace.tapes(8).layers[0].y)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_buffers_have_the_requested_shape_and_the_dtype_of_the_network(dtype):
    class Buffered(PReLU):
        def buffers(self, n_in):
            return {"v": Buffer(n_in), "m": Buffer((n_in, 2), bool), "s": Buffer(())}

    network = Network([Buffered()], 3, dtype=dtype)
    t = network.workspace(5).tapes(4).layers[0]
    assert [(a.shape, a.dtype) for a in (t.v, t.m, t.s)] == [
        ((4, 3), dtype),
        ((4, 3, 2), bool),
        ((4,), dtype),
    ]


def test_prediction_stores_outputs_over_inputs_if_the_layers_allow_it():
    network = Network([Dense(4), Tanh(), ReLU()], 3)
    dense, tanh, relu = network.workspace(2, training=False).tapes(2).layers
    assert dense.y is tanh.y is relu.y
    dense, tanh, relu = network.workspace(2, training=True).tapes(2).layers
    assert dense.y is tanh.y
    assert relu.y is not tanh.y  # Tanh reads it again
    assert relu.dx is relu.dy


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_backward_allocates_nothing_for_the_lowest_layer(layer):
    network = Network([layer, Dense(2)], n_in=3, seed=0)
    lowest = network.workspace(4, rng=np.random.default_rng(0)).tapes(4).layers[0]
    assert lowest.dx is None


def test_buffers_take_no_more_memory_than_needed():
    relu, dropout = (
        Network([layer], 3).workspace(2, rng=np.random.default_rng(0)).tapes(2).layers[0]
        for layer in (ReLU(), Dropout(0.5))
    )
    assert [a.dtype for a in (relu.active, dropout.kept, dropout.bits)] == [bool, bool, np.uint16]
    for loss in (SoftmaxCrossEntropy(), SigmoidCrossEntropy()):
        names = {dtype: set(loss.buffers(3, dtype)) - {"top"} for dtype in ("float32", "float64")}
        assert names["float32"] == {"d", "E"}
        assert len(names["float64"]) == (4 if isinstance(loss, SoftmaxCrossEntropy) else 2)


def test_backward_goes_down_to_the_first_layer_by_default():
    workspace = Workspace([Tanh(), Tanh()], [3, 3, 3], "float64", 2)
    lowest, last = workspace.tapes(2).layers
    assert lowest.dx is None
    assert lowest.dy is last.dx
