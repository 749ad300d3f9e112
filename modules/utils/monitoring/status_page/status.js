"use strict";
// Redraws the page from /status.json every two seconds. Data is inserted only as text or numbers, never as HTML.

const SVG = "http://www.w3.org/2000/svg";
const PALETTE = ["#2f72d2", "#338162", "#ad5783", "#7a61d0", "#986b2b", "#337d8b", "#a5574b", "#627c34"];
const colours = new Map();
let minutes = 10;
let last = null;

const $ = (id) => document.getElementById(id);
const LANGUAGE = document.documentElement.lang;
const words = JSON.parse($("words").textContent);
const t = (key, blanks = {}) => words[key].replace(/\{(\w+)\}/g, (_, name) => blanks[name]);
const number = (value, digits = 0) =>
  value.toLocaleString(LANGUAGE, { minimumFractionDigits: digits, maximumFractionDigits: digits });
const colourOf = (model) => {
  if (!colours.has(model)) colours.set(model, PALETTE[colours.size % PALETTE.length]);
  return colours.get(model);
};
const element = (name, attributes = {}, text = null) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== null) made.textContent = text;
  return made;
};
const shape = (name, attributes = {}, text = null) => {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== null) made.textContent = text;
  return made;
};
const seconds = (value) => {
  if (value < 10) return `${number(value, 1)} s`;
  if (value < 120) return `${Math.round(value)} s`;
  if (value < 7200) return `${Math.round(value / 60)} min`;
  return value < 172800 ? `${Math.round(value / 3600)} h` : `${Math.round(value / 86400)} d`;
};
const median = (values) => {
  if (!values.length) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
};

function figure(key, value, blanks = {}) {
  const box = element("div");
  const meaning = t(`${key}.meaning`, blanks);
  box.append(element("dt", {}, t(key)), element("dd", {}, value), element("dd", { class: "meaning" }, meaning));
  return box;
}

function drawFigures(told, from) {
  const wait = median(told.waits.filter(([at]) => at >= from).map(([, waited]) => waited));
  const figures = told.figures;
  $("figures").replaceChildren(
    figure("pictures", number(figures.made ?? 0)),
    figure("waiting", number(told.queue.waiting)),
    figure("running", number(told.queue.running)),
    figure("people", number(told.queue.users)),
    figure("wait", wait === null ? "–" : seconds(wait)),
    figure("failed", number(figures.failed ?? 0)),
    figure("fairness", number(figures.fairness ?? 1, 2)),
    figure("requests", number(figures.requests ?? 0), { refused: number(figures.refused ?? 0) }),
    figure("uptime", seconds(told.now - told.started_at)),
  );
}

