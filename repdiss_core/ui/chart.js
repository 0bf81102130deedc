// Draws a Plotly figure once, redraws it when it changes, tells Python which point was clicked, and outlines the cell
// under the pointer in every map of the same link. `loadPlotly` stands above this text (repdiss_core/ui/chart.py).

const AHEAD = "100%";      // of the page's height: a chart this far off is drawn before it is reached …
const READING_MS = 400;    // … once the reader looks at what is in sight and the browser rests
const UNREACHABLE = "The figure could not be drawn: its drawing library did not load. Reload the page to try again.";
const UNDRAWABLE = "The figure could not be drawn. The numbers are under Export.";
const charts = new Map();  // by the element that Streamlit gives: what stands in it

export default function ({ data, parentElement, setTriggerValue }) {
  const chart = charts.get(parentElement) ?? mount(parentElement);
  chart.tell = setTriggerValue;
  chart.link = data.link;
  chart.host.setAttribute("aria-label", data.alt);
  chart.host.style.height = `${data.height}px`;
  chart.host.classList.toggle("repdiss-clickable", data.clickable);
  chart.clickable = data.clickable;
  chart.chosen = data.chosen;
  if (chart.spec !== data.spec) {
    Object.assign(chart, { spec: data.spec, config: data.config, stale: true });
    chart.host.dataset.state = "waiting";
    if (chart.near) draw(chart);
  } else if (!chart.stale) {
    outlineChosen(chart);
  }
  return () => unmount(chart);
}

function mount(parent) {
  const host = document.createElement("div");
  host.className = "repdiss-chart";
  host.setAttribute("role", "figure");  // not "img": the mode bar in it can be focused
  const plot = document.createElement("div");
  host.append(plot);
  parent.append(host);
  const chart = { parent, host, plot, near: false, stale: true, mounted: true, outlines: [], marks: [] };
  charts.set(parent, chart);
  const page = host.closest('[data-testid="stMain"]');
  chart.sight = new IntersectionObserver((entries) => approach(chart, entries.at(-1)), { root: page, rootMargin: `${AHEAD} 0px` });
  chart.sight.observe(host);
  chart.size = new ResizeObserver(() => fit(chart));
  chart.size.observe(host);
  return chart;
}

function unmount(chart) {
  chart.mounted = false;
  chart.sight.disconnect();
  chart.size.disconnect();
  charts.delete(chart.parent);
  chart.host.remove();
  (window.requestIdleCallback ?? setTimeout)(() => globalThis.Plotly?.purge(chart.plot));
}

function approach(chart, entry) {
  chart.near = entry.isIntersecting;
  if (!chart.near || !chart.stale) return;
  const { top, bottom } = entry.boundingClientRect;
  if (top < innerHeight && bottom > 0) draw(chart);
  else setTimeout(() => (window.requestIdleCallback ?? setTimeout)(() => chart.stale && draw(chart)), READING_MS);
}

async function draw(chart) {
  const Plotly = await loadPlotly();
  if (!chart.mounted || !chart.stale) return;
  if (Plotly) drawNow(chart, Plotly);
  else say(chart, UNREACHABLE);
}

function drawNow(chart, Plotly) {
  chart.stale = false;
  try {
    const { data, layout } = JSON.parse(chart.spec);
    chart.width = chart.host.clientWidth;
    hideOutlines(chart.marks);
    Plotly.react(chart.plot, data, { ...layout, width: chart.width }, chart.config);
  } catch (error) {
    console.error(error);
    return say(chart, UNDRAWABLE);
  }
  chart.host.dataset.state = "drawn";
  if (!chart.listens) listen(chart);
  outlineChosen(chart);
}

function say(chart, sentence) {
  const words = document.createElement("p");
  words.textContent = sentence;
  chart.host.replaceChildren(words);
  chart.host.dataset.state = "failed";
  chart.sight.disconnect();
}

function fit(chart) {
  const width = chart.host.clientWidth;
  if (chart.stale || !width || width === chart.width || chart.host.dataset.state !== "drawn") return;
  chart.width = width;
  globalThis.Plotly.relayout(chart.plot, { width }).then(() => outlineChosen(chart));
}

function listen(chart) {
  chart.listens = true;
  chart.plot.on("plotly_click", ({ points }) => {
    if (chart.clickable && points.length) chart.tell("click", told(points[0]));
  });
  chart.plot.on("plotly_hover", ({ points }) => {
    const [point] = points;
    if (chart.link && point?.fullData.type === "heatmap") mirror(chart.link, point.x, point.y);
  });
  chart.plot.on("plotly_unhover", () => mirror(chart.link));
}

// What Python learns of a point: the trace, the number of its panel, where it stands in it, its value and what it carries.
function told(point) {
  const [row, column] = Array.isArray(point.pointNumber) ? point.pointNumber : [null, point.pointNumber];
  const panel = Number(point.fullData.xaxis.slice(1) || 1);
  return { curve: point.curveNumber, panel, row, column, value: point.z ?? point.y ?? null, labels: [point.customdata ?? []].flat() };
}

function mirror(link, x, y) {
  for (const chart of charts.values()) {
    if (link && chart.link === link && chart.listens) outline(chart, chart.outlines, x === undefined ? [] : mapsOf(chart), x, y);
  }
}

function outlineChosen(chart) {
  if (!chart.listens) return;
  const [panel, row, column] = chart.chosen ?? [];
  const map = panel && mapsOf(chart).find((trace) => trace.xaxis === (panel > 1 ? `x${panel}` : "x"));
  outline(chart, chart.marks, map ? [map] : [], map?.x[column], map?.y[row], "repdiss-chosen");
}

// One trace of cells for each panel of a chart.
function mapsOf(chart) {
  const maps = chart.plot._fullData.filter((trace) => trace.type === "heatmap" && trace.visible === true && trace.name !== "scale");
  return [...new Map(maps.map((trace) => [trace.xaxis, trace])).values()];
}

function outline(chart, boxes, maps, x, y, kind = "repdiss-hovered") {
  const places = maps.map((map) => cell(chart.plot._fullLayout, map, x, y)).filter(Boolean);
  places.forEach((place, i) => {
    if (!boxes[i]) {
      boxes[i] = document.createElement("div");
      boxes[i].className = `repdiss-outline ${kind}`;
      chart.host.append(boxes[i]);
    }
    Object.assign(boxes[i].style, place, { display: "block" });
  });
  hideOutlines(boxes.slice(places.length));
}

function hideOutlines(boxes) {
  for (const box of boxes) box.style.display = "none";
}

// The box of the cell at (x, y) in pixels of the chart; undefined where the map has no such cell.
function cell(layout, map, x, y) {
  if (![...map.x].includes(x) || ![...map.y].includes(y)) return undefined;
  const across = layout[map.xaxis.replace("x", "xaxis")], up = layout[map.yaxis.replace("y", "yaxis")];
  const [left, right] = [x - 0.5, x + 0.5].map((at) => across._offset + across.l2p(at)).sort((a, b) => a - b);
  const [top, bottom] = [y - 0.5, y + 0.5].map((at) => up._offset + up.l2p(at)).sort((a, b) => a - b);
  return { left: `${left}px`, top: `${top}px`, width: `${right - left}px`, height: `${bottom - top}px` };
}

window.addEventListener("beforeprint", () => {
  for (const chart of charts.values()) if (chart.stale && globalThis.Plotly) drawNow(chart, globalThis.Plotly);
});
