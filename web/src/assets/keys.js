// Keys for lists and screens, and copy buttons. Single keys are off where <html data-keys="off"> or a field has the focus.

const GO = { o: "orders", i: "inbox", j: "jobs", f: "failures", q: "queues", w: "workers", s: "stock", p: "products", c: "customers", a: "activity" };
let waitsForPlace = 0;

const rows = () => [...document.querySelectorAll("table[data-rows] tbody tr")];
const here = () => document.querySelector("table[data-rows] tr[data-here]");

/** @param {number} step */
function move(step) {
  const all = rows();
  if (!all.length) return;
  const from = all.indexOf(here());
  const to = all[Math.min(Math.max(from + step, 0), all.length - 1)];
  here()?.removeAttribute("data-here");
  to.setAttribute("data-here", "");
  to.querySelector("a")?.focus({ preventScroll: true });
  to.scrollIntoView({ block: "nearest" });
}

function theme() {
  const root = document.documentElement;
  const next = { light: "dark", dark: "system" }[root.dataset.theme] ?? "light";
  if (next === "system") delete root.dataset.theme;
  else root.dataset.theme = next;
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `millrace-theme=${next}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
}

const ACTIONS = {
  "/": () => document.querySelector(".filters input, .search input, input[type=search]")?.focus(),
  "?": () => document.getElementById("keys")?.showModal(),
  ".": () => document.querySelector("#actions a, #actions button")?.focus(),
  "[": () => document.querySelector("a[rel=prev]")?.click(),
  "]": () => document.querySelector("a[rel=next]")?.click(),
  j: () => move(1),
  k: () => move(-1),
  x: () => here()?.querySelector("input[type=checkbox]")?.click(),
  p: () => document.querySelector("[data-live-pause]")?.click(),
  t: theme,
  g: () => { waitsForPlace = Date.now(); },
};

document.addEventListener("keydown", (event) => {
  const busy = event.target instanceof Element && event.target.closest("input, textarea, select, [contenteditable], dialog");
  if (busy || event.ctrlKey || event.metaKey || event.altKey || document.documentElement.dataset.keys === "off") return;
  const place = Date.now() - waitsForPlace < 1500 && GO[event.key];
  waitsForPlace = 0;
  if (place) {
    if (document.body.classList.contains("console")) location.assign(`/console/${place}`);
  } else if (Object.hasOwn(ACTIONS, event.key)) {
    event.preventDefault();
    ACTIONS[event.key]();
  }
});

/** @param {HTMLElement} button */
async function copy(button) {
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.dataset.copied = "";
    setTimeout(() => delete button.dataset.copied, 1500);
  } catch {
    // Closed on plain HTTP: select the text, so that one key copies it.
    const text = button.parentElement.querySelector("code, .text") ?? button.parentElement.querySelector("h1");
    if (text) getSelection().selectAllChildren(text);
  }
}

document.addEventListener("click", (event) => {
  const button = event.target instanceof Element && event.target.closest("[data-copy]");
  if (button) copy(button);
});

document.addEventListener("change", (event) => {
  if (!(event.target instanceof Element && event.target.matches("[data-pick-all]"))) return;
  for (const box of event.target.closest("table").querySelectorAll("tbody input[name=pick]")) box.checked = event.target.checked;
});
