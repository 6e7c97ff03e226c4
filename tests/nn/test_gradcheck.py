"""The gradient check accepts correct gradients and detects wrong ones."""

import numpy as np
import pytest

from tests.support.estimators import quick
from tinyclf import (
    SGD,
    Buffer,
    Dense,
    Identity,
    Layer,
    Loss,
    Network,
    ReLU,
    SoftmaxCrossEntropy,
    Tanh,
    softmax,
    train,
)
from tinyclf.gradcheck import check_layer, check_loss, gradient_error


class Scale(Layer):
    """y = a x + c, with correct gradients."""

    def parameters(self, n_in, rng):
        return {"a": np.full(n_in, 2.0), "c": np.zeros(n_in)}

    def forward(self, p, t):
        t.y = p.a * t.x + p.c

    def backward(self, p, g, t):
        g.a = np.sum(t.dy * t.x, axis=0)
        g.c = np.sum(t.dy, axis=0)
        t.dx = t.dy * p.a


class ForgetsDx(Scale):
    def backward(self, p, g, t):
        g.a = np.sum(t.dy * t.x, axis=0)
        g.c = np.sum(t.dy, axis=0)


class ForgetsAParameter(Scale):
    def backward(self, p, g, t):
        g.a = np.sum(t.dy * t.x, axis=0)
        t.dx = t.dy * p.a


class WrongParameter(Scale):
    def backward(self, p, g, t):
        super().backward(p, g, t)
        g.a *= 1.001


class WrongSlope(Tanh):
    def backward(self, p, g, t):
        t.dx = t.dy * (1 - t.y)


class ReadsWhatIsOverwritten(Identity):
    """Inherits ``reads_y=False``, so that its output may be overwritten, and reads it in backward."""

    def forward(self, p, t):
        t.y = np.tanh(t.x)

    def backward(self, p, g, t):
        t.dx = t.dy * (1 - t.y**2)


class WritesItsInput(Layer):
    def forward(self, p, t):
        t.x *= 2
        t.y = t.x

    def backward(self, p, g, t):
        t.dx = 2 * t.dy


class ForgetsY(Layer):
    def forward(self, p, t):
        pass

    def backward(self, p, g, t):
        t.dx = 0 * t.dy


class NoSlope(ReLU):
    def backward(self, p, g, t):
        t.dx = 0 * t.dy


class AddsUp(Scale):
    """Adds to the gradient instead of overwriting it."""

    def backward(self, p, g, t):
        g.a += np.sum(t.dy * t.x, axis=0)
        g.c = np.sum(t.dy, axis=0)
        t.dx = t.dy * p.a


class BatchNorm(Layer):
    """The output of a row depends on the mean and the deviation of the batch; the gradient is correct."""

    def buffers(self, n_in):
        return {"z": Buffer((n_in,)), "std": Buffer((n_in,))}

    def normalize(self, t):
        t.std = np.broadcast_to(np.sqrt(t.x.var(axis=0) + 1e-5), t.x.shape)
        t.z = (t.x - t.x.mean(axis=0)) / t.std

    def forward(self, p, t):
        self.normalize(t)
        t.y = t.z

    def backward(self, p, g, t):
        t.dx = (t.dy - t.dy.mean(axis=0) - t.z * np.mean(t.dy * t.z, axis=0)) / t.std


class BatchNormInTraining(BatchNorm):
    def forward(self, p, t):
        super().forward(p, t)
        if not t.training:
            t.y = t.x


class BatchNormInPrediction(BatchNorm):
    def forward(self, p, t):
        t.std, t.z, t.y = np.ones_like(t.x), t.x, t.x
        if not t.training:
            super().forward(p, t)

    def backward(self, p, g, t):
        t.dx = t.dy


class AddsThePreviousRow(Layer):
    def forward(self, p, t):
        t.y = t.x
        t.y[1:] += t.x[:-1]

    def backward(self, p, g, t):
        t.dx = t.dy
        t.dx[:-1] += t.dy[1:]


@pytest.mark.parametrize(
    "layer",
    [BatchNorm(), BatchNormInTraining(), BatchNormInPrediction(), AddsThePreviousRow()],
    ids=repr,
)
def test_a_layer_that_mixes_rows_is_detected(layer):
    assert check_layer(layer, n_in=4) > 0.01


def test_a_layer_whose_output_is_zero_passes():
    class Zero(Layer):
        def forward(self, p, t):
            t.y = 0 * t.x

        def backward(self, p, g, t):
            t.dx = 0 * t.dy

    assert check_layer(Zero(), n_in=4) < 1e-7


class ReturnsY(Scale):
    def forward(self, p, t):
        return p.a * t.x + p.c


class ReturnsDx(Scale):
    def backward(self, p, g, t):
        super().backward(p, g, t)
        return t.dy * p.a


@pytest.mark.parametrize(
    ("layer", "match"),
    [
        (ReturnsY(), r"ReturnsY.forward must write its result into t.y, .*returns.*`t.y = \.\.\.`"),
        (ReturnsDx(), r"ReturnsDx.backward must write its result into t.dx, .*returns"),
    ],
    ids=repr,
)
def test_a_layer_that_returns_what_it_must_write_is_refused_with_the_fix(layer, match):
    X, y = np.eye(4), [0, 1, 0, 1]
    for use in (
        lambda: check_layer(layer, n_in=4),
        lambda: list(train(Network([Dense(3), layer, Dense(2)], 4), X, y)),
        lambda: quick(activation=layer, max_iter=1).fit(X, y),
    ):
        with pytest.raises(TypeError, match=match):
            use()


