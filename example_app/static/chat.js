// The chat page: what is asked, and what becomes of it. The other modules show it.

import { ask, asSentence, problemFrom, problemOf, UNREACHABLE } from "./api.js";
import * as choices from "./choices.js";
import { announce, byId } from "./dom.js";
import * as images from "./images.js";
import {
  Assembler,
  emptyAnswer,
  filesOf,
  isAnswered,
  newId,
  question,
  setDecided,
  waitingIn,
} from "./message.js";
import { chunks, streamOf } from "./reading.js";
import { beforeDeleting, refresh } from "./sidebar.js";
import { TurnView } from "./turn.js";

const input = byId("question");
const send = byId("send");
const stop = byId("stop");
const scroll = byId("scroll");

let chatId = byId("main").dataset.chat;
// One for each question: {question, answer, view}.
let turns = [];
// The answer that is being read, {turn, controller, stream, messageId}; null while there is none.
// stream: its id, once it is known; messageId: that of the answer, where it is known before.
let running = null;
// The id of the first message here, if the server has older ones; and, while they are on their
// way, the promise of them.
let older = null;
let loading = null;
// Whether the end of the conversation is to stay in sight.
let following = true;
// The ids of all questions of this chat that were ever seen here.
const known = new Set();

// ---- Asking, and reading the answer while it is being written

// goesOn: whether the answer that is there goes on, now that its user has decided on its calls.
async function answer(turn, { goesOn = false } = {}) {
  stopWaiting();
  if (goesOn) {
    turn.view.showGoingOn(turn.answer);
  } else {
    turn.answer = emptyAnswer();
    turn.view.showWaiting(choices.label());
  }
  turn.answer.metadata = choices.chosen();
  await receive({ turn, controller: new AbortController() }, async (signal) => {
    await loadAll(); // the model is sent the whole conversation
    signal.throwIfAborted();
    const response = await ask(choices.url(), {
      method: "POST",
      body: requestBody(turn, goesOn),
      headers: { Accept: "text/event-stream" },
      signal,
    });
    nowSaved();
    return response;
  });
}

// Show an answer as it is written. request: asks for the response.
async function receive(reading, request) {
  const { turn, controller: { signal } } = reading;
  const began = performance.now();
  const since = () => (performance.now() - began) / 1000;
  setRunning(reading);
  announce("Waiting for the answer.");
  following = true;
  let problem = null;
  let isTaken = false;
  try {
    const response = await request(signal);
    isTaken = response.ok;
    reading.stream = streamOf(response);
    if (isTaken) problem = await read(response, reading, since);
    else if (isStopped(response)) turn.answer.metadata.outcome = "stopped";
    else problem = await problemOf(response);
  } catch (error) {
    if (signal.aborted) {
      turn.answer.metadata.outcome = "stopped";
      problem = signal.reason === NOT_STOPPED ? NOT_STOPPED : null;
    } else {
      console.warn(error);
      const isPartial = isTaken && turn.answer.parts.length;
      const lost = isPartial ? brokenOff("The connection was lost.") : UNREACHABLE;
      problem = error.problem ?? lost;
    }
    nowSaved();
  }
  // Otherwise the user decides again. Should the server know of it all the same, it says so.
  if (!isTaken) setDecided(turn.answer, false);
  turn.answer.metadata.total = since();
  const shown = problem?.elsewhere ? await catchUp(turn) : turn;
  const isRestored = problem?.isSaved && shown !== turn;
  if (!isRestored) shown.view.showEnd(shown.answer, { problem, isLast: shown === turns.at(-1) });
  announceEnd(shown, isRestored ? null : problem);
  if (running !== reading) return;
  setRunning(null);
  if (problem?.elsewhere) followUnfinished();
}

// Show the chat as it has become in another window; return the turn of what was asked here. Its
// user can ask it again, having seen what was said there.
async function catchUp({ question: asked }) {
  // What is not here now will be asked for with the question.
  await open(running).then(loadAll).catch(() => {});
  return turns.find(({ question }) => question.id === asked.id) ?? addTurn(asked);
}

function requestBody(turn, goesOn) {
  const messages = [];
  for (const earlier of turns) {
    if (earlier === turn) break;
    if (isAnswered(earlier.answer)) messages.push(earlier.question, earlier.answer);
  }
  messages.push(turn.question);
  if (goesOn) messages.push(turn.answer);
  const sent = messages.map(({ id, role, parts }) => ({ id, role, parts }));
  return { id: chatId, messages: sent, known: [...known], chatSettings: choices.settings() };
}

