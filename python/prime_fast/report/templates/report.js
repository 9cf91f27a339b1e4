"use strict";
// Charts are drawn when they can be seen: one in closed details has no width.
async function draw(panel) {
  const source = panel.querySelector("script");
  if (!source || panel.dataset.drawn) return;
  panel.dataset.drawn = "yes";
  const target = panel.appendChild(document.createElement("div"));
  const spec = JSON.parse(source.textContent);
  spec.config.legend.columns = Math.max(1, Math.floor(panel.clientWidth / 140));
  await vegaEmbed(target, spec, {actions: false, renderer: "svg", mode: "vega-lite"});
  // The figure's own label tells what it shows.
  target.querySelectorAll("svg").forEach((svg) => svg.setAttribute("aria-hidden", "true"));
}
function drawAll(root) {
  return Promise.all([...root.querySelectorAll(".panel")].filter((panel) => !panel.closest("details:not([open])")).map(draw));
}
for (const details of document.querySelectorAll("details")) {
  details.addEventListener("toggle", () => drawAll(details));
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));

// A cell sorts by its key; cells without one come last in either direction.
function compare(a, b, sign) {
  const [x, y] = [a.dataset.key, b.dataset.key];
  if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
  const [p, q] = [Number(x), Number(y)];
  return sign * (Number.isNaN(p) || Number.isNaN(q) ? x.localeCompare(y) : p - q);
}
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => heading.querySelector("button").addEventListener("click", () => {
    const up = heading.getAttribute("aria-sort") !== "ascending";
    headings.forEach((one) => one.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = [...body.rows];
    rows.sort((a, b) => compare(a.cells[column], b.cells[column], up ? 1 : -1));
    body.append(...rows);
  }));
}
// A chart that fails must not keep the others from being drawn.
drawAll(document).finally(() => { document.documentElement.dataset.ready = "yes"; });
