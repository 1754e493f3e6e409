// A crosshair over each chart: reads the numbers from the chart's own table.

/** @param {HTMLElement} chart */
function watch(chart) {
  const drawing = chart.querySelector(".plot svg");
  const cross = chart.querySelector(".cross");
  const readout = chart.querySelector(".readout");
  const heads = [...chart.querySelectorAll("thead th")].map((cell) => cell.textContent);
  const rows = [...chart.querySelectorAll("tbody tr")];
  const { width, height } = drawing.viewBox.baseVal;
  const bars = chart.querySelector(".bars") !== null;

  /** @param {number} place */
  function read(place) {
    const cells = [...rows[place].cells].map((cell) => cell.textContent);
    const x = bars ? (width * (place + 0.5)) / rows.length : (width * place) / Math.max(rows.length - 1, 1);
    cross.setAttribute("d", `M${x} 0V${height}`);
    readout.textContent = [cells[0], ...cells.slice(1).map((cell, at) => `${heads[at + 1]} ${cell}`)].join(" · ");
    chart.dataset.reading = "";
  }

  const stop = () => delete chart.dataset.reading;
  drawing.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    const place = bars ? Math.floor(share * rows.length) : Math.round(share * (rows.length - 1));
    read(Math.min(Math.max(place, 0), rows.length - 1));
  });
  drawing.addEventListener("pointerleave", stop);
}

for (const chart of document.querySelectorAll("[data-chart]")) {
  if (chart.querySelector("tbody tr")) watch(chart);
}
