"use strict";
const facts = JSON.parse(document.getElementById("facts").textContent);
const CELL = { width: 128, height: 138 };
const SECONDS_WIDTH = 64; // pixels of a second on the time line

// Texts reach the page by textContent and attributes alone: nothing in them is ever read as markup.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = value;
    else if (name === "style") Object.assign(element.style, value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}
const byId = (id) => document.getElementById(id);
const grouped = (number) => Number(number).toLocaleString("en");
const image = (index, alt) =>
  index === null || index === undefined ? make("span", { class: "none", text: "no frame" }) : make("img", { src: facts.images[index], alt });
const seconds = (value) => `${Math.floor(value / 60)}:${String(Math.floor(value % 60)).padStart(2, "0")}`;

function show(id) {
  byId(id).hidden = false;
}

function summary() {
  for (const [name, value] of facts.summary) byId("summary-list").append(make("div", {}, make("dt", { text: name }), make("dd", { text: value })));
}

function vocabulary() {
  const { ids, counts, words, images } = facts.tokens;
  if (!ids.length) return;
  show("vocabulary");
  const grid = byId("tokens"), inner = byId("tokens-inner"), search = byId("token-search"), order = byId("token-order");
  let found = [], current = 0;

  function choose() {
    const text = search.value.trim().toLowerCase();
    found = ids.map((_, at) => at).filter((at) => !text || String(ids[at]) === text || words[at].toLowerCase().split(" ").some((word) => word.startsWith(text)));
    if (order.value === "number") found.sort((a, b) => ids[a] - ids[b]);
    else found.sort((a, b) => counts[b] - counts[a] || ids[a] - ids[b]);
    current = 0;
    grid.scrollTop = 0;
    clear();
    byId("token-found").value = `${grouped(found.length)} of ${grouped(ids.length)} tokens`;
    draw();
  }
  const columns = () => Math.max(1, Math.floor(grid.clientWidth / CELL.width));
  // Cells in view stay the same elements while one scrolls or moves: a screen reader keeps its place.
  const drawn = new Map();
  let drawnAcross = 0;
  function draw() {
    const across = columns();
    if (across !== drawnAcross) clear();
    drawnAcross = across;
    inner.style.height = `${Math.ceil(found.length / across) * CELL.height}px`;
    const first = Math.max(0, Math.floor(grid.scrollTop / CELL.height) - 1) * across;
    const last = Math.min(found.length, (Math.ceil((grid.scrollTop + grid.clientHeight) / CELL.height) + 1) * across);
    for (const [place, element] of drawn) {
      if (place >= first && place < last) continue;
      element.remove();
      drawn.delete(place);
    }
    const inView = [...drawn.keys()];
    const start = inView.length ? Math.min(...inView) : last, end = inView.length ? Math.max(...inView) + 1 : last;
    inner.prepend(...cells(first, start, across));
    inner.append(...cells(end, last, across));
    for (const [place, element] of drawn) element.setAttribute("aria-selected", String(place === current));
    if (found.length) grid.setAttribute("aria-activedescendant", `token-${current}`);
    else grid.removeAttribute("aria-activedescendant");
  }
  function clear() {
    drawn.clear();
    inner.replaceChildren();
  }
  function cells(first, last, across) {
    const made = [];
    for (let place = first; place < last; place++) {
      drawn.set(place, cell(place, across));
      made.push(drawn.get(place));
    }
    return made;
  }
  function cell(place, across) {
    const at = found[place];
    const style = { left: `${(place % across) * CELL.width}px`, top: `${Math.floor(place / across) * CELL.height}px`, width: `${CELL.width - 4}px`, height: `${CELL.height - 4}px` };
    const said = words[at] ? `said with it: ${words[at]}` : "no word belongs to it";
    const attributes = { class: "token", role: "option", id: `token-${place}`, "aria-setsize": found.length, "aria-posinset": place + 1, "aria-label": `token ${ids[at]}, ${grouped(counts[at])} clips, ${said}`, title: said, style };
    const element = make("div", attributes, image(images[at], ""), make("b", { text: `${ids[at]} ` }), make("span", { text: `${grouped(counts[at])}×` }), make("span", { class: "said", text: words[at] }));
    element.addEventListener("click", () => move(place));
    return element;
  }
  function move(place) {
    current = Math.max(0, Math.min(found.length - 1, place));
    const top = Math.floor(current / columns()) * CELL.height;
    if (top < grid.scrollTop) grid.scrollTop = top;
    if (top + CELL.height > grid.scrollTop + grid.clientHeight) grid.scrollTop = top + CELL.height - grid.clientHeight;
    draw();
  }
  grid.addEventListener("keydown", (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(), ArrowUp: -columns(), PageDown: 3 * columns(), PageUp: -3 * columns(), Home: -found.length, End: found.length };
    if (!(event.key in steps)) return;
    event.preventDefault();
    move(current + steps[event.key]);
  });
  grid.addEventListener("scroll", () => requestAnimationFrame(draw));
  new ResizeObserver(draw).observe(grid);
  search.addEventListener("input", choose);
  order.addEventListener("change", choose);
  choose();
}