// A reason may end with details in brackets; they come from the system and are not translated.
function reasonWhy(unready) {
  const [reason, ...details] = unready.split(/(?= \()/);
  const key = `unready-${reason.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  return (words[key] ?? reason[0].toUpperCase() + reason.slice(1)) + details.join("");
}

function drawState(told) {
  const engines = told.engines ?? [];
  const down = engines.filter((engine) => engine.state === "down").length;
  let said = t("taking-jobs");
  if (told.unready) said = reasonWhy(told.unready);
  else if (down) said = t("some-down", { down, all: engines.length });
  if ($("state").textContent !== said) $("state").textContent = said;
  $("state").className = told.unready ? "bad" : "good";
}

function lane(engine, told, from, width) {
  const row = element("div", { class: "lane", "data-engine": engine.name });
  const label = element("div");
  label.append(element("div", { class: "name", title: engine.name }, engine.name));
  const about = element("div", { class: "about" });
  const share = engine.busy.toLocaleString(LANGUAGE, { style: "percent" });
  about.append(
    element("b", { class: engine.state }, t(`state-${engine.state}`)),
    ` · ${t("about-gpu", { pictures: number(engine.pictures), share })}`,
    engine.elastic ? ` · ${t("elastic", { slots: number(engine.elastic) })}` : "",
  );
  label.append(about);
  if (engine.trouble) label.append(element("div", { class: "about trouble", title: engine.trouble }, engine.trouble));
  const picture = shape("svg", { viewBox: `0 0 ${width} 44`, preserveAspectRatio: "none", role: "img" });
  picture.setAttribute("aria-label", t("batches-of", { gpu: engine.name }));
  const scale = width / (told.now - from);
  for (const batch of engine.batches) {
    const ends = batch.to ?? told.now;
    if (ends < from) continue;
    const left = Math.max(0, (batch.from - from) * scale);
    const wide = Math.max(2, (ends - from) * scale - left - 1);
    const kind = batch.to === null ? "running" : batch.good ? "done" : "failed";
    const group = shape("g", { class: `batch ${kind}` });
    group.append(
      shape("rect", { x: left, y: 5, width: wide, height: 34, rx: Math.min(4, wide / 2), fill: colourOf(batch.model) }),
      shape("title", {}, t("batch", {
        model: batch.model, size: batch.size, time: seconds(ends - batch.from), state: t(`batch-${kind}`),
      })),
    );
    if (wide > 16) group.append(shape("text", { x: left + wide / 2, y: 26, "text-anchor": "middle" }, batch.size));
    picture.append(group);
  }
  row.append(label, picture);
  return row;
}

function drawLanes(told, from) {
  const lanes = $("lanes");
  const narrow = matchMedia("(max-width: 760px)").matches;
  const width = Math.max(200, lanes.clientWidth - (narrow ? 0 : 264));
  const rows = told.engines.map((engine) => lane(engine, told, from, width));
  lanes.replaceChildren(...(rows.length ? rows : [element("p", { class: "none" }, t("no-gpus"))]));
  const keys = [...colours].map(([model, colour]) => {
    const key = element("span");
    const mark = shape("svg", { viewBox: "0 0 10 10" });
    mark.append(shape("rect", { width: 10, height: 10, rx: 3, fill: colour }));
    key.append(mark, model);
    return key;
  });
  if (keys.length) keys.push(element("span", {}, t("legend")));
  $("legend").replaceChildren(...keys);
}

function axes(svg, told, from, most, unit) {
  const box = { left: 34, top: 8, width: svg.clientWidth - 42, height: 158 };
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${svg.clientWidth} 190`);
  for (let part = 0; part <= 2; part += 1) {
    const y = box.top + box.height * (1 - part / 2);
    const value = (most * part) / 2;
    svg.append(
      shape("line", { class: "grid", x1: box.left, x2: box.left + box.width, y1: y, y2: y }),
      shape("text", { x: box.left - 6, y: y + 4, "text-anchor": "end" }, number(value, Number.isInteger(value) ? 0 : 1)),
    );
  }
  const span = told.now - from;
  for (let part = 0; part <= 2; part += 1) {
    const ago = span * (1 - part / 2);
    const words = part === 2 ? t("now") : `−${seconds(ago)}`;
    const anchor = part === 0 ? "start" : part === 2 ? "end" : "middle";
    svg.append(shape("text", { x: box.left + (box.width * part) / 2, y: 184, "text-anchor": anchor }, words));
  }
  return {
    x: (at) => box.left + (Math.max(0, at - from) / span) * box.width,
    y: (value) => box.top + box.height * (1 - value / most),
  };
}

const rounded = (most) => {
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 4, 6, 10].map((step) => step * power).find((step) => step >= most);
};

function drawDepth(told, from) {
  const before = told.depth.filter(([at]) => at < from).slice(-1).map(([, w, r]) => [from, w, r]);
  const points = [...before, ...told.depth.filter(([at]) => at >= from)];
  const most = rounded(Math.max(4, ...points.map(([, waiting, running]) => Math.max(waiting, running))));
  const svg = $("depth");
  const place = axes(svg, told, from, most);
  const stairs = (index) => points.map((point, i) => {
    const until = i + 1 < points.length ? points[i + 1][0] : told.now;
    return `${place.x(point[0])},${place.y(point[index])} ${place.x(until)},${place.y(point[index])}`;
  }).join(" ");
  if (!points.length) return;
  const [first, end, floor] = [place.x(points[0][0]), place.x(told.now), place.y(0)];
  svg.append(
    shape("polygon", { class: "waiting-area", points: `${first},${floor} ${stairs(1)} ${end},${floor}` }),
    shape("polyline", { class: "running-line", points: stairs(2) }),
  );
}

function drawWaits(told, from) {
  const points = told.waits.filter(([at]) => at >= from);
  const most = rounded(Math.max(4, ...points.map(([, waited]) => waited)));
  const place = axes($("waits"), told, from, most);
  for (const [at, waited] of points) {
    const dot = shape("circle", { class: "wait-dot", cx: place.x(at), cy: place.y(waited), r: 3.2 });
    dot.append(shape("title", {}, seconds(waited)));
    $("waits").append(dot);
  }
}

function draw() {
  if (last === null) return;
  drawState(last);
  document.body.dataset.ready = "";
  if (!last.queue) return; // a process that is still starting has nothing to draw yet
  const from = last.now - minutes * 60;
  drawFigures(last, from);
  drawLanes(last, from);
  drawDepth(last, from);
  drawWaits(last, from);
}

async function look() {
  try {
    const answer = await fetch("status.json", { cache: "no-store" });
    if (!answer.ok) throw new Error(String(answer.status));
    last = await answer.json();
    draw();
  } catch {
    $("state").textContent = t("no-answer");
    $("state").className = "bad";
  }
  setTimeout(look, 2000);
}

$("spans").addEventListener("click", (event) => {
  const chosen = event.target.closest("button");
  if (chosen === null) return;
  minutes = Number(chosen.dataset.minutes);
  for (const button of $("spans").children) button.setAttribute("aria-pressed", String(button === chosen));
  draw();
});
addEventListener("resize", draw);
look();
