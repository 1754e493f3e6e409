// Shows the numbers of a chart under the pointer. They are read from the chart's own table.
import { element } from "./html.js";

const SVG = "http://www.w3.org/2000/svg";

/** @param {Element} chart @param {number} share of the width, from 0 to 1 */
function point(chart, share) {
  const svg = chart.querySelector("svg"), rows = chart.querySelectorAll("tbody tr");
  if (!svg || rows.length === 0) return;
  const left = Number(svg.dataset.left), width = svg.viewBox.baseVal.width, steps = Math.max(rows.length - 1, 1);
  const at = Math.max(0, Math.min(rows.length - 1, Math.round(((share * width - left) / (width - left)) * steps)));
  let line = svg.querySelector(".cross");
  if (!line) {
    line = document.createElementNS(SVG, "line");
    line.setAttribute("class", "cross");
    line.setAttribute("y1", "0");
    line.setAttribute("y2", String(svg.viewBox.baseVal.height));
    svg.append(line);
  }
  const x = String(left + ((width - left) * at) / steps);
  line.setAttribute("x1", x);
  line.setAttribute("x2", x);
  const names = [...chart.querySelectorAll("thead th")].slice(1).map((it) => it.textContent);
  const [time, ...values] = [...rows[at].children].map((it) => it.textContent);
  let words = chart.querySelector(".under");
  if (!words) chart.querySelector("figcaption")?.append((words = element("span", { class: "under" })));
  words.textContent = `${time}: ${values.map((value, index) => (values.length > 1 ? `${names[index]} ${value}` : value)).join(" · ")}`;
}

/** @param {Element} chart */
function clear(chart) { chart.querySelectorAll(".cross, .under").forEach((it) => it.remove()); }

const chartOf = (/** @type {EventTarget | null} */ target) => (target instanceof Element && target.closest("svg") ? target.closest("figure.chart") : null);

document.addEventListener("pointermove", (event) => {
  const chart = chartOf(event.target);
  for (const other of document.querySelectorAll(".chart:has(.cross)")) if (other !== chart) clear(other);
  const box = chart?.querySelector("svg")?.getBoundingClientRect();
  if (chart && box) point(chart, (event.clientX - box.left) / box.width);
});
document.addEventListener("pointerleave", () => document.querySelectorAll(".chart:has(.cross)").forEach(clear));
