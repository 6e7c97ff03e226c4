// Step 11: the audits of the losses of libraries.

"use strict";

// Each kind of fault has the mark and color of a loss that has it.
const FAULTS = [
  { kinds: ["nan", "inf"], name: "naive", words: "inf or nan" },
  { kinds: ["capped", "dead gradient"], name: "clipped", words: "an upper limit, or a gradient of 0" },
  { kinds: ["offset error"], name: "padded", words: "wrong if a number is added to all logits" },
  { kinds: ["false zero"], name: "textbook", words: "0 instead of a tiny value" },
];

const AUDITS = DATA.wall.map(({ library, call, version, returns, audits }) => {
  const [[dtype, { verdict, faults }]] = Object.entries(audits);
  const starts = FAULTS.map(({ kinds, name }) => [name, faults.filter(({ kind, beyond }) => kinds.includes(kind) && beyond > 0).map(({ beyond }) => beyond)]);
  return {
    title: `${library} ${version}, ${call}`,
    returns,
    dtype,
    verdict,
    starts: starts.filter(([, all]) => all.length).map(([name, all]) => [name, Math.min(...all)]),
  };
});

byId("fault-marks").append(...FAULTS.map(({ name, words }) => element("li", { className: `series-${name}` }, icon(name), words)));

picture("audit", [], (width) => {
  const narrow = width < 620; // the title is above its row
  const row = narrow ? 46 : 30;
  const left = narrow ? 12 : 12 + Math.max(...AUDITS.map(({ title }) => widthOf(title, 14)));
  const words = ({ verdict, dtype }) => (dtype === "float32" ? verdict : `${verdict}, ${dtype}`);
  const right = 12 + Math.max(...AUDITS.map((one) => widthOf(words(one), 14)));
  const inWords = AUDITS.map((one) => `${one.title}: ${words(one)}${one.starts.map(([name, x]) => `, ${FAULTS.find((fault) => fault.name === name).words} beyond ${number(x, 3)}`).join("")}`);
  const area = frame({
    width,
    height: row * AUDITS.length + 80,
    left,
    right: narrow ? 12 : right,
    x: { min: 5, max: 2e9, kind: "log", label: "logit beyond which the fault begins, logarithmic", at: [10, 100, 1e4, 1e6, 1e8] },
    y: { min: 0, max: 1, label: "", at: [] },
    description: `The verdict of each audit, and where faults begin. ${inWords.join("; ")}.`,
  });
  AUDITS.forEach((one, i) => {
    const y = 24 + row * i + (narrow ? 24 : 0);
    const at = narrow ? { x: 4, y: y - 12, "text-anchor": "start" } : { x: left - 10, y: y + 5, "text-anchor": "end" };
    area.root.append(text(at.x, at.y, narrow ? short(one.title, width - 8 - right) : one.title, { class: "tick", "text-anchor": at["text-anchor"] }));
    area.root.append(text(narrow ? width - 4 : area.right + 8, at.y, words(one), { class: "tick value", "text-anchor": narrow ? "end" : "start" }));
    area.root.append(svg("line", { class: "grid", x1: left, x2: area.right, y1: y, y2: y }));
    for (const [name, x] of one.starts) area.root.append(mark(name, area.X(x), y));
  });
  return area.root;
});

// Shortens a title to the width, without the function.
function short(title, space) {
  return widthOf(title, 14) > space ? title.split(",")[0] : title;
}

table(
  "audit-table",
  ["loss", ...DATA.rows.map(({ words }) => words), "verdict"],
  [
    ["exact", ...DATA.rows.map(({ truth }) => number(truth, 4)), ""],
    ...DATA.wall.map(({ returns }, i) => [
      AUDITS[i].title,
      ...DATA.rows.map(({ name, truth }) => {
        const v = returns[name];
        if (v === null) return "";
        return Math.abs(v - truth) <= Math.abs(0.01 * truth) ? number(v, 4) : [number(v, 4), "bad"];
      }),
      AUDITS[i].dtype === "float32" ? AUDITS[i].verdict : `${AUDITS[i].verdict}, ${AUDITS[i].dtype}`,
    ]),
  ],
);
