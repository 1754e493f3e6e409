// Keeps relative times current and tells the server the reader's time zone. No words of its own: Intl has them.

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const secure = location.protocol === "https:" ? "; Secure" : "";
if (zone && !document.cookie.includes("millrace-zone=")) {
  document.cookie = `millrace-zone=${encodeURIComponent(zone)}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
}

const words = new Intl.RelativeTimeFormat(document.documentElement.lang || "en", { style: "short" });

/** The clock of the server when it rendered, so that a wrong clock here does no harm. */
const skew = Date.parse(document.querySelector("meta[name=rendered-at]")?.content ?? "") - Date.now() || 0;

/** @param {number} seconds negative for the past */
function relative(seconds) {
  const size = Math.abs(seconds);
  if (size < 60) return words.format(Math.trunc(seconds), "second");
  if (size < 3600) return words.format(Math.trunc(seconds / 60), "minute");
  if (size < 86400) return words.format(Math.trunc(seconds / 3600), "hour");
  return words.format(Math.trunc(seconds / 86400), "day");
}

function refresh() {
  const now = Date.now() + skew;
  let soon = false;
  for (const element of document.querySelectorAll("[data-ago]")) {
    const seconds = (Date.parse(element.dataset.ago) - now) / 1000;
    soon ||= Math.abs(seconds) < 120;
    const text = relative(seconds).replace(".", "");
    if (element.textContent !== text) element.textContent = text;
  }
  setTimeout(refresh, soon ? 1000 : 20000);
}

setTimeout(refresh, 1000);
