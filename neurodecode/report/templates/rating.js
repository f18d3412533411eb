/* Shows trials, takes choices by key, click or touch, keeps them in the browser, and writes a CSV. */
(() => {
"use strict";
const $ = id => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const SETTLE_MS = 150; // a key held down from the last trial is no choice
let rater = "", order = [], answers = [], practised = 0, began = 0, spent = 0, paused = false, told = "";

/* Numbers that follow from a text alone, so that a rater who comes back gets the same order. */
const numbers = text => {
  let state = 2166136261;
  for (const letter of text) state = Math.imul(state ^ letter.charCodeAt(0), 16777619);
  return () => {
    state = (state + 0x6D2B79F5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
};
const shuffled = (list, draw) => {
  const out = [...list];
  for (let i = out.length - 1; i > 0; i -= 1) {
    const k = Math.floor(draw() * (i + 1));
    [out[i], out[k]] = [out[k], out[i]];
  }
  return out;
};

const store = {
  name: who => `neurodecode-rating:${data.study}:${who}`,
  read: who => {
    try { return JSON.parse(localStorage.getItem(store.name(who))) || null; } catch { return null; }
  },
  write: () => {
    try { localStorage.setItem(store.name(rater), JSON.stringify({ answers, practised })); }
    catch { $("state").textContent = "This browser keeps nothing: download before you close the page."; }
  },
};

const practice = () => practised < data.practice.length;
const trial = () => practice() ? data.practice[practised] : order[answers.length];
const show = () => {
  const now = trial(), done = !now;
  $("task").hidden = done;
  $("end").hidden = !done;
  if (done) { $("save").focus(); return; }
  const source = place => `data:image/webp;base64,${data.pictures[place]}`;
  $("shown").src = source(now.o);
  for (const [side, place] of [["left", now.l], ["right", now.r]]) {
    $(side).firstElementChild.src = source(place);
    $(side).classList.remove("picked");
  }
  const where = practice() ? `Practice ${practised + 1} of ${data.practice.length}`
    : `${answers.length + 1} of ${order.length}`;
  $("state").textContent = told ? `${told} ${where}` : where;
  $("progress").value = answers.length;
  $("undo").disabled = !answers.length || practice();
  spent = 0;
  began = performance.now();
};
const choose = side => {
  const took = spent + performance.now() - began;
  if (paused || $("task").hidden || took < SETTLE_MS) return;
  const now = trial();
  if (practice()) {
    told = side === now.a ? "That was the one." : `It was the ${now.a} one.`;
    practised += 1;
    if (!practice()) told = "Practice is over; from here on nobody tells.";
  } else {
    told = "";
    const before = changed.has(now.n);
    answers.push({ trial: now.n, choice: side, rt_ms: Math.round(took), changed: before ? 1 : 0 });
  }
  store.write();
  show();
};
const changed = new Set();
const undo = () => {
  if (paused || practice() || !answers.length) return;
  changed.add(answers.pop().trial);
  told = "";
  store.write();
  show();
};
const pause = () => {
  if ($("task").hidden) return;
  paused = !paused;
  if (paused) spent += performance.now() - began; else began = performance.now();
  $("stage").hidden = paused;
  $("paused").hidden = !paused;
  $("pause").textContent = paused ? "Go on (P)" : "Pause (P)";
};

const csv = () => {
  const head = "study,rater,position,trial,choice,rt_ms,changed";
  const line = (a, k) => [data.study, rater, k + 1, a.trial, a.choice, a.rt_ms, a.changed].join(",");
  return [head, ...answers.map(line)].join("\n") + "\n";
};
const save = () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = `answers_${data.study}_${rater}.csv`;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};

$("begin").addEventListener("submit", event => {
  event.preventDefault();
  rater = $("rater").value.trim();
  order = shuffled(data.trials, numbers(`${data.study} ${rater}`));
  const kept = store.read(rater);
  if (kept) {
    answers = kept.answers.slice(0, order.length).filter((a, k) => a.trial === order[k].n);
    practised = kept.practised;
    answers.filter(a => a.changed).forEach(a => changed.add(a.trial));
    told = answers.length ? "Welcome back." : "";
  }
  $("intro").hidden = true;
  document.activeElement.blur();
  show();
});
document.addEventListener("keydown", event => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || !$("intro").hidden) return;
  const keys = { ArrowLeft: () => choose("left"), f: () => choose("left"),
    ArrowRight: () => choose("right"), j: () => choose("right"), u: undo, p: pause };
  const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (act) { event.preventDefault(); act(); }
});
$("left").addEventListener("click", () => { choose("left"); document.activeElement.blur(); });
$("right").addEventListener("click", () => { choose("right"); document.activeElement.blur(); });
$("undo").addEventListener("click", undo);
$("back").addEventListener("click", undo);
$("pause").addEventListener("click", pause);
$("part").addEventListener("click", save);
$("save").addEventListener("click", save);
document.addEventListener("visibilitychange", () => { if (document.hidden && !paused) pause(); });
})();
