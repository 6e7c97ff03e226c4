"""Callbacks, losses, schedules, scorers and containers that stand for those of users."""

import numpy as np

from tinyclf import SoftmaxCrossEntropy


class Crash(Exception):
    """An error that no code catches."""


class Ends:
    """A callback that ends the fit after an epoch: by an error, by Ctrl-C, or by returning True."""

    def __init__(self, after, how):
        self.after = after
        self.how = how

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch" and estimator.n_iter_ == self.after:
            if self.how is True:
                return True
            raise self.how("the end")


def half(progress):
    """A custom schedule."""
    return 0.5


class Warmup:
    """A custom schedule with a parameter."""

    def __init__(self, fraction):
        self.fraction = fraction

    def __call__(self, progress):
        return min(1.0, progress / self.fraction)


def negative_entropy(model, X, y):
    """A custom scorer."""
    p = model.predict_proba(X)
    return np.sum(p * np.log(p + 1e-9))


class Interrupts(SoftmaxCrossEntropy):
    """A loss that raises KeyboardInterrupt in the batch with this number."""

    def __init__(self, at):
        object.__setattr__(self, "label_smoothing", 0.0)
        object.__setattr__(self, "batches", iter([False] * (at - 1) + [True]))

    def rows(self, z, y, dz, t):
        if next(self.batches, False):
            raise KeyboardInterrupt
        return super().rows(z, y, dz, t)


class ArrayOnly:
    """A container with ``__array__`` alone, which may have a dtype of its own library."""

    dtype = "lib.float32"

    def __init__(self, held):
        self.held = np.asarray(held)

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.held, dtype)


class WithLength(ArrayOnly):
    """A container with a length, but neither a shape nor rows."""

    def __len__(self):
        return len(self.held)


class StaticFrame(WithLength):
    """A data frame of a library that is not known, whose rows cannot be taken by any usual method."""

    columns = ("a", "b", "c")

    @property
    def shape(self):
        return self.held.shape

    def take(self, *given, **named):
        raise AssertionError("rows were taken from what was passed")

    __getitem__ = take


class Tensor(ArrayOnly):
    """A tensor: an array with ``__dlpack__``."""

    @property
    def shape(self):
        return self.held.shape

    def __len__(self):
        return len(self.held)

    def __dlpack__(self, **named):
        return self.held.__dlpack__(**named)

    def __dlpack_device__(self):
        return self.held.__dlpack_device__()


class Counted:
    """An entry that counts how often it was used."""

    uses = 0

    def __init__(self, value):
        self.value = float(value)

    def _use(self, *given):
        Counted.uses += 1
        return self.value

    __float__ = __lt__ = __str__ = __repr__ = _use

    def __eq__(self, other):
        Counted.uses += 1
        return self is other

    def __hash__(self):
        Counted.uses += 1
        return 0
