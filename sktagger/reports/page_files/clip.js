// What pages with clips share: elements, players, and pictures with a cursor.
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const $ = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => root.querySelectorAll(selector);
const SVG = "http://www.w3.org/2000/svg";

function make(tag, attributes = {}, ...children) {
  const drawn = ["svg", "path", "line", "text", "rect", "g", "circle", "title"].includes(tag);
  const element = drawn ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}
const threshold = (x) => (x === null ? "–" : typeof x === "string" ? (x === "inf" ? "never" : "always") : x.toFixed(3));
const folded = (text) => text.normalize("NFKD").toLowerCase();

function ticksOf(low, high) {
  const step = 10 ** Math.floor(Math.log10((high - low) / 2));
  const size = [1, 2, 5].map((x) => x * step).find((x) => (high - low) / x <= 5) || 10 * step;
  const ticks = [];
  for (let i = Math.ceil(low / size - 1e-9); i * size <= high + 1e-9 * size; i++) ticks.push(i * size);
  return ticks.map((x) => Number(x.toPrecision(6)));
}

const clock = (seconds) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;

const player = $("#player");
let playing = null; // the clip that is shown

// events have names and thresholds; the one at `first` comes first, with a remark
function showClip(of, events, first, remark) {
  const { audio, image, href, start = 0, duration = 0, hz = [], lanes = [], grid } = of;
  const time = make("time", { text: "" });
  const play = make("button", { type: "button", id: "play", text: "▶ Play", onclick: toggle });
  const controls = make("div", { class: "controls" }, play, time);
  if (href) controls.append(make("a", { href, text: "open the file" }));
  const parts = [controls];
  player.src = audio ? `data:audio/mpeg;base64,${audio}` : href;
  playing = { start, duration, play, time, cursor: null };
  if (image) {
    const cursor = make("div", { class: "cursor", style: "left:46px" });
    const alt = `Log-mel spectrogram, ${clock(start)} to ${clock(start + duration)}`;
    const timeline = make("div", { class: "timeline", onclick: seek }, make("div", { style: "position:relative" },
      make("img", { src: `data:image/webp;base64,${image}`, alt }),
      ...hz.map(([place, text]) => make("span", { class: "hz", style: `top:${100 - 100 * place}%;left:-46px`, text }))));
    for (const [e, scores] of [...lanes].sort((a, b) => (b[0] === first) - (a[0] === first))) {
      timeline.append(make("div", { class: "lane-name", text: `${events[e].name}${e === first ? ` (${remark})` : ""}` }), lane(scores, grid, duration, events[e].threshold, e === first));
    }
    const seconds = make("div", { class: "seconds" });
    for (const t of ticksOf(start, start + duration)) {
      const place = (t - start) / duration;
      seconds.append(make("span", { style: place > 0.97 ? "right:0;transform:none" : `left:${100 * place}%`, text: `${t} s` }));
    }
    timeline.append(seconds, cursor);
    playing.cursor = cursor;
    playing.timeline = timeline;
    parts.push(timeline);
  }
  moveCursor();
  return parts;
}

function lane(scores, [onset, step, length], duration, at, isThis) {
  const svg = make("svg", { class: "lane", viewBox: "0 0 1000 100", preserveAspectRatio: "none", "aria-hidden": "true" });
  const style = isThis ? "f1" : "f0", unit = 1000 / duration;
  scores.forEach((score, i) => {
    if (score === null) return;
    const x = (onset + i * step + Math.max(0, length - step) / 2) * unit;
    svg.append(make("rect", { class: style, "fill-opacity": 0.8, x: x.toFixed(1), width: (Math.min(step, length) * unit + 0.5).toFixed(1), y: 100 - score, height: score }));
  });
  if (typeof at === "number") svg.append(make("line", { class: "axis", "stroke-dasharray": "8 5", "stroke-width": 2, x1: 0, x2: 1000, y1: 100 - 100 * at, y2: 100 - 100 * at }));
  svg.append(make("path", { class: "axis", d: "M0 100H1000" }));
  return svg;
}

function stop() {
  player.pause();
  player.removeAttribute("src");
  playing = null;
}
function toggle() {
  if (!playing) return;
  if (player.paused) player.play().catch(() => { if (playing) playing.time.textContent = "This browser cannot play the clip."; });
  else player.pause();
}
function seek(click) {
  const box = $("img", click.currentTarget).getBoundingClientRect();
  const share = (click.clientX - box.left) / box.width;
  if (share >= 0 && share <= 1 && player.duration) { player.currentTime = share * player.duration; moveCursor(); }
}
function moveCursor() {
  if (!playing) return;
  const length = playing.duration || player.duration || 0, now = Math.min(player.currentTime || 0, length);
  if (length) playing.time.textContent = `${clock(playing.start + now)} of ${clock(playing.start + length)}`;
  if (playing.cursor) playing.cursor.style.left = `calc(46px + (100% - 46px) * ${length ? now / length : 0})`;
  if (!player.paused) requestAnimationFrame(moveCursor);
}
const showPlaying = () => { if (playing) playing.play.textContent = player.paused ? "▶ Play" : "❚❚ Pause"; moveCursor(); };
for (const name of ["play", "pause", "ended", "loadedmetadata", "seeked"]) player.addEventListener(name, showPlaying);

