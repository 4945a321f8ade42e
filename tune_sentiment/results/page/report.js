"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 700px)");
  const mouse = matchMedia("(hover: hover) and (pointer: fine)");

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function themed(figure) {
    const ink = colour("--ink"), line = colour("--line"), wash = colour("--wash"), faint = colour("--faint");
    const axis = { gridcolor: line, linecolor: line, zerolinecolor: line, automargin: true, ticks: "" };
    const layout = structuredClone(figure.layout);
    layout.template = {
      layout: {
        font: { color: ink, size: 12, family: "system-ui, sans-serif" },
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        hoverlabel: { bgcolor: wash, bordercolor: line, font: { color: ink }, align: "left" },
        legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom" },
        modebar: { bgcolor: "rgba(0,0,0,0)", color: faint, activecolor: ink },
        xaxis: axis, yaxis: axis,
        coloraxis: { colorbar: { thickness: 12 } },
      },
    };
    layout.margin ??= narrow.matches ? { l: 10, r: 10, t: 10, b: 10 } : { l: 20, r: 20, t: 10, b: 20 };
    // Without a mouse, dragging over a plot has to scroll the page.
    if (!mouse.matches) layout.dragmode = false;
    const data = structuredClone(figure.data);
    for (const trace of data) {
      if (trace.meta && trace.meta.ink) {
        trace.line = { ...trace.line, color: ink };
        if (trace.marker) trace.marker = { ...trace.marker, color: ink };
      }
      const bar = trace.colorbar || (trace.marker && trace.marker.colorbar);
      if (bar) Object.assign(bar, { thickness: 12, outlinewidth: 0, title: { ...bar.title, side: "right" } });
    }
    return [data, layout];
  }

  function draw(place) {
    const [data, layout] = themed(figures[place.id]);
    const options = { responsive: true, displaylogo: false, displayModeBar: mouse.matches ? "hover" : false };
    return Plotly.react(place, data, layout, options);
  }

  // A plot is drawn when the reader comes near it, so that a long page opens at once.
  const waiting = new Set(document.querySelectorAll(".plot"));
  function drawNow(place) {
    if (!waiting.delete(place)) return;
    draw(place).then(() => { document.documentElement.dataset.drawn ??= String(Math.round(performance.now())); });
  }
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { near.unobserve(entry.target); drawNow(entry.target); }
  }, { rootMargin: "600px" });
  for (const place of waiting) near.observe(place);
  addEventListener("beforeprint", () => { for (const place of [...waiting]) drawNow(place); });
  dark.addEventListener("change", () => {
    for (const place of document.querySelectorAll(".plot")) if (!waiting.has(place)) draw(place);
  });

  // What the reader did to the page outlives its reloading.
  const key = "tune_sentiment:" + location.pathname;
  let kept = {};
  try { kept = JSON.parse(sessionStorage.getItem(key)) || {}; } catch { kept = {}; }
  function keep(change) {
    Object.assign(kept, change);
    try { sessionStorage.setItem(key, JSON.stringify(kept)); } catch { /* private mode: nothing is kept */ }
  }

  const table = document.querySelector(".sortable");
  function sort(column, direction) {
    const body = table.tBodies[0];
    const sign = direction === "descending" ? -1 : 1;
    const keyed = [...body.rows].map((row) => [row.cells[column].dataset.v, row]);
    const numeric = keyed.every(([value]) => value === "" || Number.isFinite(Number(value)));
    keyed.sort(([a], [b]) => {
      if (a === "" || b === "") return (a === "") - (b === "");
      return sign * (numeric ? a - b : a.localeCompare(b));
    });
    body.append(...keyed.map(([, row]) => row));
    for (const [place, heading] of [...table.tHead.rows[0].cells].entries()) {
      heading.setAttribute("aria-sort", place === column ? direction : "none");
    }
  }
  if (table) {
    for (const [column, heading] of [...table.tHead.rows[0].cells].entries()) {
      heading.firstElementChild.addEventListener("click", () => {
        const direction = heading.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
        sort(column, direction);
        keep({ sort: [heading.textContent, direction] });
      });
    }
    if (kept.sort) {
      const column = [...table.tHead.rows[0].cells].findIndex((heading) => heading.textContent === kept.sort[0]);
      if (column >= 0) sort(column, kept.sort[1]);
    }
  }
  for (const details of document.querySelectorAll("details")) {
    if (kept.open && details.id in kept.open) details.open = kept.open[details.id];
    details.addEventListener("toggle", () => keep({ open: { ...kept.open, [details.id]: details.open } }));
  }
  const box = document.querySelector(".tall");
  if (box && kept.box) [box.scrollLeft, box.scrollTop] = kept.box;
  if ("scroll" in kept && !location.hash) {
    history.scrollRestoration = "manual";
    scrollTo(0, kept.scroll);
  }
  addEventListener("pagehide", () => keep({ scroll: scrollY, box: box ? [box.scrollLeft, box.scrollTop] : null }));
})();
