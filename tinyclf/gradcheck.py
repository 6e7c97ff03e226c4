"""The checks of gradients in `nn.gradcheck`, under their public import path."""

from .nn.gradcheck import check_layer as check_layer
from .nn.gradcheck import check_loss as check_loss
from .nn.gradcheck import gradient_error as gradient_error