// Read an answer to its end; return what went wrong, or null.
async function read(response, { turn, controller, stream, messageId }, since) {
  const { metadata } = turn.answer;
  const assembler = new Assembler(turn.answer);
  const before = turn.answer.parts.length;
  const paint = painter(turn);
  // What became of it is saved, if it was kept at all.
  const isSaved = Boolean(stream);
  const lost = { ...brokenOff("The connection was lost."), elsewhere: isSaved, isSaved };
  for await (const chunk of chunks(response, choices.url(metadata.provider), controller.signal)) {
    // The chat has gone on elsewhere, and this answers another question.
    if (chunk.type === "start" && messageId && chunk.messageId !== messageId) return lost;
    assembler.add(chunk);
    // Of an answer that is read again only the server knows how long it took.
    if (!messageId && turn.answer.parts.length > before) metadata.firstWord ??= since();
    paint();
  }
  if (assembler.error) return brokenOff(assembler.error);
  if (!assembler.complete) return lost;
  const endings = { length: "length", "content-filter": "content_filtered" };
  metadata.outcome ??= endings[metadata.finishReason];
  return null;
}

// Stop the answer, in whichever window it was asked for; then read no more of it.
async function stopAnswer() {
  if (!running) return;
  const { turn, controller, stream } = running;
  const response = await ask(`${choices.url(turn.answer.metadata.provider)}/${chatId}/stop`, {
    method: "POST",
    body: stream ? { activeStreamId: stream } : {},
  }).catch(() => null);
  controller.abort(response?.ok ? undefined : NOT_STOPPED);
}

const NOT_STOPPED = {
  message: "The server could not be told to stop, and the answer goes on there.",
  advice: "Reload the page to see it.",
};

const isStopped = (response) => response.headers.get("X-LLMChat-Error") === "stopped";

function brokenOff(why) {
  return { message: `${asSentence(why)} What you see is only the beginning of the answer.` };
}

// Return what shows the answer as it is, but not more often than the page can bear: a long
// one takes longer to show than a word takes to come.
function painter(turn) {
  let waiting = false;
  let cost = 0;
  return () => {
    if (waiting) return;
    waiting = true;
    setTimeout(() => requestAnimationFrame(show), cost * 4);
  };

  function show() {
    waiting = false;
    if (turn.answer.metadata.total) return; // it has ended meanwhile, and is shown
    const before = performance.now();
    turn.view.show(turn.answer, true);
    cost = performance.now() - before;
  }
}

function announceEnd({ answer, view }, problem) {
  const text = view.spoken;
  const waiting = waitingIn(answer).length;
  if (problem) announce([problem.message, problem.advice].filter(Boolean).join(" "));
  else if (answer.metadata.outcome === "stopped") announce("Stopped.");
  else if (waiting) announce(`${text} A tool waits for your yes or no.`);
  else if (text.length < 500) announce(`The answer: ${text}`);
  else announce(`The answer is complete. It has ${text.split(/\s+/).length} words.`);
}

function setRunning(reading) {
  running = reading;
  const hadFocus = [stop, send].includes(document.activeElement);
  send.hidden = reading !== null;
  stop.hidden = reading === null;
  byId("turns").classList.toggle("busy", reading !== null);
  if (hadFocus) input.focus(); // a hidden button would drop it on the page
}

// ---- Turns

const actions = {
  regenerate(view) {
    const turn = turns.find((other) => other.view === view);
    if (!canSubmit()) return;
    input.focus(); // the button is about to go
    dropAfter(turn);
    answer(turn);
  },
  decide(view, part, approved) {
    if (running) return;
    const turn = turns.find((other) => other.view === view);
    part.approval.approved = approved;
    view.show(turn.answer);
    if (waitingIn(turn.answer).some(({ approval }) => approval.approved === undefined)) return;
    setDecided(turn.answer, true);
    const { provider, model } = turn.answer.metadata;
    choices.pick(provider, model); // of another one it is not a call
    answer(turn, { goesOn: true });
  },
  edit(view) {
    if (running) return;
    following = false; // the place to write in would be pushed out of sight
    const turn = turns.find((other) => other.view === view);
    view.edit(turn.question, turn !== turns.at(-1), (text) => {
      if (!canSubmit()) return;
      const files = filesOf(turn.question);
      const parts = text ? [...files, { type: "text", text }] : files;
      turn.question = { ...turn.question, parts };
      view.showQuestion(turn.question);
      input.focus();
      dropAfter(turn);
      answer(turn);
    });
  },
};

