const D = read("data");
let media = null; // read when needed
const PAGE = 100; // errors added at once

const percent = (x, digits = 1) => (x === null ? "–" : (100 * x).toFixed(digits));

// events
let chosen = null; // event of curves and errors; null: all
let order = ["AP", -1];

function cell(event, [key, , kind]) {
  const value = event[key];
  if (kind === "rate") {
    const td = make("td", { class: value === null ? "undefined" : "", text: percent(value) });
    const interval = event[key + "_i"];
    if (interval) {
      const [low, high] = interval;
      td.title = `${percent(low)} to ${percent(high)}`;
      td.append(make("span", { class: "interval", "aria-hidden": "true" },
        make("i", { style: `left:${100 * low}%;width:${100 * (high - low)}%` }),
        make("b", { style: `left:${100 * value}%` })));
    }
    return td;
  }
  const text = { d: () => (typeof value === "string" ? "∞" : value.toFixed(2)), threshold: () => threshold(value), count: () => String(value) }[kind];
  return make("td", { text: value === null ? "–" : text() });
}
const number = (x) => (x === "inf" ? Infinity : x === "-inf" ? -Infinity : x);

function showEvents() {
  const wanted = folded($("#event-filter").value);
  const [key, sign] = order;
  const rows = D.events.map((event, index) => [event, index]).filter(([event]) => folded(event.name).includes(wanted));
  rows.sort(([a, i], [b, j]) => {
    const x = number(a[key]), y = number(b[key]);
    if (x === y) return i - j;
    if (x === null || y === null) return x === null ? 1 : -1; // undefined ones come last
    return (typeof x === "string" ? x.localeCompare(y) : x - y) * sign;
  });
  const head = make("tr");
  for (const [name, label, , about] of D.columns) {
    const sorted = name === key ? (sign > 0 ? "ascending" : "descending") : "none";
    const sort = () => {
      order = [name, name === order[0] ? -order[1] : name === "name" || name === "threshold" ? 1 : -1];
      showEvents();
      $(`#event-table button[data-key="${name}"]`).focus();
    };
    head.append(make("th", { scope: "col", "aria-sort": sorted, title: about },
      make("button", { type: "button", "data-key": name, text: label, onclick: sort })));
  }
  $("#event-table thead").replaceChildren(head);
  $("#event-table tbody").replaceChildren(...rows.map(([event, index]) => {
    const name = make("td", {}, make("button", { type: "button", class: "event", "data-event": index, text: event.name }));
    return make("tr", { class: index === chosen ? "on" : "" }, name, ...D.columns.slice(1).map((column) => cell(event, column)));
  }));
  $("#event-count").textContent = `${rows.length} of ${D.events.length} events`;
}

function choose(event) {
  chosen = event;
  for (const place of all(".selected-event")) {
    place.textContent = event === null ? "all events" : D.events[event].name;
  }
  for (const button of all(".all-events")) button.hidden = event === null;
  for (const row of all("#event-table tbody tr")) {
    row.className = Number($("button", row).dataset.event) === event ? "on" : "";
  }
  showCurves();
  listErrors();
}
document.addEventListener("click", ({ target }) => {
  const button = target.closest("button.event");
  if (button) {
    const event = Number(button.dataset.event);
    const inTable = button.closest("#event-table") !== null;
    choose(inTable && event === chosen ? null : event);
    if (!inTable) $("#errors").focus();
  } else if (target.closest(".all-events")) choose(null);
});
$("#event-filter").addEventListener("input", showEvents);

// charts
const [W, H, LEFT, BOTTOM, TOP, RIGHT] = [320, 220, 48, 34, 8, 10];