const placeOf = new Map(facts.tokens.ids.map((id, at) => [id, at]));
function tokenItem([id, probability]) {
  const at = placeOf.get(id);
  const words = at === undefined ? "" : facts.tokens.words[at];
  const share = probability === undefined ? "" : ` ${(100 * probability).toFixed(0)} %`;
  return make("li", {}, image(at === undefined ? null : facts.tokens.images[at], words ? `seen with: ${words}` : `token ${id}`), make("span", { text: `${id}${share}` }));
}

function searchable(input, output, items, what, render) {
  function draw() {
    const text = input.value.trim().toLowerCase();
    const found = items.filter((item) => !text || what(item).toLowerCase().includes(text));
    output.value = `${grouped(found.length)} of ${grouped(items.length)}`;
    render(found);
  }
  input.addEventListener("input", draw);
  draw();
}

function queries() {
  if (!facts.queries.length) return;
  show("queries");
  searchable(byId("query-search"), byId("query-found"), facts.queries, (query) => query.text, (found) =>
    byId("query-list").replaceChildren(...found.slice(0, 25).map((query) => make("li", {}, make("h3", { text: query.text }), strip(query.tokens.map(tokenItem), `Visual tokens for ${query.text}`)))));
}
const strip = (items, label) => make("ul", { class: "strip", tabindex: "0", "aria-label": label }, ...items);

function forecasts() {
  if (!facts.forecasts.length) return;
  show("forecasts");
  const line = (name, tokens) => make("div", {}, make("h3", { text: name }), strip(tokens.map(tokenItem), name));
  byId("forecast-list").append(...facts.forecasts.map((forecast) => make("li", {}, line("seen", forecast.seen.map((id) => [id])), line("followed", forecast.followed.map((id) => [id])), line("expected", forecast.expected))));
}

function documents() {
  if (!facts.documents.length) return;
  show("documents");
  searchable(byId("document-search"), byId("document-found"), facts.documents, (one) => `${one.uri} ${one.sentences.map((s) => s[2]).join(" ")}`, (found) => byId("document-list").replaceChildren(...found.map(timeLine)));
}
function timeLine(one) {
  const width = Math.max(one.seconds, 1) * SECONDS_WIDTH + 100;
  const track = make("div", { class: "track", style: { width: `${width}px` } });
  for (const [start, token, index] of one.clips) {
    const picture = image(index, `${seconds(start)}, token ${token}`);
    picture.title = `${seconds(start)}, token ${token}`;
    picture.style.left = `${start * SECONDS_WIDTH}px`;
    track.append(picture);
  }
  const rows = []; // the end of the last sentence of each row, so that none hides another
  const said = make("div", { class: "said-track", style: { width: `${width}px` } });
  for (const [start, end, text] of one.sentences) {
    const left = start * SECONDS_WIDTH, wide = Math.max((end - start) * SECONDS_WIDTH, 120);
    let row = rows.findIndex((taken) => taken <= left);
    if (row < 0) row = rows.push(0) - 1;
    rows[row] = left + wide + 4;
    said.append(make("div", { class: "sentence", text, title: `${seconds(start)} to ${seconds(end)}: ${text}`, style: { left: `${left}px`, width: `${wide}px`, top: `${row * 2.75}em` } }));
  }
  said.style.height = `${Math.max(rows.length, 1) * 2.75}em`;
  return make("article", { class: "document" }, make("h3", { text: one.uri }), make("p", { text: `${seconds(one.seconds)}, ${grouped(one.num_clips)} clips, ${grouped(one.sentences.length)} sentences` }), make("div", { class: "time", tabindex: "0", role: "region", "aria-label": `Time line of ${one.uri}` }, track, said));
}

