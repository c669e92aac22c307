"use strict";
(() => {
  // Search: every word has to be in the row. Without this script all rows stand there.
  const field = document.getElementById("search");
  if (field) {
    const rows = [...document.querySelectorAll("#newest tbody tr")].map((row) => [row, row.textContent.toLowerCase()]);
    const found = field.parentElement.querySelector("output");
    field.parentElement.hidden = false;
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const [row, text] of rows) {
        row.hidden = !words.every((word) => text.includes(word));
        if (!row.hidden) shown += 1;
      }
      found.textContent = words.length ? `${shown} of ${rows.length}` : "";
    });
  }
  // Hover: the day under the pointer, read from the table below the plot.
  for (const panel of document.querySelectorAll(".panel:has(svg[data-first])")) {
    const svg = panel.querySelector("svg");
    const line = panel.querySelector(".hover");
    const cursor = svg.querySelector(".cursor");
    const first = Date.parse(svg.dataset.first);
    const span = Math.max(1, Date.parse(svg.dataset.last) - first);
    const said = line.textContent;
    const currency = panel.querySelector("thead .num").textContent;
    let points = null;
    const read = () =>
      [...panel.querySelectorAll("tbody tr")].map((row) => {
        const [day, amount, state] = row.cells;
        const at = 40 + ((Date.parse(day.firstChild.dateTime) - first) / span) * 316;
        return { at, text: `${day.textContent}: ${amount.textContent} ${currency}, ${state.textContent}` };
      });
    svg.addEventListener("pointermove", (event) => {
      points = points || read();
      const box = svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * 360;
      // a balance holds until the next one
      const point = points.findLast((one) => one.at <= x + 0.5) || points[0];
      cursor.setAttribute("d", `M${point.at.toFixed(1)} 8V118`);
      line.textContent = point.text;
    });
    svg.addEventListener("pointerleave", () => {
      cursor.setAttribute("d", "");
      line.textContent = said;
    });
  }
})();
