"""What goes wrong in training, with its numbers and the fix."""

from __future__ import annotations


class DivergenceError(ValueError):
    """Training met a number that is not finite.

    Attributes
    ----------
    epoch, batch : int
        Where it happened, counted from 1.
    loss : float
        The loss of that batch; finite if it was the step after it that broke the parameters.
    largest_input, largest_logit : float
        The largest magnitudes in that batch (nan if one of them is nan).
    learning_rate : float
        The learning rate of that step.
    """

    def __init__(
        self,
        *,
        epoch: int,
        batch: int,
        loss: float,
        largest_input: float,
        largest_logit: float,
        learning_rate: float,
    ) -> None:
        self.epoch = epoch
        self.batch = batch
        self.loss = loss
        self.largest_input = largest_input
        self.largest_logit = largest_logit
        self.learning_rate = learning_rate
        super().__init__(
            f"training stopped being finite in epoch {epoch}, batch {batch}: the loss is {loss:.4g}, "
            f"the largest input {largest_input:.4g}, the largest logit {largest_logit:.4g} in magnitude. "
            "Scale the inputs (StandardScaler) or lower the learning rate "
            f"(now {learning_rate:.3g})."
        )

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions pickle their message only; a parallel search sends this one between processes.
        return _rebuilt, (dict(vars(self)),)


def _rebuilt(values: dict[str, float]) -> DivergenceError:
    return DivergenceError(**values)  # type: ignore[arg-type]
