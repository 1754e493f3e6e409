// Shows a page that asks something in a dialog over the page that links to it. Without this the link leads there.

import { load } from "./html.js";

/** @param {HTMLAnchorElement} link */
async function ask(link) {
  link.setAttribute("aria-busy", "true");
  try {
    const page = await load(link.href);
    const body = page.querySelector("[data-dialog-body]");
    if (!body) throw new Error("no dialog");
    show(document.adoptNode(body), link);
  } catch {
    location.assign(link.href);
  } finally {
    link.removeAttribute("aria-busy");
  }
}

/** @param {Element} body @param {HTMLElement} opener */
function show(body, opener) {
  const dialog = document.createElement("dialog");
  dialog.className = "dialog";
  dialog.setAttribute("aria-labelledby", "ask-title");
  dialog.append(body);
  document.body.append(dialog);
  dialog.addEventListener("close", () => {
    dialog.remove();
    opener.focus();
  });
  dialog.showModal();
}

document.addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  const target = event.target instanceof Element ? event.target : null;
  const opener = target?.closest("[data-open]");
  const link = target?.closest("a[data-dialog]");
  const closer = target?.closest("dialog [data-dialog-close]");
  const outside = target instanceof HTMLDialogElement ? target : null;
  if (opener) {
    event.preventDefault();
    document.getElementById(opener.dataset.open)?.showModal();
  } else if (link) {
    event.preventDefault();
    ask(link);
  } else if (closer) {
    event.preventDefault();
    closer.closest("dialog").close();
  } else if (outside && !inside(outside, event)) {
    outside.close();
  }
});

/** @param {HTMLDialogElement} dialog @param {MouseEvent} event */
function inside(dialog, event) {
  const box = dialog.getBoundingClientRect();
  return event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
}
