// Addresses: the fragment has the current step and the settings that it shows, as in #half?dtype=float16&z=12,0,0.
// A section names its settings in data-settings; state.js describes how they are written. Answers are not in it.

"use strict";

const fragment = (section) => {
  const names = section.dataset.settings?.split(" ") ?? [];
  const settings = names.map((name) => `${name}=${SETTINGS[name].write(state[name])}`);
  return `#${section.id}${settings.length ? "?" : ""}${settings.join("&")}`;
};

// Returns the id and the settings of a fragment. What is not valid, or not shown by that section, is left out.
function readFragment(words) {
  let decoded = "";
  try {
    decoded = decodeURIComponent(words.slice(1));
  } catch {
    return { id: "", changes: {} };
  }
  const [id, query = ""] = decoded.split("?");
  const given = new Map(query.split("&").map((part) => part.split("=")));
  const changes = {};
  for (const name of document.getElementById(id)?.dataset.settings?.split(" ") ?? []) {
    const value = given.has(name) ? SETTINGS[name].read(given.get(name) ?? "") : undefined;
    if (value !== undefined) changes[name] = value;
  }
  return { id, changes };
}

// Replaces the fragment. Frames without an address refuse that.
function writeAddress(section) {
  const { pathname, search } = location;
  try {
    history.replaceState(null, "", section ? fragment(section) : `${pathname}${search}`);
  } catch {
    // The page works without it.
  }
}

// Copying

async function copy(words, share) {
  const { box, status } = share;
  box.querySelector("textarea")?.remove();
  status.textContent = "";
  try {
    // Chromium reports an error in the console if a page in a frame tries what its frame does not allow.
    if (document.featurePolicy?.allowsFeature("clipboard-write") === false) throw new Error("not allowed");
    await navigator.clipboard.writeText(words);
    status.textContent = "Copied.";
  } catch {
    // Not every browser allows it in a frame or for a file.
    const area = element("textarea", { readOnly: true, rows: Math.min(16, words.split("\n").length), "aria-label": "Text to copy" });
    area.value = words;
    box.append(area);
    area.focus();
    area.select();
    status.textContent = "Select the text and copy it.";
  }
}

for (const section of document.querySelectorAll(".step")) {
  const status = element("output", { className: "status" });
  const box = element("div", { className: "share" });
  const share = { box, status };
  const link = () => `${location.href.split("#")[0]}${fragment(section)}`;
  box.append(element("button", { type: "button", onclick: () => copy(link(), share) }, "Copy link"));
  if (section.id in CODE) {
    box.append(element("button", { type: "button", onclick: () => copy(CODE[section.id](), share) }, "Copy as NumPy code"));
  }
  box.append(status);
  (section.querySelector("figure") ?? section).append(box);
}
