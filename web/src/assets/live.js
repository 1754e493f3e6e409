// Keeps an open page true: the server says "changed", the page asks for itself again, and only what differs is replaced.
import { Idiomorph } from "./idiomorph.js";
import { element, parse } from "./html.js";

/** Between two times that a page asks for itself again. */
const PAUSE = 2000;
/** A page that nobody looks at gives its stream back after this time: a browser holds six connections to a server. */
const HIDDEN = 3000;
/** A page that could not be read is asked for again after this time. */
const AGAIN = 3000;
/** The server ends each stream after a minute; only a longer gap is worth a sentence. */
const GRACE = 5000;

const light = /** @type {HTMLElement | null} */ (document.querySelector("[data-live]"));
if (light) follow(light);

/** @param {HTMLElement} light */
function follow(light) {
  /** @type {EventSource | undefined} */ let stream;
  let timer = 0, waiting = false, paused = false, hiding = 0, losing = 0, asking = false, heard = false;

  const say = (/** @type {string} */ words, lost = false) => {
    const text = light.querySelector("[data-live-text]");
    if (text && text.textContent !== words) text.textContent = words;
    light.toggleAttribute("data-lost", lost);
  };
  const found = () => { clearTimeout(losing); losing = 0; say("Live"); };
  /** The time is that of the first failure, however often it is tried again. */
  const lost = () => {
    if (losing || paused) return;
    const since = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    losing = window.setTimeout(() => say(`Not live since ${since}, trying again`, true), GRACE);
  };

  function open() {
    if (stream || paused || document.hidden || document.querySelector("dialog.signed-out")) return;
    stream = new EventSource(light.dataset.live ?? "");
    // The first one comes within a second, and proves that the server can read its database: that it has opened does not.
    stream.addEventListener("changed", () => { heard = true; found(); soon(); });
    stream.addEventListener("error", () => {
      heard = false;
      lost();
      // A stream that was refused is not opened again by the browser. The page tells whether the session has ended.
      if (stream?.readyState === EventSource.CLOSED) {
        close();
        void refresh();
        setTimeout(open, 2000 + Math.random() * 3000);
      }
    });
  }
  function close() { stream?.close(); stream = undefined; }

  /** At once after a rest, and at most every two seconds. */
  function soon() {
    if (timer) { waiting = true; return; }
    void refresh();
    timer = window.setTimeout(() => { timer = 0; if (waiting) { waiting = false; soon(); } }, PAUSE + Math.random() * 500);
  }

  async function refresh() {
    if (paused || document.hidden) return;
    // One at a time, so that an old answer never replaces a newer one.
    if (asking) { waiting = true; return; }
    asking = true;
    try {
      const answer = await fetch(location.href, { headers: { "X-Live": "1", Accept: "text/html" } });
      if (answer.redirected) return signedOut(answer.url);
      if (!answer.ok) throw new Error(answer.statusText);
      const fresh = parse(await answer.text());
      for (const region of document.querySelectorAll("[data-region][id]")) {
        const now = fresh.getElementById(region.id);
        if (now) Idiomorph.morph(region, now, { morphStyle: "outerHTML", ignoreActiveValue: true, callbacks: { beforeNodeMorphed: keep } });
      }
      if (heard) found();
    } catch { lost(); setTimeout(soon, AGAIN); } finally {
      asking = false;
      if (waiting && !timer) { waiting = false; soon(); }
    }
  }

  if (light.matches("button")) light.addEventListener("click", () => {
    paused = !paused;
    light.setAttribute("aria-pressed", String(paused));
    if (paused) { close(); clearTimeout(losing); losing = 0; say("Paused"); } else { open(); void refresh(); }
  });
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiding);
    if (document.hidden) hiding = window.setTimeout(close, HIDDEN);
    else if (!paused) { if (!stream) void refresh(); open(); }
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => { if (event.persisted) { void refresh(); open(); } });
  open();
}

/** What somebody has opened stays open, and what they type stays. @param {Node} old @param {Node} fresh */
function keep(old, fresh) {
  if (old instanceof HTMLDetailsElement && fresh instanceof HTMLDetailsElement) fresh.open = old.open;
  if (old instanceof HTMLInputElement && fresh instanceof HTMLInputElement && old.type === "checkbox") fresh.checked = old.checked;
  else if ((old instanceof HTMLInputElement || old instanceof HTMLTextAreaElement) && old.value !== old.defaultValue) return false;
  if (old instanceof HTMLElement && fresh instanceof HTMLElement && old.getAttribute("aria-selected") === "true") fresh.setAttribute("aria-selected", "true");
  // A form that is open keeps its values and its key.
  if (old instanceof HTMLFormElement && old.closest("details[open]")) return false;
  return true;
}

/** @param {string} url */
function signedOut(url) {
  if (document.querySelector("dialog.signed-out")) return;
  const dialog = /** @type {HTMLDialogElement} */ (element("dialog", { class: "signed-out" }, element("h2", {}, "You are signed out"), element("p", {}, "What you typed is still here. Sign in in another tab, or here: "), element("a", { href: url }, "Sign in")));
  document.body.append(dialog);
  dialog.showModal();
}
