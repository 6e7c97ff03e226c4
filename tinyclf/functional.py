"""The exact functions of `nn.functional`, under their public import path."""

from .nn.functional import cross_entropy as cross_entropy
from .nn.functional import cross_entropy_grad as cross_entropy_grad
from .nn.functional import log_sigmoid as log_sigmoid
from .nn.functional import log_softmax as log_softmax
from .nn.functional import logsumexp as logsumexp
from .nn.functional import sigmoid as sigmoid
from .nn.functional import softmax as softmax
