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
    // What stands before the button may be shortened, or a bare text: the whole text is shown and selected.
    const field = document.createElement("input");
    field.readOnly = true;
    field.value = button.getAttribute("data-copy") ?? "";
    field.setAttribute("aria-label", button.textContent ?? "");
    field.addEventListener("blur", () => field.remove());
    button.after(field);
    field.select();
  }
});
