// A form is sent once per press, and unsaved changes are not lost by accident.
let changed = false;
document.addEventListener("submit", (event) => {
  changed = false;
  const form = /** @type {HTMLFormElement} */ (event.target);
  if (form.method !== "post") return;
  // After the browser has collected the fields: a disabled button is not sent.
  setTimeout(() => form.querySelectorAll("button").forEach((button) => (button.disabled = true)));
});
addEventListener("pageshow", () => {
  document.querySelectorAll("form[method=post] button").forEach((button) => {
    if (!button.hasAttribute("data-needs-selection")) /** @type {HTMLButtonElement} */ (button).disabled = false;
  });
});
document.addEventListener("input", (event) => {
  if (event.target instanceof Element && event.target.closest("form[data-warn]")) changed = true;
});
addEventListener("beforeunload", (event) => changed && event.preventDefault());

// A sheet closes on Escape and on a press elsewhere.
document.addEventListener("click", (event) => {
  for (const open of document.querySelectorAll("details.ask[open], details.menu[open], details.more[open]")) {
    if (!open.contains(/** @type {Node} */ (event.target))) open.removeAttribute("open");
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const open of document.querySelectorAll("details.ask[open], details.menu[open], details.more[open]")) {
    open.removeAttribute("open");
    open.querySelector("summary")?.focus();
  }
});

// Packing slips: the timeline has it, now the browser prints. A reload does not print again.
const shown = new URL(location.href);
if (/\/slips?$/.test(shown.pathname) && shown.searchParams.get("done") === "printed") {
  shown.searchParams.delete("done");
  history.replaceState(null, "", shown);
  print();
}
