// BokehJS from the panel, for the pages with charts: style elements that it creates get the nonce of the page's policy.

const { nonce } = document.querySelector("meta[property=csp-nonce]");
const createElement = document.createElement.bind(document);
document.createElement = (name, options) => {
  const element = createElement(name, options);
  if (name === "style") element.nonce = nonce;
  return element;
};

function loadScript(source) {
  return new Promise((resolve, reject) => {
    document.head.append(Object.assign(document.createElement("script"), { src: source, onload: resolve, onerror: reject }));
  });
}

for (const source of document.querySelector("[data-scripts]").dataset.scripts.split(" ")) await loadScript(source);

export const { Bokeh } = window;

export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Axes, grid and ground of a plot in the colours of the page.
export function paintFrame(plot) {
  const [soft, line] = [colour("--soft"), colour("--line")];
  Object.assign(plot, { background_fill_color: null, border_fill_color: null, outline_line_color: null });
  for (const axis of [...plot.below, ...plot.left]) {
    Object.assign(axis, { major_label_text_color: soft, axis_label_text_color: soft, axis_line_color: line, major_tick_line_color: line, minor_tick_line_color: null });
  }
  for (const grid of plot.center.filter((renderer) => "grid_line_color" in renderer)) grid.grid_line_color = line;
}

// Draws plots in elements of the page; `paint` sets their colours, again when the colours of the page change.
export async function embed(plots, elements, paint) {
  const drawing = new Bokeh.Document();
  for (const plot of plots) drawing.add_root(plot);
  paint();
  await Bokeh.embed.add_document_standalone(drawing, document.body, elements);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
}