const SVG = "http://www.w3.org/2000/svg";
function draw(tag, attributes, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}
const short = (value) => (value === 0 ? "0" : Math.abs(value) >= 1e4 || Math.abs(value) < 1e-3 ? value.toExponential(1) : String(Number(value.toPrecision(3))));

function curves() {
  if (!facts.curves.length) return;
  show("curves");
  const known = (points) => points.filter(([, value]) => value !== null); // null: it was no number
  const charts = facts.curves.map(({ name, train, validation }) => ({ name, train: known(train), validation: known(validation) }));
  byId("curve-list").append(...charts.filter(({ train, validation }) => train.length + validation.length).map(chart));
}
function chart({ name, train, validation }) {
  const box = { width: 480, height: 240, left: 56, right: 12, top: 10, bottom: 28 };
  const points = [...train, ...validation];
  const most = Math.max(...points.map((point) => point[0]));
  let low = Math.min(...points.map((point) => point[1])), high = Math.max(...points.map((point) => point[1]));
  if (low === high) [low, high] = [low - 1, high + 1];
  const x = (step) => box.left + (step / most) * (box.width - box.left - box.right);
  const y = (value) => box.top + ((high - value) / (high - low)) * (box.height - box.top - box.bottom);
  const svg = draw("svg", { viewBox: `0 0 ${box.width} ${box.height}`, role: "img", "aria-label": `${name} over the steps of training; the values are in the table below` });
  for (const value of [low, (low + high) / 2, high]) {
    svg.append(draw("line", { class: "axis", x1: box.left, x2: box.width - box.right, y1: y(value), y2: y(value) }));
    svg.append(draw("text", { x: box.left - 6, y: y(value) + 4, "text-anchor": "end" }, short(value)));
  }
  for (const step of [0, most]) svg.append(draw("text", { x: x(step), y: box.height - 8, "text-anchor": step ? "end" : "start" }, `${step ? "step " : ""}${grouped(step)}`));
  for (const [kind, line] of [["train", train], ["validation", validation]]) {
    if (line.length > 1) svg.append(draw("polyline", { class: kind, points: line.map((point) => `${x(point[0])},${y(point[1])}`).join(" ") }));
    for (const [step, value] of line.length > 200 ? [] : line) {
      const dot = draw("circle", { class: kind, cx: x(step), cy: y(value), r: 3 });
      dot.append(draw("title", {}, `${kind}, step ${step}: ${short(value)}`));
      svg.append(dot);
    }
  }
  const key = make("p", { class: "key" });
  if (train.length) key.append(make("span", { class: "t", text: "—— training " }));
  if (validation.length) key.append(make("span", { class: "v", text: "– – validation" }));
  const rows = points.map(([step, value], at) => make("tr", {}, make("td", { class: "number", text: grouped(step) }), make("td", { text: at < train.length ? "training" : "validation" }), make("td", { class: "number", text: short(value) })));
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...["step", "of", name].map((text) => make("th", { scope: "col", text })))), make("tbody", {}, ...rows));
  const values = make("details", {}, make("summary", { text: "values" }), make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Values of ${name}` }, table));
  return make("figure", {}, make("figcaption", { text: name }), svg, key, values);
}

function health() {
  const { signals, without, examples, copies, tables } = facts.health;
  if (!signals.length && !tables.length) return;
  show("health");
  byId("health-charts").append(...signals.map(bars));
  if (without) byId("health-charts").append(make("p", { text: `${grouped(without)} clips were featurized by an earlier release: nothing is known of them.` }));
  byId("health-tables").append(...tables.map(({ name, rows }) => {
    const body = rows.map(([what, count]) => make("tr", {}, make("th", { scope: "row", text: what }), make("td", { class: "number", text: grouped(count) })));
    return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name }, make("table", {}, make("caption", { text: name }), make("tbody", {}, ...body)));
  }));
  const clip = ({ image: index, uri, seconds: at, value }) => make("li", { title: uri }, image(index, `${uri} at ${seconds(at)}`), make("span", { text: `${value === null ? "" : `${short(value)}, `}${uri.split("/").pop()} ${seconds(at)}` }));
  const pairs = copies.length ? [{ name: "copies, each with the video that is kept", clips: copies.flat() }] : [];
  byId("health-examples").append(...[...examples, ...pairs].map(({ name, clips }) => make("li", {}, make("h3", { text: name }), strip(clips.map(clip), name))));
}
function bars({ name, edges, counts, threshold }) {
  const box = { width: 480, height: 200, left: 56, right: 12, top: 10, bottom: 28 };
  const most = Math.max(...counts), step = (box.width - box.left - box.right) / counts.length;
  const height = (count) => (count / most) * (box.height - box.top - box.bottom);
  const svg = draw("svg", { viewBox: `0 0 ${box.width} ${box.height}`, role: "img", "aria-label": `Clips by ${name}; the values are in the table below` });
  counts.forEach((count, at) => svg.append(draw("rect", { class: "bar", x: box.left + at * step, y: box.height - box.bottom - height(count), width: step - 1, height: height(count) })));
  for (const value of [0, most]) svg.append(draw("text", { x: box.left - 6, y: box.height - box.bottom - height(value) + 4, "text-anchor": "end" }, grouped(value)));
  const every = Math.ceil(edges.length / 6);
  edges.forEach((edge, at) => at % every === 0 && svg.append(draw("text", { x: box.left + at * step, y: box.height - 8 }, grouped(edge))));
  if (threshold !== null) {
    const above = edges.findIndex((edge) => edge > threshold), last = above < 0 ? edges.length - 1 : above - 1;
    const part = above < 0 ? 0 : (threshold - edges[last]) / (edges[above] - edges[last]);
    const x = box.left + (last + part) * step;
    svg.append(draw("line", { class: "validation", x1: x, x2: x, y1: box.top, y2: box.height - box.bottom }));
  }
  const rows = edges.map((edge, at) => make("tr", {}, make("td", { class: "number", text: grouped(edge) }), make("td", { class: "number", text: grouped(counts[at]) })));
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...["from", "clips"].map((text) => make("th", { scope: "col", text })))), make("tbody", {}, ...rows));
  const values = make("details", {}, make("summary", { text: "values" }), make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Clips by ${name}` }, table));
  const caption = threshold === null ? name : `${name} (left out ${name === "cut" ? "from" : "below"} ${threshold})`;
  return make("figure", {}, make("figcaption", { text: caption }), svg, values);
}

