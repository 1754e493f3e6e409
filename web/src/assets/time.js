// Keeps "3 min ago" true, also where the clock of the browser is wrong, and tells the server the reader's time zone.
import { remember } from "./html.js";

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && !document.cookie.split("; ").includes(`millrace-zone=${zone}`)) remember("millrace-zone", zone);

/** As `ui::time::relative` says it. @param {number} seconds from now */
function relative(seconds) {
  const far = Math.floor(Math.abs(seconds));
  const span =
    far < 60 ? `${far} s`
    : far < 3600 ? `${Math.floor(far / 60)} min`
    : far < 86400 ? `${Math.floor(far / 3600)} h${far % 3600 < 60 ? "" : ` ${Math.floor((far % 3600) / 60)} min`}`
    : far < 172800 ? "1 day"
    : `${Math.floor(far / 86400)} days`;
  return far < 1 ? "now" : seconds > 0 ? `in ${span}` : `${span} ago`;
}

/** How far the browser's clock is ahead of the server's. A second or two is the way here, and no error. */
const loaded = Date.parse(document.body.dataset.now ?? "");
const ahead = Math.abs(Date.now() - loaded) > 5000 ? Date.now() - loaded : 0;

setInterval(() => {
  if (document.hidden) return;
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const text = relative((Date.parse(time.getAttribute("datetime") ?? "") - (Date.now() - ahead)) / 1000);
    if (time.textContent !== text) time.textContent = text;
  }
}, 1000);
