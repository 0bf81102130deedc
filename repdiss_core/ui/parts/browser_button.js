// A button that acts in the browser alone: copies a text or the page's address, or saves a chart with what it rests on.

const TOLD_MS = 2500;
const LINE = 15, FONT = 11;  // of the lines under a saved picture, in pixels

export default function ({ data, parentElement }) {
  let button = parentElement.querySelector("button");
  if (!button) {
    button = document.createElement("button");
    button.type = "button";
    button.className = "repdiss-button";
    const told = document.createElement("span");
    told.className = "repdiss-told";
    told.setAttribute("role", "status");
    parentElement.append(button, told);
  }
  const told = parentElement.querySelector(".repdiss-told");
  button.textContent = data.label;
  button.onclick = async () => {
    try {
      told.textContent = await (data.action === "copy" ? copy(data) : picture(data));
    } catch (error) {
      told.textContent = error.message;
    }
    setTimeout(() => { told.textContent = ""; }, TOLD_MS);
  };
}

async function copy({ text, anchor }) {
  const words = text || location.href.split("#")[0] + (anchor ? `#${anchor}` : "");
  if (navigator.clipboard) await navigator.clipboard.writeText(words);
  else copyTheOldWay(words);  // a page that is not served over https or loopback
  return "Copied";
}

function copyTheOldWay(words) {
  const field = document.createElement("textarea");
  field.value = words;
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (!done) throw new Error("The browser does not allow copying. Select the text and copy it.");
}

async function picture({ chart, format, name, caption }) {
  const plot = document.querySelector(`.st-key-${chart} .js-plotly-plot`);
  if (!plot?.layout || !globalThis.Plotly) throw new Error("The figure is not drawn yet. Scroll to it first.");
  const figure = withCaption(plot, caption);
  const url = await globalThis.Plotly.toImage(figure, { format, width: figure.layout.width, height: figure.layout.height, scale: format === "png" ? 2 : 1 });
  const link = document.createElement("a");
  link.href = url;
  link.download = `${name}.${format}`;
  link.click();
  return "Saved";
}

// The chart with its caption below, so that a saved picture tells what it rests on; the chart itself keeps its size.
function withCaption(plot, caption) {
  const { width, height, margin } = plot._fullLayout;
  const lines = wrapped(caption, Math.floor(width / (FONT * 0.52)));
  const room = lines.length * LINE + 14;
  const layout = JSON.parse(JSON.stringify(plot.layout));
  if (layout.legend?.yref === "container") layout.legend.y = (layout.legend.y * height + room) / (height + room);
  Object.assign(layout, {
    width,
    height: height + room,
    margin: { ...layout.margin, l: margin.l, r: margin.r, t: margin.t, b: margin.b + room },
    title: { text: lines.map(escaped).join("<br>"), font: { size: FONT }, xref: "container", x: 0.01, xanchor: "left", yref: "container", y: (room - 4) / (height + room), yanchor: "top" },
  });
  return { data: plot.data, layout, config: {} };
}

function wrapped(text, width) {
  const lines = [""];
  for (const word of text.split(" ")) {
    if (lines.at(-1).length + word.length > width) lines.push("");
    lines[lines.length - 1] += (lines.at(-1) ? " " : "") + word;
  }
  return lines;
}

function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