function evaluations() {
  if (!facts.evaluations.length) return;
  show("evaluations");
  byId("evaluation-list").append(...facts.evaluations.map(({ name, scores }) => {
    const methods = Object.keys(scores), metrics = [...new Set(methods.flatMap((method) => Object.keys(scores[method])))];
    const better = (metric) => (/rank|loss/.test(metric) ? Math.min : Math.max);
    const best = Object.fromEntries(metrics.map((metric) => [metric, better(metric)(...methods.map((method) => scores[method][metric]).filter((value) => value !== undefined && value !== null))]));
    const head = make("tr", {}, make("th", { scope: "col", text: "method" }), ...metrics.map((text) => make("th", { scope: "col", text })));
    const rows = methods.map((method) => make("tr", {}, make("th", { scope: "row", text: method }), ...metrics.map((metric) => {
      const value = scores[method][metric];
      return make("td", { class: value === best[metric] ? "number best" : "number", text: typeof value === "number" ? value.toFixed(3) : "" });
    })));
    return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name }, make("table", {}, make("caption", { text: name }), make("thead", {}, head), make("tbody", {}, ...rows)));
  }));
}

function ledger() {
  if (!facts.ledger.length) return;
  show("ledger");
  const stage = byId("ledger-stage");
  for (const name of [...new Set(facts.ledger.map((row) => row.stage))].sort()) stage.append(make("option", { text: name, value: name }));
  const search = byId("ledger-search");
  function rows() {
    const text = search.value.trim().toLowerCase();
    const found = facts.ledger.filter((row) => (!stage.value || row.stage === stage.value) && (!text || `${row.uri} ${row.reason}`.toLowerCase().includes(text)));
    byId("ledger-found").value = `${grouped(found.length)} of ${grouped(facts.ledger.length)}${found.length > 500 ? ", the first 500 shown" : ""}`;
    byId("ledger-rows").replaceChildren(...found.slice(0, 500).map((row) => make("tr", {}, ...[row.uri, row.status, row.stage, row.reason].map((text) => make("td", { text })))));
  }
  stage.addEventListener("change", rows);
  search.addEventListener("input", rows);
  rows();
}

for (const section of [summary, vocabulary, queries, forecasts, documents, health, curves, evaluations, ledger]) section();
for (const section of document.querySelectorAll("main > section:not([hidden])"))
  byId("sections").append(make("li", {}, make("a", { href: `#${section.id}`, text: section.querySelector("h2").textContent })));
