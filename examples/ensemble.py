"""
An ensemble of networks
=======================

Train eight networks that share their first layer's weights. Their mean is usually better than one network.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, log_loss

from tinyclf import (
    Adam,
    Dense,
    MemberDense,
    MemberLoss,
    Network,
    ReLU,
    SharedDense,
    SoftmaxCrossEntropy,
    softmax,
    train,
)

X, y = load_digits(return_X_y=True)
X /= 16.0
k, results = 8, []

for seed in range(5):  # five splits, since the result of one split depends on chance
    order = np.random.default_rng(seed).permutation(len(X))
    training, test = order[:1000], order[1000:]
    settings = {"optimizer": Adam(0.01), "epochs": 20, "seed": seed}
    single = Network([Dense(64), ReLU(), Dense(10)], n_in=64, seed=seed)
    list(train(single, X[training], y[training], **settings))

    layers = [SharedDense(64, n_members=k), ReLU(), MemberDense(10, n_members=k)]
    network = Network(layers, n_in=64, seed=seed)
    loss = MemberLoss(SoftmaxCrossEntropy(), n_members=k)
    list(train(network, X[training], y[training], loss=loss, **settings))

    z = network.logits(X[test])  # the logits of all members, concatenated
    members = softmax(z.reshape(-1, k, 10)).transpose(1, 0, 2)
    predictions = softmax(single.logits(X[test])), loss.probabilities(z), *members
    results.append([(log_loss(y[test], p), accuracy_score(y[test], p.argmax(axis=1))) for p in predictions])

results = np.array(results)
rows = {"one network": results[:, 0], "a member": results[:, 2:], "mean of members": results[:, 1]}
for name, found in rows.items():
    print("{:16} log-loss {:.3f}, accuracy {:.3f}".format(name, *found.reshape(-1, 2).mean(axis=0)))
print("splits on which the mean has the lower log-loss:", (results[:, 1, 0] < results[:, 0, 0]).sum(), "of 5")
