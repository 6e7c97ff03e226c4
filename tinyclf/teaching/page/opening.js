// The first picture: test images of the digit that a network recognizes worst, with the answers of the network.

"use strict";

picture("opening", [], (width) => {
  const { digit, images, answers, right } = DATA.opening;
  const rows = Math.ceil(images.length / Math.floor((width + 10) / (width < 480 ? 42 : 52)));
  const columns = Math.ceil(images.length / rows);
  const across = (width + 10) / columns;
  const size = across - 10;
  const down = size + 34;
  const counts = range(0, 9).map((answer) => [answer, answers.filter((a) => a === answer).length]).filter(([, n]) => n);
  const inWords = counts.map(([answer, n]) => `${answer} for ${n}`).join(", ");
  const root = canvas(width, rows * down, `${images.length} images of the digit ${digit}. The answers: ${inWords}; ${right} are right.`);
  images.forEach((image, i) => {
    const x = (i % columns) * across;
    const y = Math.floor(i / columns) * down;
    const wrong = answers[i] !== digit;
    root.append(svg("rect", { class: "tile", x, y, width: size, height: size }), digitImage(imageOf(image), x, y, size));
    root.append(text(x + size / 2, y + size + 19, wrong ? answers[i] : `${answers[i]} \u2713`, { class: `answer${wrong ? " wrong" : ""}`, "text-anchor": "middle" }));
  });
  return root;
});
