"""
Export to ONNX
==============

Export a network and a pipeline; onnxruntime computes the same predictions without tinyclf.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tinyclf import TinyClassifier, to_onnx

path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp()) / "wine.onnx"
wine = load_wine()
X_train, X_test, y_train, y_test = train_test_split(
    wine.data, wine.target_names[wine.target], stratify=wine.target, random_state=0
)
network = TinyClassifier(random_state=0).fit(X_train, y_train)  # scales the columns internally
pipeline = make_pipeline(StandardScaler(), TinyClassifier(random_state=0)).fit(X_train, y_train)

for name, model in (("network", network), ("pipeline", pipeline)):
    for rows in (X_test, X_test.astype(np.float32)):
        path.write_bytes(to_onnx(model, rows).SerializeToString())
        session = onnxruntime.InferenceSession(path)
        label, probabilities = session.run(["label", "probabilities"], {"X": rows})
        largest = np.abs(probabilities - model.predict_proba(rows)).max()
        same = bool((label == model.predict(rows)).all())
        print(f"{name:8} {rows.dtype}: same labels: {same}, probabilities differ by {largest:.0e}")

print(f"the file {path} has {path.stat().st_size} bytes; the network alone consists of the operators")
print(", ".join(node.op_type for node in to_onnx(network).graph.node))