function addTurn(message) {
  for (const turn of turns) turn.view.setLast(false);
  const turn = newTurn(message, byId("turns"));
  turns.push(turn);
  byId("empty").hidden = true;
  byId("missing").hidden = true;
  return turn;
}

function newTurn(message, list) {
  const view = new TurnView(list, actions);
  view.showQuestion(message);
  known.add(message.id);
  return { question: message, answer: emptyAnswer(), view };
}

function dropAfter(turn) {
  for (const later of turns.splice(turns.indexOf(turn) + 1)) later.view.remove();
}

function canSubmit() {
  if (running) return false;
  return choices.isComplete();
}

function submit(text, files) {
  chatId ||= newId();
  answer(addTurn(question(text, files)));
}

// ---- The chat as it is saved

// Give the chat its place in the list, and its address, if the server has it.
async function nowSaved() {
  const address = await refresh(chatId);
  if (address && location.pathname !== address) history.replaceState(null, "", address);
}

// by: the reading that shows the chat anew, if one does.
async function open(by = null) {
  const signal = by?.controller.signal;
  const response = await ask(`/api/chats/${chatId}`, { signal }).catch(() => null);
  if (!response?.ok) {
    if (!turns.length) showMissing(response);
    return;
  }
  const { messages, older: before } = await response.json();
  if (running !== by) return; // the user was faster
  for (const turn of turns) turn.view.remove();
  turns = turnsOf(messages, byId("turns"));
  turns.forEach(restore);
  setOlder(before);
  byId("empty").hidden = true;
  byId("missing").hidden = true;
  following = true;
  const answered = messages.findLast(({ metadata }) => metadata.provider);
  if (answered) choices.pick(answered.metadata.provider, answered.metadata.model);
}

// Whether its answer is being written: for another window, or for this one before a reload.
const isUnfinished = (turn) => turn.answer.metadata.outcome === "running";

function followUnfinished() {
  const turn = turns.findLast(({ answer }) => answer.metadata.outcome);
  // One that takes long may be taken for lost.
  if (["running", "lost"].includes(turn?.answer.metadata.outcome)) follow(turn);
}

// Show such an answer as it is written; without a stream of it, when it is complete.
// wait: until the next look, in ms.
async function follow(turn, wait = 1000) {
  const { answer } = turn;
  const { provider, model } = answer.metadata;
  const controller = new AbortController();
  const get = (url) => ask(url, { signal: controller.signal }).catch(() => null);
  const isOver = () => running || turn.answer !== answer || !turns.includes(turn);
  const url = choices.url(provider);
  const stream = url && (await get(`${url}/${chatId}/stream`));
  if (isOver()) return controller.abort(); // the user was faster
  if (stream?.status === 200) {
    turn.answer = { ...emptyAnswer(), metadata: { provider, model } };
    turn.view.showWaiting(choices.label(provider, model));
    return receive({ turn, controller, messageId: answer.id }, () => stream);
  }
  const response = await get(`/api/chats/${chatId}`);
  const { messages } = response?.ok ? await response.json() : { messages: [] };
  if (isOver()) return;
  const at = messages.findIndex(({ id }) => id === turn.question.id);
  if (at < 0) return;
  turn.answer = messages[at + 1];
  if (!isUnfinished(turn)) return restore(turn);
  const again = () => isUnfinished(turn) && turns.includes(turn) && follow(turn, longer);
  const longer = Math.min(wait * 2, 16_000);
  setTimeout(again, wait);
}

function stopWaiting() {
  for (const turn of turns.filter(isUnfinished)) {
    turn.answer.metadata.outcome = "lost";
    restore(turn);
  }
}

function turnsOf(messages, list) {
  const made = [];
  for (const message of messages) {
    if (message.role === "user") made.push(newTurn(message, list));
    else if (made.length) made.at(-1).answer = message;
  }
  return made;
}

// The messages before those that are here.

function loadOlder() {
  loading ??= prependOlder().finally(() => (loading = null));
  return loading;
}

async function loadAll() {
  while (older) await loadOlder();
}

