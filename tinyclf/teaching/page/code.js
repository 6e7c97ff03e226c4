// The Python code that prints the numbers of a step, by the id of its section.

"use strict";

const DATA_SEEDS = `range(${DATA.seeds[0]}, ${DATA.seeds[DATA.seeds.length - 1] + 1})`;
const quoted = (names) => `(${names.map((name) => `"${name}", `).join("").trim()})`;

// An array, or a number, of the selected type; and the line that imports the type, if NumPy does not have it.
const typed = (words) => (state.dtype === "bfloat16" ? `Bfloat16(${words})` : `np.array(${words}, np.${state.dtype})`);
const importOfType = () => (state.dtype === "bfloat16" ? "from tinyclf.teaching.bfloat16 import Bfloat16\n" : "");

// Loss and gradient of one row; `shown` are the parts of the gradient to print.
const rowCode = (names, z, label, shown) => `import numpy as np

${importOfType()}from tinyclf.teaching.naive_losses import LOSSES, evaluate

with np.errstate(over="ignore"):
    z = ${typed(`[[${z.join(", ")}]]`)}
for name in ${quoted(names)}:
    loss, gradient = evaluate(LOSSES[name], z, [${label}])
    print(name, loss[0], ${shown})
`;

const accuracyCode = (experiment, names) => `import numpy as np

from tinyclf.teaching.experiments import ${experiment}

for name in ${quoted(names)}:
    runs = list(${experiment}.outcomes([name], ${DATA_SEEDS}, "float32"))
    accuracies = [run.accuracy for run in runs if np.isfinite(run.accuracy)]
    print(name, np.mean(accuracies) if accuracies else np.nan, accuracies)
`;

const CODE = {
  vectors: () => `import numpy as np

from tinyclf import log_softmax, softmax

z = np.array([${DATA.vectors[state.vector].x.join(", ")}])
with np.errstate(all="ignore"):
    E = np.exp(z)
    p = softmax(z)
    table = np.column_stack([z, E, E / E.sum(), p, np.log(p), log_softmax(z)])
print("z, exp z, naive softmax, softmax, log(softmax), log-softmax")
for row in table:
    print(*row)
`,

  thresholds: () => `import numpy as np

from tinyclf.teaching.arithmetic import thresholds
${importOfType()}
with np.errstate(all="ignore"):
    x = ${typed(state.x)}
    print("exp(x) =", np.exp(x))
    print("exp(-x) =", np.exp(-x))
    print("log(1 + exp(-x)) =", np.log(1 + np.exp(-x)))
for dtype in ${quoted(DTYPES)}:
    print(dtype, thresholds(dtype))
`,

  half: () => rowCode(chosen(SHOWN), state.z, state.label, "*-gradient[0]"),

  gradient: () => rowCode(chosen(SHOWN), [state.scale, 0], 1, "-gradient[0, 1]"),

  training: () => `import numpy as np

from tinyclf.teaching.experiments import UNSCALED

for name in ${quoted(chosen(SHOWN))}:
    runs = list(UNSCALED.outcomes([name], ${DATA_SEEDS}, "${DATA.runs[state.run].dtype}"))
    reported, true = (np.mean([run.curve[-1] for run in runs]), np.mean([run.true_loss for run in runs]))
    accuracies = [run.accuracy for run in runs if np.isfinite(run.accuracy)]
    print(name, reported, true, np.mean(accuracies) if accuracies else np.nan)
`,

  quiet: () => `from tinyclf.teaching.experiments import QUIET

for name in ("clipped", "stable"):
    _, run = QUIET.train(name, ${state.seed})
    print(name, run.accuracy, *run.recall)
`,

  tiny: () => rowCode(["textbook", "stable"], [state.gap, 0], 0, "gradient[0, 0]"),
  "not-cured": () => accuracyCode("STEEP", Object.keys(DATA.runs.steep.losses)),
  cure: () => accuracyCode("SCALED", Object.keys(DATA.runs.scaled.losses)),
};
