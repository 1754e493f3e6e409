// Ticking rows: all of them, a range with Shift, and buttons that need at least one.
/** @returns {HTMLInputElement[]} */
const boxes = () => [...document.querySelectorAll("input[type=checkbox][data-select]")];
let last = -1;

function show() {
  const count = boxes().filter((box) => box.checked).length;
  document.querySelectorAll("[data-selected-count]").forEach((place) => (place.textContent = String(count)));
  document.querySelectorAll("button[data-needs-selection]").forEach((it) => (/** @type {HTMLButtonElement} */ (it).disabled = count === 0));
}

document.addEventListener("click", (event) => {
  const box = /** @type {HTMLInputElement} */ (event.target);
  if (box.matches?.("[data-select-all]")) {
    boxes().forEach((it) => (it.checked = box.checked));
  } else if (box.matches?.("[data-select]")) {
    const all = boxes(), at = all.indexOf(box);
    if (event.shiftKey && last >= 0) all.slice(Math.min(at, last), Math.max(at, last) + 1).forEach((it) => (it.checked = box.checked));
    last = at;
  } else return;
  show();
});
show();