def test_a_layer_that_writes_its_output_and_returns_it_passes():
    class Both(Scale):
        def forward(self, p, t):
            super().forward(p, t)
            return t.y

        def backward(self, p, g, t):
            super().backward(p, g, t)
            return t.dx

    assert check_layer(Both(), n_in=4) < 1e-9


def test_an_optimizer_that_returns_its_step_is_refused_with_the_fix():
    class Plain(SGD):
        def update(self, g, s, rate):
            return rate * g

    with pytest.raises(TypeError, match=r"Plain.update must write its result into g\[\.\.\.\], .*returns"):
        list(train(Network([Dense(2)], 4), np.eye(4), [0, 1, 0, 1], optimizer=Plain(0.1)))


def test_a_loss_that_returns_its_gradient_is_refused_with_the_fix():
    class Both(SoftmaxCrossEntropy):
        def rows(self, z, y, dz, t):
            return super().rows(z, y, dz, t), softmax(z)

    with pytest.raises(ValueError, match="got a tuple of 2; write the gradient into dz"):
        list(train(Network([Dense(2)], 4), np.eye(4), [0, 1, 0, 1], loss=Both()))


def test_a_correct_layer_passes():
    assert check_layer(Scale(), n_in=4) < 1e-9


@pytest.mark.parametrize(
    "layer",
    [
        ForgetsDx(),
        ForgetsAParameter(),
        WrongParameter(),
        WrongSlope(),
        NoSlope(),
        AddsUp(),
        ReadsWhatIsOverwritten(),
        WritesItsInput(),
        ForgetsY(),
    ],
    ids=repr,
)
def test_a_wrong_backward_is_detected(layer):
    assert not check_layer(layer, n_in=4) < 1e-5


class OffByTheLabel(SoftmaxCrossEntropy):
    def rows(self, z, y, dz, t):
        losses = super().rows(z, y, dz, t)
        dz[...] = softmax(z)
        return losses


class Forgets(Loss):
    def rows(self, z, y, dz, t):
        return np.zeros(len(z))


def test_an_output_that_is_not_written_is_detected_whatever_the_memory_holds(monkeypatch):
    monkeypatch.setattr(np, "empty", np.zeros)  # a constant output would have the gradient 0
    assert np.isnan(check_layer(ForgetsY(), n_in=4))


class ChangesItsLogits(SoftmaxCrossEntropy):
    def rows(self, z, y, dz, t):
        z -= z.max(axis=1, keepdims=True)
        return super().rows(z, y, dz, t)


class ForgetsTheWeights(SoftmaxCrossEntropy):
    def value_and_grad(self, z, y, w, dz, t):
        super().value_and_grad(z, y, None, dz, t)
        return super().value_and_grad(z, y, w, np.empty_like(z), t)


@pytest.mark.parametrize(
    "loss", [OffByTheLabel(), Forgets(), ChangesItsLogits(), ForgetsTheWeights()], ids=repr
)
def test_a_wrong_gradient_of_a_loss_is_detected(loss):
    assert not check_loss(loss, n_classes=3) < 1e-5


def test_zero_directions_and_a_gradient_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="directions must be at least 1, got 0"):
        gradient_error(np.sum, np.ones(3), np.ones(3), directions=0)
    with pytest.raises(ValueError, match=r"shape of x, \(3,\), got \(2,\)"):
        gradient_error(np.sum, np.ones(2), np.ones(3))


def test_a_check_is_reproducible_with_a_seed_and_the_default_seed_is_zero():
    x = np.random.default_rng(0).normal(size=20)
    checks = [
        (lambda **k: gradient_error(lambda x: np.sum(x**3), x**2, x, **k), {"h": 1e-4, "directions": 8}),
        (lambda **k: check_layer(WrongParameter(), 4, **k), {"batch_size": 7}),
        (lambda **k: check_loss(OffByTheLabel(), 4, **k), {"batch_size": 7}),
    ]
    for check, defaults in checks:
        assert check() == check(seed=0, **defaults)
        assert check(seed=1) == check(seed=1) != check()


def test_the_error_is_relative_and_small_for_the_true_gradient():
    x = np.random.default_rng(0).normal(size=20)
    for scale in (1e-6, 1.0, 1e6):
        right = scale * 3 * x**2
        assert gradient_error(lambda x, s=scale: s * np.sum(x**3), right, x) < 1e-9
        assert 5e-4 < gradient_error(lambda x, s=scale: s * np.sum(x**3), 1.001 * right, x) < 2e-3
    assert gradient_error(lambda x: 1.0, np.zeros(20), x) == 0.0
    assert gradient_error(lambda x: 0.0, np.zeros(20), x) == 0.0
    assert gradient_error(lambda x: np.sum(x), np.zeros(20), x) == 1.0
    assert gradient_error(lambda x: np.sum(softmax(x)), np.zeros(20), x) < 1e-7  # only rounding differs
    assert np.isnan(gradient_error(lambda x: np.sum(x), np.full(20, np.nan), x))
