const D = read("data"), media = read("media");
const list = $("#clip-list");
const names = D.events.map(({ name }) => name); // grows when an event is added
const reviews = D.clips.map(({ labels }) => ({ events: new Set(labels), confirmed: false }));
let current = -1, unsaved = false;

function describe(i) {
  const { name, reason } = D.clips[i], { confirmed } = reviews[i];
  return [make("span", { class: confirmed ? "kind done" : "kind", text: confirmed ? "✓ " : `${i + 1}. ` }), name, make("small", { text: reason })];
}

function showState() {
  const n = reviews.filter(({ confirmed }) => confirmed).length;
  $("#state").textContent = `${n} of ${reviews.length} clips are confirmed${unsaved ? ", not saved yet" : ""}`;
  $("#save").disabled = n === 0;
}

function select(i) {
  const before = $(`#clip-${current}`), item = $(`#clip-${i}`);
  if (before) before.setAttribute("aria-selected", "false");
  item.setAttribute("aria-selected", "true");
  list.setAttribute("aria-activedescendant", item.id);
  item.scrollIntoView({ block: "nearest" });
  current = i;
  showReview();
}

function showReview() {
  stop();
  const { name, reason, scores, suspects, link, offered } = D.clips[current];
  const review = reviews[current];
  const parts = [make("h3", { text: name }), make("p", { class: "where", text: reason })];
  const events = names.map((each, e) => ({ name: each, threshold: D.events[e] ? D.events[e].threshold : null }));
  const content = media[current] || (link ? { href: link } : null);
  if (content) parts.push(...showClip(content, events, suspects[0], "in doubt"));
  else parts.push(make("p", { class: "note", text: "This clip cannot be heard here." }));
  const shown = [...new Set([...offered, ...review.events])];
  const score = new Map(scores);
  const boxes = shown.map((e, place) => {
    const box = make("input", { type: "checkbox", "data-event": e, onchange: () => change(e) });
    box.checked = review.events.has(e);
    const hint = suspects.includes(e) ? " in doubt" : "";
    return make("label", { class: hint ? "choice doubt" : "choice" }, box, ` ${names[e]} `,
      make("small", { text: `${score.has(e) ? score.get(e).toFixed(2) : ""}${hint}${place < 9 ? ` [${place + 1}]` : ""}` }));
  });
  const add = make("input", { list: "events", placeholder: "another event", "aria-label": "Add another event", onchange: () => addEvent(add.value.trim()) });
  const confirm = make("button", { type: "button", id: "confirm", text: review.confirmed ? "Confirmed. Next" : "Confirm these events", onclick: confirmClip });
  parts.push(make("fieldset", { class: "choices" }, make("legend", { text: "Events of the clip" }), ...boxes, add), make("div", { class: "controls" }, confirm));
  $("#clip").replaceChildren(...parts);
}

function change(e) {
  const { events } = reviews[current];
  if (!events.delete(e)) events.add(e);
  reviews[current].confirmed = false;
  refresh();
}
function addEvent(name) {
  if (!name) return;
  if (!names.includes(name)) names.push(name);
  reviews[current].events.add(names.indexOf(name));
  reviews[current].confirmed = false;
  showReview();
  refresh();
}
function confirmClip() {
  reviews[current].confirmed = true;
  unsaved = true;
  refresh();
  const next = reviews.findIndex(({ confirmed }, i) => i > current && !confirmed);
  if (next >= 0) select(next);
  else showReview();
  list.focus();
}
function refresh() {
  $(`#clip-${current}`).replaceChildren(...describe(current));
  for (const box of all("#clip input[type=checkbox]")) box.checked = reviews[current].events.has(Number(box.dataset.event));
  showState();
}

function save() {
  const clips = D.clips.map(({ dataset, id, path, start, stop: end }, i) => [reviews[i], { dataset, id, path, start, stop: end }])
    .filter(([{ confirmed }]) => confirmed)
    .map(([{ events }, clip]) => ({ ...clip, events: [...events].map((e) => names[e]).sort() }));
  const text = JSON.stringify({ kind: "sktagger corrections", format: 1, clips }, null, 1) + "\n";
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type: "application/json" })), download: "corrections.json" });
  link.click();
  URL.revokeObjectURL(link.href);
  unsaved = false;
  showState();
}

list.addEventListener("keydown", (press) => {
  const moves = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1, Home: -D.clips.length, End: D.clips.length };
  if (press.key in moves) select(Math.max(0, Math.min(D.clips.length - 1, current + moves[press.key])));
  else if (press.key === " ") toggle();
  else if (press.key === "Enter") confirmClip();
  else if (press.key === "ArrowLeft" || press.key === "ArrowRight") player.currentTime = Math.max(0, player.currentTime + (press.key === "ArrowLeft" ? -1 : 1));
  else if (/^[1-9]$/.test(press.key)) {
    const box = all("#clip input[type=checkbox]")[Number(press.key) - 1];
    if (box) change(Number(box.dataset.event));
  } else return;
  press.preventDefault();
});
$("#save").addEventListener("click", save);
window.addEventListener("beforeunload", (leave) => { if (unsaved) leave.preventDefault(); });
$("#events").append(...names.map((name) => make("option", { value: name })));
list.append(...D.clips.map((clip, i) => make("div", { class: "item", role: "option", id: `clip-${i}`, "aria-selected": "false", onclick: () => select(i) }, ...describe(i))));
showState();
if (D.clips.length) select(0);
