"use strict";
// Directions come in an order of this person's own. Answers stay in the browser, so that the study goes on where it stopped.
const study = JSON.parse(document.getElementById("study").textContent);
const key = "sefa-study " + study.identity + " " + study.items.length;
const element = (id) => document.getElementById(id);
const kept = () => { try { return JSON.parse(localStorage.getItem(key)); } catch { return null; } };
const fresh = { seed: crypto.getRandomValues(new Uint32Array(1))[0], participant: "", answers: {} };
const state = kept() ?? fresh;
const keep = () => { try { localStorage.setItem(key, JSON.stringify(state)); } catch { /* a browser that keeps nothing */ } };

// Mulberry32: the same order whenever the page is opened again.
const random = (seed) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};
const order = study.items.map((_, at) => at);
const next = random(state.seed);
for (let at = order.length - 1; at > 0; at--) {
  const other = Math.floor(next() * (at + 1));
  [order[at], order[other]] = [order[other], order[at]];
}

// A step is a question about one direction: is there a change, is it one thing, what is its name.
let place = order.findIndex((item) => state.answers[item] === undefined);
let step = 0;
let answer = {};
const questions = ["Does something change, that one sees at once?", "Is it one thing, that has a name?", "Which name?"];

function show() {
  const done = Object.keys(state.answers).length;
  element("progress").max = order.length;
  element("progress").value = done;
  element("count").textContent = done + " of " + order.length;
  const over = place < 0 || place >= order.length;
  for (const id of ["strip", "yesno"]) element(id).hidden = over || (id === "yesno" && step === 2);
  element("naming").hidden = over || step !== 2;
  element("question").textContent = over ? "That was all. Save your answers and send the file back. Thank you." : questions[step];
  if (over) { element("save").focus(); return; }
  const item = study.items[order[place]];
  element("strip").src = "data:image/png;base64," + item.picture;
  element("strip").alt = "Pictures along one direction: each row a sample, from one end to the other";
  if (step === 2) { element("name").value = answer.name ?? ""; element("name").focus(); } else { element("yes").focus(); }
}

function finish() {
  state.answers[order[place]] = { obvious: !!answer.obvious, meaningful: !!answer.meaningful, name: answer.name ?? "" };
  keep();
  answer = {};
  step = 0;
  place = order.findIndex((item) => state.answers[item] === undefined);
  show();
}

function say(yes) {
  if (place < 0 || step === 2) return;
  if (step === 0) { answer.obvious = yes; if (!yes) return finish(); step = 1; return show(); }
  answer.meaningful = yes;
  step = 2;
  show();
}

function back() {
  if (step > 0) { step -= 1; return show(); }
  const before = order.slice(0, place < 0 ? order.length : place).reverse().find((item) => state.answers[item] !== undefined);
  if (before === undefined) return;
  answer = state.answers[before];
  delete state.answers[before];
  keep();
  place = order.indexOf(before);
  show();
}

function save() {
  const answers = Object.entries(state.answers).map(([at, said]) => {
    const { layers, weighting, index } = study.items[at];
    return { layers, weighting, index, ...said };
  });
  const sheet = { version: 1, model: study.model, identity: study.identity, family: study.family, participant: state.participant, answers };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(sheet, null, 1) + "\n"], { type: "application/json" }));
  link.download = "answers.json";
  link.click();
  URL.revokeObjectURL(link.href);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target instanceof HTMLInputElement;
  if (typing && event.target.id === "name" && event.key === "Enter") { answer.name = element("name").value.trim().slice(0, 80); finish(); }
  else if (typing) return;
  else if (event.key === "1") say(true);
  else if (event.key === "2") say(false);
  else if (event.key === "Backspace") back();
  else return;
  event.preventDefault();
});
element("yes").onclick = () => say(true);
element("no").onclick = () => say(false);
element("back").onclick = back;
element("next").onclick = () => { answer.name = element("name").value.trim().slice(0, 80); finish(); };
element("save").onclick = save;
element("participant").value = state.participant;
element("participant").onchange = (event) => { state.participant = event.target.value.trim().slice(0, 80); keep(); };
show();
