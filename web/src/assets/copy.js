// Buttons that copy a text. On plain HTTP browsers have no clipboard, so the text is selected instead.
document.addEventListener("click", async (event) => {
  const button = event.target instanceof Element && event.target.closest("[data-copy]");
  if (!button) return;
  event.preventDefault();
  try {
    await navigator.clipboard.writeText(button.getAttribute("data-copy") ?? "");
    button.setAttribute("data-copied", "");
    setTimeout(() => button.removeAttribute("data-copied"), 1200);
  } catch {
    const text = button.previousSibling;
    if (text) getSelection()?.selectAllChildren(text);
  }
});
