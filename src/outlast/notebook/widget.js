// A run, live: header, small charts, trials, the end of the log. It draws what the kernel puts into
// the model and asks nobody; every text goes through textContent.

const WIDTH = 220;
const HEIGHT = 72;
const PAD = 4;
// A reader who has scrolled up isn't pulled down again.
const NEAR_END_PX = 24;
const TICK_MS = 1000;
const SVG = "http://www.w3.org/2000/svg";

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function shown(value) {
  if (typeof value !== "number") return String(value ?? "");
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e7)) return value.toExponential(3);
  return String(Number(value.toPrecision(6)));
}

function duration(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  const parts = hours ? [hours + " h", minutes + " min"] : minutes ? [minutes + " min"] : [];
  return hours ? parts.join(" ") : [...parts, (seconds % 60) + " s"].join(" ");
}

// Points of a curve in the chart's own coordinates; a constant lies in the middle.
function curve(points, width, height, pad) {
  const xs = points.map((point) => point[0]);
  const ys = points.map((point) => point[1]);
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const [low, high] = [Math.min(...ys), Math.max(...ys)];
  const across = (x) => (right > left ? (x - left) / (right - left) : 0.5);
  const up = (y) => (high > low ? (y - low) / (high - low) : 0.5);
  return points.map(([x, y]) => [
    pad + across(x) * (width - 2 * pad),
    height - pad - up(y) * (height - 2 * pad),
  ]);
}

function chart(series) {
  const figure = element("figure", "outlast-chart");
  figure.dataset.metric = series.name;
  const caption = element("figcaption");
  caption.append(element("span", "", series.name), element("b", "", shown(series.last)));
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${series.name}, ${series.n} values, last ${shown(series.last)}`);
  const drawn = curve(series.points, WIDTH, HEIGHT, PAD);
  const line = document.createElementNS(SVG, "polyline");
  line.setAttribute("points", drawn.map((point) => point.map((n) => n.toFixed(1)).join(",")).join(" "));
  svg.append(line);
  if (drawn.length) {
    const dot = document.createElementNS(SVG, "circle");
    const [x, y] = drawn[drawn.length - 1];
    dot.setAttribute("cx", x.toFixed(1));
    dot.setAttribute("cy", y.toFixed(1));
    dot.setAttribute("r", "2.5");
    svg.append(dot);
  }
  figure.append(caption, svg);
  return figure;
}

function trialsTable(trials) {
  const table = element("table", "outlast-trials");
  const names = [...new Set(trials.flatMap((trial) => Object.keys(trial.parameters)))];
  const head = element("tr");
  for (const name of ["trial", ...names, "best value", "status"]) head.append(element("th", "", name));
  table.append(head);
  for (const trial of trials) {
    const row = element("tr", trial.is_best ? "outlast-best" : "");
    row.append(element("td", "", trial.number));
    for (const name of names) row.append(element("td", "", trial.parameters[name] ?? ""));
    row.append(element("td", "", shown(trial.value)), element("td", "", trial.status));
    table.append(row);
  }
  return table;
}

function render({ model, el }) {
  const root = element("section", "outlast-run");
  const header = element("header");
  const problem = element("p", "outlast-problem");
  const charts = element("div", "outlast-charts");
  const trials = element("div");
  const log = element("pre", "outlast-log");
  log.tabIndex = 0;
  root.append(header, problem, charts, trials, log);
  el.append(root);

  function drawHeader() {
    const facts = model.get("facts");
    if (!facts.id) return;
    const status = element("span", "outlast-status", facts.status);
    status.dataset.status = facts.status;
    const link = element("a", "", facts.name || facts.id);
    link.href = facts.url;
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    const end = facts.is_over ? facts.ended_ms : Date.now();
    const took = facts.started_ms ? duration(end - facts.started_ms) : "";
    header.replaceChildren(
      status,
      link,
      element("span", "", facts.experiment),
      element("span", "outlast-took", took),
      element("code", "", facts.command),
      element("span", "outlast-message", facts.message),
    );
  }
  function drawLog() {
    const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END_PX;
    log.textContent = model.get("log");
    log.hidden = !log.textContent;
    if (isAtEnd) log.scrollTop = log.scrollHeight;
  }
  function drawProblem() {
    problem.textContent = model.get("problem");
    problem.hidden = !problem.textContent;
  }
  const drawCharts = () => charts.replaceChildren(...model.get("series").map(chart));
  function drawTrials() {
    const rows = model.get("trials");
    trials.replaceChildren(...(rows.length ? [trialsTable(rows)] : []));
  }
  const drawings = [
    ["facts", drawHeader], ["log", drawLog], ["problem", drawProblem], ["series", drawCharts],
    ["trials", drawTrials],
  ];
  for (const [name, draw] of drawings) {
    model.on(`change:${name}`, draw);
    draw();
  }
  log.scrollTop = log.scrollHeight;
  const clock = setInterval(() => model.get("facts").is_over || drawHeader(), TICK_MS);
  return () => {
    clearInterval(clock);
    for (const [name, draw] of drawings) model.off(`change:${name}`, draw);
  };
}

export default { render };
