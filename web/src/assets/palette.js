// Ctrl K: finds orders, people, products, jobs. A combobox as the ARIA practices describe it.
import { element, parse } from "./html.js";

/** @type {HTMLDialogElement | undefined} */ let dialog;
let asked = 0;
/** The last places, of this tab only: nothing is left after somebody signs out on a shared machine. */
const RECENT = "millrace-recent", KEPT = 6;

/** @returns {{ href: string, title: string }[]} */
function recent() {
  try { return JSON.parse(sessionStorage.getItem(RECENT) ?? "[]"); } catch { return []; }
}
const title = document.querySelector("main h1")?.textContent?.trim();
if (title && /^\/console\/(orders|customers|products|stock|jobs|failures|bulk)\/[^/]+$/.test(location.pathname)) {
  const here = { href: location.pathname, title };
  sessionStorage.setItem(RECENT, JSON.stringify([here, ...recent().filter((it) => it.href !== here.href)].slice(0, KEPT)));
}
const recentOptions = () => recent().map((it) => element("li", { role: "option" }, element("a", { href: it.href, tabindex: "-1" }, it.title), element("span", { class: "quiet" }, "looked at before")));

function open() {
  const input = /** @type {HTMLInputElement} */ (element("input", { type: "text", role: "combobox", "aria-expanded": "true", "aria-controls": "found", "aria-autocomplete": "list", "aria-label": "Find anything", placeholder: "An order, a name, an e-mail, a SKU, a job…", autocomplete: "off", maxlength: "200" }));
  const found = element("ul", { role: "listbox", id: "found", "aria-label": "Found" });
  const status = element("p", { class: "status-line", role: "status" }, "Type at least two letters.");
  dialog = /** @type {HTMLDialogElement} */ (element("dialog", { class: "palette", "aria-label": "Find anything" }, input, found, status));
  document.body.append(dialog);
  dialog.addEventListener("close", () => { dialog?.remove(); dialog = undefined; });
  let timer = 0;
  input.addEventListener("input", () => { clearTimeout(timer); timer = window.setTimeout(() => search(input.value, found, status, input), 120); });
  input.addEventListener("keydown", (event) => choose(event, found, input));
  show(recentOptions(), found, input);
  dialog.showModal();
}

/** @param {Element[]} options @param {Element} found @param {Element} input */
function show(options, found, input) {
  options.forEach((option, at) => { option.id = `found-${at}`; option.setAttribute("aria-selected", String(at === 0)); });
  found.replaceChildren(...options);
  input.setAttribute("aria-activedescendant", options.length ? "found-0" : "");
}

/** @param {string} text @param {Element} found @param {Element} status @param {Element} input */
async function search(text, found, status, input) {
  const mine = ++asked;
  if (text.trim().length < 2) { show(recentOptions(), found, input); status.textContent = "Type at least two letters."; return; }
  const answer = await fetch(`/console/search?format=list&q=${encodeURIComponent(text)}`, { headers: { Accept: "text/html" } });
  if (mine !== asked) return;
  const options = answer.ok ? [...parse(await answer.text()).querySelectorAll("[role=option]")] : [];
  show(options, found, input);
  status.textContent = options.length === 0 ? "Nothing has that in it." : options.length === 1 ? "1 result" : `${options.length} results`;
}

/** @param {KeyboardEvent} event @param {Element} found @param {Element} input */
function choose(event, found, input) {
  const options = [...found.children], at = options.findIndex((it) => it.getAttribute("aria-selected") === "true");
  if (event.key === "Enter") { event.preventDefault(); const link = options[Math.max(at, 0)]?.querySelector("a"); if (link) location.assign(link.href); return; }
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || options.length === 0) return;
  event.preventDefault();
  const next = (at + step + options.length) % options.length;
  options.forEach((it, place) => it.setAttribute("aria-selected", String(place === next)));
  input.setAttribute("aria-activedescendant", `found-${next}`);
  options[next].scrollIntoView({ block: "nearest" });
}

document.addEventListener("click", (event) => {
  const option = event.target instanceof Element && event.target.closest(".palette [role=option]");
  const link = option && option.querySelector("a");
  if (link) location.assign(link.href);
});

document.addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || !document.body.classList.contains("console")) return;
  event.preventDefault();
  if (dialog) dialog.close(); else open();
});