// What is in sight stays where it is.
async function prependOlder() {
  const before = older;
  const response = await ask(`/api/chats/${chatId}?before=${before}`);
  if (before !== older) return; // the chat was opened anew meanwhile
  // Deleted in another window. The server reports it when this one goes on with the chat.
  if (response.status === 404) return setOlder(null);
  if (!response.ok) {
    const problem = await problemOf(response);
    throw Object.assign(new Error(problem.message), { problem });
  }
  const page = await response.json();
  if (before !== older) return;
  const list = document.createDocumentFragment();
  const found = turnsOf(page.messages, list);
  found.forEach(restore);
  const first = byId("turns").firstElementChild;
  const top = first?.getBoundingClientRect().top;
  turns = [...found, ...turns];
  byId("turns").prepend(list);
  setOlder(page.older);
  if (first) scroll.scrollTop += first.getBoundingClientRect().top - top;
}

function setOlder(id) {
  older = id;
  byId("older").hidden = !id;
  showOlderAs("Show earlier messages");
}

function showOlderAs(text, failed = false) {
  byId("older").textContent = text;
  byId("older").classList.toggle("problem", failed);
}

async function showOlder() {
  const hadFocus = document.activeElement === byId("older");
  following = false;
  try {
    await loadOlder();
    announce("Earlier messages are shown.");
    if (hadFocus && !older) scroll.focus(); // the button is gone
  } catch (error) {
    console.warn(error);
    showOlderAs("The earlier messages could not be loaded. Try again", true);
    announce("The earlier messages could not be loaded.");
  }
}

function restore(turn) {
  const { error, outcome } = turn.answer.metadata;
  let problem = null;
  if (error && outcome === "refused") problem = problemFrom(error);
  else if (error && !["cancelled", "stopped"].includes(outcome)) {
    problem = turn.answer.parts.length ? brokenOff(error.message) : problemFrom(error);
  }
  turn.view.showEnd(turn.answer, { problem, isLast: turn === turns.at(-1) });
  const { provider, model } = turn.answer.metadata;
  if (provider) turn.view.showFrom(choices.label(provider, model));
}

function showMissing(response) {
  if (response?.status === 404) chatId = ""; // what is sent now begins a new one
  const note = byId("missing");
  note.querySelector("span").textContent =
    response?.status === 404 ? "There is no such chat." : "The chat could not be loaded.";
  note.hidden = false;
}

// ---- The controls

async function sendQuestion() {
  await images.ready();
  const text = input.value.trim();
  if (!(text || images.count()) || !canSubmit()) return;
  submit(text, images.takeAll());
  input.value = "";
  fitQuestion();
  input.focus();
}

function fitQuestion() {
  input.style.height = "auto";
  input.style.height = `${input.scrollHeight + 2}px`;
}

// Follow the text, but not when its reader has scrolled up to read, or opens what is folded.
new ResizeObserver(() => {
  if (following && turns.length) scroll.scrollTop = scroll.scrollHeight;
}).observe(byId("turns"));
let lastTop = 0;
scroll.addEventListener("scroll", () => {
  if (scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 60) following = true;
  else if (scroll.scrollTop < lastTop) {
    following = false;
    const mayLoad = older && !loading && !byId("older").classList.contains("problem");
    if (mayLoad && scroll.scrollTop < 200) showOlder();
  }
  lastTop = scroll.scrollTop;
});
scroll.addEventListener("click", (event) => {
  if (event.target.closest("summary")) following = false;
});

byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  sendQuestion();
});

input.addEventListener("keydown", (event) => {
  if (event.key === "ArrowUp" && !input.value && turns.length && !running) {
    event.preventDefault();
    actions.edit(turns.at(-1).view);
    return;
  }
  // While an input method composes a character, Enter belongs to it.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  sendQuestion();
});

document.addEventListener("keydown", (event) => {
  const meant = !event.isComposing && !document.querySelector("dialog[open]");
  if (event.key === "Escape" && meant) stopAnswer();
  if (event.altKey && event.code === "KeyN") {
    event.preventDefault();
    location.assign("/");
  }
});

byId("older").addEventListener("click", showOlder);
input.addEventListener("input", fitQuestion);
stop.addEventListener("click", stopAnswer);
beforeDeleting(stopAnswer);

for (const tried of document.querySelectorAll("[data-try]")) {
  tried.addEventListener("click", () => {
    choices.pick("demo");
    if (canSubmit()) submit(tried.dataset.try);
    input.focus();
  });
}

send.disabled = false; // disabled until this script runs, since only the script can send
refresh(chatId);
if (chatId) {
  byId("empty").hidden = true;
  open().then(followUnfinished);
}
