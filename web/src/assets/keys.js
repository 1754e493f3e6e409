// Single keys, listed by "?". They can be switched off in the account, and never act while somebody types.
import { element, remember } from "./html.js";

const PLACES = { o: ["/console/orders", "Orders"], i: ["/console/inbox", "Inbox"], j: ["/console/jobs", "Jobs"], f: ["/console/failures", "Failures"], q: ["/console/queues", "Queues"], w: ["/console/workers", "Workers"], s: ["/console/stock", "Stock"], p: ["/console/products", "Products"], c: ["/console/customers", "Customers"], a: ["/console/activity", "Activity"] };
const OTHERS = { "/": "Search", "Ctrl K": "Find anything", j: "Next row", k: "Row before", Enter: "Open the row", x: "Tick the row", p: "Pause live updates", t: "Light, dark, or as the system", "?": "This list" };
const isConsole = document.body.classList.contains("console");
let going = false;

/** @param {number} step */
function move(step) {
  const rows = /** @type {HTMLElement[]} */ ([...document.querySelectorAll("tr[data-row]")]);
  const at = rows.findIndex((row) => row.getAttribute("aria-selected") === "true");
  const next = rows[Math.max(0, Math.min(rows.length - 1, at + step))];
  if (!next) return;
  rows[at]?.removeAttribute("aria-selected");
  next.setAttribute("aria-selected", "true");
  next.scrollIntoView({ block: "nearest" });
  next.querySelector("a")?.focus({ preventScroll: true });
}

const row = () => document.querySelector('tr[aria-selected="true"]');

function list() {
  const dialog = /** @type {HTMLDialogElement} */ (element("dialog", { "aria-label": "Keys" }, element("h2", {}, "Keys")));
  const keys = element("dl");
  const add = (/** @type {string} */ key, /** @type {string} */ words) => keys.append(element("dt", {}, element("kbd", {}, key)), element("dd", {}, words));
  Object.entries(OTHERS).forEach(([key, words]) => add(key, words));
  Object.entries(PLACES).forEach(([key, [, words]]) => add(`g ${key}`, words));
  dialog.append(keys);
  document.body.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
}

function theme() {
  const next = { system: "light", light: "dark", dark: "system" }[document.documentElement.dataset.theme ?? "system"] ?? "system";
  document.documentElement.dataset.theme = next;
  remember("millrace-theme", next);
}

/** The switch in the account. @param {HTMLElement} place */
function offerSwitch(place) {
  const box = /** @type {HTMLInputElement} */ (element("input", { type: "checkbox" }));
  box.checked = localStorage.getItem("millrace-keys") !== "off";
  box.addEventListener("change", () => localStorage.setItem("millrace-keys", box.checked ? "on" : "off"));
  place.append(element("label", { class: "tick" }, box, " Single keys act, such as j and k"));
}
const place = document.getElementById("keys-switch");
if (place) offerSwitch(place);

document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof Element && event.target.closest("input:not([type=checkbox]), select, textarea, dialog");
  if (!isConsole || typing || event.ctrlKey || event.metaKey || event.altKey || localStorage.getItem("millrace-keys") === "off") return;
  if (going) {
    going = false;
    const place = PLACES[/** @type {keyof typeof PLACES} */ (event.key)];
    if (place) location.assign(place[0]);
    return;
  }
  const actions = /** @type {Record<string, () => void>} */ ({
    g: () => { going = true; setTimeout(() => (going = false), 1500); },
    "/": () => document.getElementById("find")?.focus(),
    j: () => move(1),
    k: () => move(-1),
    x: () => /** @type {HTMLElement | null} */ (row()?.querySelector("input[type=checkbox]"))?.click(),
    t: theme,
    p: () => /** @type {HTMLElement | null} */ (document.querySelector("button.live"))?.click(),
    "?": list,
  });
  const action = actions[event.key];
  if (action) { event.preventDefault(); action(); }
});
