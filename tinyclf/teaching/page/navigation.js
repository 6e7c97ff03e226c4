// Steps: which one is current, links to them, presentation mode, theme and keys.

"use strict";

const sections = [...document.querySelectorAll(".step")];
const pages = [byId("basics"), ...sections, byId("limits")];
sections.forEach((section, i) => {
  const title = section.querySelector("h2").textContent;
  byId("contents").append(element("li", {}, element("a", { href: `#${section.id}`, title, "aria-label": `Step ${i + 1}: ${title}` }, String(i + 1))));
});

// On narrow screens, a list of names replaces the numbers.
const stepNames = byId("step-names");
stepNames.append(element("option", { value: -1 }, "Start"));
pages.forEach((page, i) => {
  const { dataset, textContent } = page.querySelector("h2");
  stepNames.append(element("option", { value: i }, [dataset.number, textContent].filter(Boolean).join(" ")));
});
stepNames.onchange = () => go(Number(stepNames.value));

let current = -1; // the cover
let moved = 0; // when the reader chose it

let late = 0; // timer

// Writes the address once the settings have stopped changing for a moment; browsers limit how often it may change.
function writeAddressLater() {
  late ||= setTimeout(() => {
    late = 0;
    writeAddress(pages[current]);
  }, 400);
}

shows(Object.keys(SETTINGS), writeAddressLater);

function markCurrent(index) {
  if (index !== current) writeAddressLater();
  current = index;
  pages.forEach((page, i) => page.classList.toggle("current", i === index));
  stepNames.value = index;
  [...byId("contents").querySelectorAll("a")].forEach((link, i) => {
    if (sections[i] === pages[index]) link.setAttribute("aria-current", "step");
    else link.removeAttribute("aria-current");
  });
}

// Goes to a step and focuses its heading, or goes to the cover (index -1).
function go(index) {
  moved = performance.now();
  markCurrent(clamp(index, presenting() ? 0 : -1, pages.length - 1));
  if (current < 0) {
    scrollTo({ top: 0, behavior: "instant" });
    return;
  }
  writeAddress(pages[current]);
  pages[current].querySelector("h2").focus({ preventScroll: true });
  pages[current].scrollIntoView({ behavior: "instant" });
}

function present(on) {
  document.documentElement.classList.toggle("presenting", on);
  byId("present").setAttribute("aria-pressed", String(on));
  refresh(["zoom"]);
  go(Math.max(current, 0));
}

function dark() {
  const { theme } = document.documentElement.dataset;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function toggleTheme() {
  document.documentElement.dataset.theme = dark() ? "light" : "dark";
  byId("theme").textContent = dark() ? "Light" : "Dark";
}

// Shows or hides all answers. The current step stays where it is, although the steps before it change their heights: at
// once, and again when their charts are drawn.
function toggleAnswers() {
  const heading = pages[current]?.querySelector("h2");
  const top = () => (heading ? heading.getBoundingClientRect().top : 0);
  const before = top();
  const hold = () => scrollBy({ top: top() - before, behavior: "instant" });
  showAnswers(!answersShown);
  hold();
  requestAnimationFrame(() => requestAnimationFrame(hold));
}

for (const button of document.querySelectorAll(".answers")) button.onclick = toggleAnswers;
byId("theme").textContent = dark() ? "Light" : "Dark";
byId("theme").onclick = toggleTheme;
byId("present").onclick = () => present(!presenting());
byId("previous").onclick = () => go(current - 1);
byId("next").onclick = () => go(current + 1);

// Goes to the step of a fragment, with its settings.
function visit(words) {
  const { id, changes } = readFragment(words);
  const index = pages.findIndex((page) => page.id === id);
  if (index < 0) return;
  set(changes);
  go(index);
}

addEventListener("hashchange", () => visit(location.hash));

addEventListener("keydown", (event) => {
  const { target, key } = event;
  if (target.matches("input[type=number], textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  const own = target.matches("input, [role=slider]") || target.closest(".scroll"); // these use the arrow keys
  const action = {
    ArrowRight: !own && (() => go(current + 1)),
    ArrowLeft: !own && (() => go(current - 1)),
    PageDown: presenting() && (() => go(current + 1)),
    PageUp: presenting() && (() => go(current - 1)),
    p: () => byId("present").click(),
    d: toggleTheme,
    r: toggleAnswers,
    Escape: presenting() && (() => present(false)),
  }[key.length === 1 ? key.toLowerCase() : key];
  if (action) {
    action();
    event.preventDefault();
  }
});

const watcher = new IntersectionObserver((entries) => {
  if (presenting()) return;
  const seen = entries.filter((entry) => entry.isIntersecting && entry.time > moved).map((entry) => pages.indexOf(entry.target));
  if (seen.length) markCurrent(Math.max(...seen));
}, { rootMargin: "-20% 0px -70% 0px" });
for (const page of pages) watcher.observe(page);

addEventListener("resize", () => refresh(["zoom"]));

// A table or program that is wider than its box can be scrolled by keyboard, too.
const scrolled = new ResizeObserver((entries) => {
  for (const box of new Set(entries.map(({ target }) => target.closest(".scroll, pre")))) {
    const wide = box.scrollWidth > box.clientWidth;
    if (!wide) {
      for (const name of ["tabindex", "role", "aria-label"]) box.removeAttribute(name);
      continue;
    }
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", `${box.matches("pre") ? "Program" : "Table"}, scrollable: ${box.closest("section").querySelector("h2").textContent}`);
  }
});
for (const box of document.querySelectorAll(".scroll, pre")) {
  scrolled.observe(box);
  scrolled.observe(box.firstElementChild);
}

refresh();
// Again after loading: the layout may have moved the step, or a reload may have restored another position.
const arrival = location.hash;
for (const event of ["DOMContentLoaded", "load"]) addEventListener(event, () => visit(arrival));
