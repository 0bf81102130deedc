// Draws a Plotly figure once, redraws it when it changes, tells Python which point was clicked, and outlines the cell
// under the pointer in every map of the same link. `loadPlotly` stands above this text (repdiss_core/ui/parts/chart.py).

const AHEAD = "100%";      // of the page's height: a chart this far off is drawn before it is reached …
const READING_MS = 400;    // … once the reader looks at what is in sight and the browser rests
const NARROWEST = 80;      // pixels: a column that is being laid out passes through widths in which no axis fits
const STILL = 8;           // pixels: a pointer that moves this far with its button down drags, for Plotly too
const UNREACHABLE = "The figure could not be drawn: its drawing library did not load. Reload the page to try again.";
const UNDRAWABLE = "The figure could not be drawn. The numbers are under Export.";
const charts = new Map();  // by the element that Streamlit gives: what stands in it
let pressed;               // while the button is down on a point: its chart, (x, y) in the window and the click to report

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
  chart.starved = chart.host.clientWidth < NARROWEST;
  if (chart.starved) return; // `fit` comes back
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
  if (width < NARROWEST) return;
  if (chart.starved) draw(chart);
  if (chart.stale || width === chart.width || chart.host.dataset.state !== "drawn") return;
  chart.width = width;
  globalThis.Plotly.relayout(chart.plot, { width }).then(() => outlineChosen(chart));
}

function listen(chart) {
  chart.listens = true;
  chart.plot.addEventListener("pointerdown", (event) => press(chart, event), true);
  chart.plot.on("plotly_hover", ({ points }) => {
    const [point] = points;
    chart.hovered = point;
    if (chart.link && point?.fullData.type === "heatmap") mirror(chart.link, point.x, point.y);
  });
  chart.plot.on("plotly_relayout", () => outlineChosen(chart));
  chart.plot.on("plotly_unhover", () => {
    chart.hovered = undefined;
    mirror(chart.link);
  });
}

// A click is a press on a point and a release nearby. Plotly's own `plotly_click` gets lost: a search for the hovered point
// that it has put off (by up to 50 ms) clears the hover if it comes while the button is down, and the search at the
// release misses the point on a page that has moved meanwhile. So the point is fixed at the press.
function press(chart, event) {
  pressed = undefined;
  if (!chart.clickable || event.button !== 0 || !event.isPrimary) return;
  if (!event.target.closest(".nsewdrag, .hoverlayer")) return; // the mode bar lies above the points
  const point = pointAt(chart, event.clientX, event.clientY);
  if (point) pressed = { chart, x: event.clientX, y: event.clientY, click: told(point) };
}

// The point at (x, y) of the window. Plotly searches at once, since `unhover` cancels what it has put off.
function pointAt(chart, clientX, clientY) {
  const below = document.elementsFromPoint(clientX, clientY);
  const target = below.find((element) => element.matches(".nsewdrag") && chart.plot.contains(element));
  if (!target) return undefined;
  const { Fx } = globalThis.Plotly;
  Fx.unhover(chart.plot, { target });
  chart.hovered = undefined;
  Fx.hover(chart.plot, { target, clientX, clientY }, target.dataset.subplot);
  return chart.hovered;
}

function move({ clientX, clientY }) {
  if (pressed && Math.max(Math.abs(clientX - pressed.x), Math.abs(clientY - pressed.y)) >= STILL) pressed = undefined;
}

function release(event) {
  move(event);
  const { chart, click } = pressed ?? {};
  pressed = undefined;
  if (chart?.mounted && chart.clickable) chart.tell("click", click);
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

// The box of the cell that (x, y) lies in, in pixels of the chart; undefined where the map has no such cell.
function cell(layout, map, x, y) {
  const [across, up] = [around(map.x, x), around(map.y, y)];
  if (!across || !up) return undefined;
  const [xAxis, yAxis] = [layout[map.xaxis.replace("x", "xaxis")], layout[map.yaxis.replace("y", "yaxis")]];
  if (!inSight(xAxis, x) || !inSight(yAxis, y)) return undefined;
  const [left, right] = pixels(xAxis, across);
  const [top, bottom] = pixels(yAxis, up);
  return { left: `${left}px`, top: `${top}px`, width: `${right - left}px`, height: `${bottom - top}px` };
}

// Both ends of the cell that `at` lies in, on an axis whose cells have these equidistant middles.
function around(middles, at) {
  const half = middles.length > 1 ? (middles[1] - middles[0]) / 2 : 0.5;
  const middle = [...middles].find((one) => Math.abs(one - at) < half + 1e-9);
  return middle === undefined ? undefined : [middle - half, middle + half];
}

// Whether a zoomed axis still shows the place.
function inSight(axis, at) {
  const [low, high] = [...axis.range].sort((a, b) => a - b);
  return at >= low && at <= high;
}

function pixels(axis, ends) {
  return ends.map((end) => axis._offset + axis.l2p(end)).sort((a, b) => a - b);
}

window.addEventListener("pointermove", move, true);
window.addEventListener("pointerup", release, true);
window.addEventListener("pointercancel", () => (pressed = undefined), true);
window.addEventListener("beforeprint", () => {
  for (const chart of charts.values()) if (chart.stale && globalThis.Plotly) drawNow(chart, globalThis.Plotly);
});