function chart(title, { lines = [], bars = [], x: xs = [0, 1], y: ys = [0, 1], xlabel, ylabel, diagonal = false }) {
  const px = (x) => LEFT + ((x - xs[0]) / (xs[1] - xs[0])) * (W - LEFT - RIGHT);
  const py = (y) => H - BOTTOM - ((y - ys[0]) / (ys[1] - ys[0])) * (H - BOTTOM - TOP);
  const svg = make("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `${title}: ${ylabel} over ${xlabel}` });
  for (const x of ticksOf(...xs)) {
    svg.append(make("line", { class: "grid", x1: px(x), x2: px(x), y1: TOP, y2: H - BOTTOM }),
      make("text", { x: px(x), y: H - BOTTOM + 13, "text-anchor": "middle", text: String(x) }));
  }
  for (const y of ticksOf(...ys)) {
    svg.append(make("line", { class: "grid", x1: LEFT, x2: W - RIGHT, y1: py(y), y2: py(y) }),
      make("text", { x: LEFT - 5, y: py(y) + 4, "text-anchor": "end", text: String(y) }));
  }
  if (diagonal) svg.append(make("line", { class: "axis", x1: px(0), y1: py(0), x2: px(1), y2: py(1) }));
  for (const [x0, x1, height, style] of bars) {
    const rect = { class: style, x: px(x0) + 0.5, width: Math.max(0.5, px(x1) - px(x0) - 1), y: py(height), height: py(ys[0]) - py(height) };
    svg.append(make("rect", { ...rect, "fill-opacity": 0.75 }, make("title", { text: `${x0.toFixed(2)} to ${x1.toFixed(2)}: ${height}` })));
  }
  for (const { points, style = "c0", dots = false } of lines) {
    const known = points.filter(([, y]) => y !== null);
    svg.append(make("path", { class: `line ${style}`, d: known.map(([x, y], i) => `${i ? "L" : "M"}${px(x).toFixed(1)} ${py(y).toFixed(1)}`).join("") }));
    if (dots) for (const [x, y] of known) svg.append(make("circle", { class: style.replace("c", "f"), cx: px(x), cy: py(y), r: 2.6 }, make("title", { text: `${x}, ${y}` })));
  }
  svg.append(make("path", { class: "axis", d: `M${LEFT} ${TOP}V${H - BOTTOM}H${W - RIGHT}` }),
    make("text", { x: (LEFT + W - RIGHT) / 2, y: H - 4, "text-anchor": "middle", text: xlabel }),
    make("text", { x: -(TOP + H - BOTTOM) / 2, y: 11, transform: "rotate(-90)", "text-anchor": "middle", text: ylabel }));
  const legend = [...lines, ...bars.filter((bar) => bar[4])].filter((part) => part.name || part[4]).map((part) => {
    const key = part.name
      ? make("path", { class: `line ${part.style || "c0"}`, d: "M0 4H22" })
      : make("rect", { class: part[3], width: 22, height: 8, "fill-opacity": 0.75 });
    return make("span", { class: "legend" }, make("svg", { viewBox: "0 0 22 8", "aria-hidden": "true" }, key), part.name || part[4]);
  });
  return make("figure", {}, make("figcaption", {}, make("strong", { text: title + " " }), ...legend), svg);
}

const pairs = (x, y) => x.map((value, i) => [value, y[i]]);

function showCurves() {
  const curves = chosen === null ? D.curves.all : D.curves.events[chosen];
  const place = $("#charts");
  if (!curves) {
    place.replaceChildren(make("p", { class: "hint", text: "No clip has this event, so that its curves are undefined." }));
    return;
  }
  const figures = [chart("Precision and recall", {
    lines: [{ points: pairs(curves.recall, curves.precision) }], xlabel: "recall", ylabel: chosen === null ? "mean precision" : "precision",
  })];
  if (curves.threshold) {
    const at = D.events[chosen] && D.events[chosen].threshold;
    const lines = [
      { points: pairs(curves.threshold, curves.f1), style: "c0", name: "F1" },
      { points: pairs(curves.threshold, curves.p), style: "c1 d1", name: "precision" },
      { points: pairs(curves.threshold, curves.r), style: "c2 d2", name: "recall" },
    ];
    if (typeof at === "number") lines.push({ points: [[at, 0], [at, 1]], style: "c3", name: "threshold" });
    figures.push(chart("Threshold", { lines, x: D.range, xlabel: "threshold", ylabel: "F1, precision, recall" }));
  }
  const centers = pairs(curves.mean_score, curves.fraction).filter(([x]) => x !== null);
  figures.push(chart("Reliability", {
    lines: [{ points: centers, dots: true }], x: D.range, diagonal: D.range[0] === 0 && D.range[1] === 1,
    xlabel: "mean score", ylabel: "clips with the event",
  }));
  const width = (D.range[1] - D.range[0]) / curves.without.length;
  const share = (counts) => { const total = Math.max(1, counts.reduce((a, b) => a + b, 0)); return counts.map((n) => n / total); };
  const bars = [];
  share(curves.without).forEach((n, i) => bars.push([D.range[0] + i * width, D.range[0] + (i + 0.5) * width, n, "f0", i ? "" : "without the event"]));
  share(curves.with).forEach((n, i) => bars.push([D.range[0] + (i + 0.5) * width, D.range[0] + (i + 1) * width, n, "f1", i ? "" : "with it"]));
  const top = Math.max(...bars.map((bar) => bar[2]), 0.01);
  figures.push(chart("Scores of clips", { bars, x: D.range, y: [0, 1.05 * top], xlabel: "score", ylabel: "share of the clips" }));
  place.replaceChildren(...figures);
}

function showHistory() {
  const place = $("#history");
  if (!place || !D.history) return;
  const { x, xlabel, best, loss, metric } = D.history;
  const xs = x.length > 1 ? [x[0], x[x.length - 1]] : [x[0] - 1, x[0] + 1];
  const figures = [];
  const values = loss.flatMap(({ y }) => y).filter((y) => y !== null);
  if (values.length) {
    const lines = loss.map(({ name, y }, i) => ({ name, points: pairs(x, y), style: i ? "c1 d1" : "c0", dots: x.length === 1 }));
    figures.push(chart("Loss", { lines, x: xs, y: [0, 1.05 * Math.max(...values)], xlabel, ylabel: "loss" }));
  }
  if (metric) {
    const lines = [{ points: pairs(x, metric.y), style: "c0", name: metric.name, dots: x.length === 1 }];
    if (best !== null) lines.push({ points: [[best, 0], [best, 1]], style: "c3 d1", name: "kept" });
    figures.push(chart("Validation", { lines, x: xs, xlabel, ylabel: metric.name }));
  }
  place.replaceChildren(...figures);
}

// errors
const list = $("#error-list");
let shown = [], current = -1;

function listErrors() {
  const kind = $("input[name=kind]:checked").value;
  const wanted = folded($("#clip-filter").value);
  const { clip, event, kind: kinds } = D.errors;
  shown = [];
  for (let i = 0; i < clip.length; i++) {
    if (chosen !== null && event[i] !== chosen) continue;
    if (kind !== "" && kinds[i] !== Number(kind)) continue;
    if (wanted && !folded(D.clips.name[clip[i]]).includes(wanted)) continue;
    shown.push(i);
  }
  $("#error-count").textContent = `${shown.length} of ${clip.length} errors`;
  list.replaceChildren();
  list.scrollTop = 0;
  current = -1;
  addItems();
  if (shown.length) select(0, false);
  else {
    stop();
    const none = clip.length ? "No error fits these filters." : "There are no errors.";
    $("#error").replaceChildren(make("p", { class: "hint", text: none }));
  }
}

function addItems() {
  const more = $(".more", list);
  if (more) more.remove();
  const first = list.children.length, last = Math.min(shown.length, first + PAGE);
  for (let place = first; place < last; place++) {
    const i = shown[place], missed = D.errors.kind[i] === 1, clip = D.errors.clip[i];
    const inside = D.clips.media[clip] === 1;
    list.append(make("div", { class: "item", role: "option", id: `error-${place}`, "aria-selected": "false", onclick: () => select(place) },
      make("span", { class: missed ? "kind missed" : "kind", text: missed ? "missed " : "found " }), D.events[D.errors.event[i]].name,
      make("small", { class: inside ? "" : "linked", text: `${D.clips.name[clip]} · score ${D.errors.score[i]}` })));
  }
  if (last < shown.length) {
    list.append(make("button", { class: "more", type: "button", text: `Show more (${shown.length - last} left)`, onclick: addItems }));
  }
}

function select(place, scroll = true) {
  while (place >= all(".item", list).length && $(".more", list)) addItems();
  const before = $(`#error-${current}`), item = $(`#error-${place}`);
  if (before) before.setAttribute("aria-selected", "false");
  if (!item) return;
  item.setAttribute("aria-selected", "true");
  list.setAttribute("aria-activedescendant", item.id);
  if (scroll) item.scrollIntoView({ block: "nearest" });
  current = place;
  showError(shown[place]);
}

function showError(i) {
  stop();
  const clip = D.errors.clip[i], event = D.errors.event[i], missed = D.errors.kind[i] === 1;
  const { name, threshold: at } = D.events[event];
  const parts = [
    make("h3", {}, make("span", { class: missed ? "kind missed" : "kind", text: missed ? "Missed: " : "Found, but not labeled: " }), name),
    make("p", { class: "where", text: `${D.clips.name[clip]} · score ${D.errors.score[i]}, threshold ${threshold(at)}` }),
  ];
  const reference = D.clips.media[clip];
  if (reference) {
    media = media || read("media");
    parts.push(...showClip(media[clip] || { href: reference }, D.events, event, "this error"));
  } else parts.push(make("p", { class: "note", text: D.silent }));
  const found = D.clips.found[clip], truth = new Set(D.clips.labels[clip]), predicted = new Set(found.map(([e]) => e));
  const labels = [...truth].map((e) => make("span", { class: predicted.has(e) ? "chip" : "chip missed", text: D.events[e].name + (predicted.has(e) ? "" : " (missed)") }));
  const events = found.map(([e, score]) => make("span", { class: truth.has(e) ? "chip" : "chip wrong", text: `${D.events[e].name} ${score}${truth.has(e) ? "" : " (not labeled)"}` }));
  const none = make("span", { class: "undefined", text: "none" });
  const chips = (title, of) => make("div", { class: "chips" }, make("strong", { text: title }), ...(of.length ? of : [none.cloneNode(true)]));
  parts.push(chips("Labels", labels), chips("Found", events));
  $("#error").replaceChildren(...parts);
}

list.addEventListener("keydown", (press) => {
  const moves = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1, PageDown: 10, PageUp: -10, Home: -shown.length, End: PAGE };
  if (press.key in moves) select(Math.max(0, Math.min(shown.length - 1, current + moves[press.key])));
  else if (press.key === " " || press.key === "Enter") {
    if (press.target.closest(".more")) return;
    toggle();
  } else if (press.key === "ArrowLeft" || press.key === "ArrowRight") {
    player.currentTime = Math.max(0, player.currentTime + (press.key === "ArrowLeft" ? -1 : 1));
  } else return;
  press.preventDefault();
});
for (const input of all("input[name=kind]")) input.addEventListener("change", listErrors);
$("#clip-filter").addEventListener("input", listErrors);

showEvents();
showCurves();
showHistory();
listErrors();
