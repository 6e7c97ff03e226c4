// Step 11: the audits of the losses of libraries. Each group of faults has the mark and color of a loss that has them.

"use strict";

byId("fault-marks").append(...DATA.faults.map(({ name, words }) => element("li", { className: `series-${name}` }, icon(name), words)));

picture("audit", [], (width) => {
  const right = 12 + Math.max(...DATA.libraries.map(({ verdict }) => widthOf(verdict, 14)));
  const beside = 20 + Math.max(...DATA.libraries.map(({ title }) => widthOf(title, 14)));
  const narrow = width < beside + right + 400; // then each title is above its row
  const left = narrow ? 16 : beside;
  const row = narrow ? 42 : 30;
  const words = Object.fromEntries(DATA.faults.map((fault) => [fault.name, fault.words]));
  const lifts = { naive: -4, clipped: -4, padded: 0, textbook: 4 }; // marks at the same logit stay visible
  const inWords = DATA.libraries.map(({ title, verdict, starts }) => [`${title}: ${verdict}`, ...Object.entries(starts).map(([name, x]) => `${words[name]} beyond ${number(x, 3)}`)].join(", "));
  const area = frame({
    width,
    height: row * DATA.libraries.length + 86,
    left,
    right: narrow ? 24 : right,
    x: { min: 10, max: 2000, kind: "log", label: width < 480 ? "logit beyond which it begins" : "logit beyond which the fault begins, logarithmic", at: width < 480 ? [20, 100, 500] : [10, 20, 50, 100, 200, 500, 1000, 2000] },
    y: { min: 0, max: 1, label: "", at: [] },
    description: `The verdict of each audit, and where faults begin. ${inWords.join("; ")}.`,
  });
  DATA.libraries.forEach(({ title, verdict, starts }, i) => {
    const y = 24 + row * i + (narrow ? 20 : 0);
    const base = narrow ? y - 12 : y + 5;
    const fits = !narrow || widthOf(title, 14) + widthOf(verdict, 14) < width - 24;
    area.root.append(text(narrow ? 4 : left - 10, base, fits ? title : title.split(",")[0], { class: "tick", "text-anchor": narrow ? "start" : "end" }));
    area.root.append(text(narrow ? width - 4 : width - right + 8, base, verdict, { class: "tick", "text-anchor": narrow ? "end" : "start" }));
    area.root.append(svg("line", { class: "grid", x1: left, x2: area.right, y1: y, y2: y }));
    for (const [name, x] of Object.entries(starts)) area.root.append(mark(name, area.X(x), y + lifts[name]));
  });
  return area.root;
});

table(
  "audit-table",
  ["loss", ...DATA.rows.map(({ words }) => words), "verdict"],
  [
    ["exact", ...DATA.rows.map(({ truth }) => number(truth, 4)), ""],
    ...DATA.libraries.map(({ title, returns, wrong, verdict }) => [
      title,
      ...DATA.rows.map(({ name }) => (returns[name] === null ? "" : [number(returns[name], 4), wrong.includes(name) ? "bad" : ""])),
      verdict,
    ]),
  ],
);
