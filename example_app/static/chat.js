// The chat page. What a model wrote is only ever put in as text, never as HTML.

const byId = (id) => document.getElementById(id);
const provider = byId("provider");
const model = byId("model");
const temperature = byId("temperature");
const question = byId("question");
const send = byId("send");
const stop = byId("stop");
const scroll = byId("scroll");
let csrfToken = tokenIn(document);

const PROMPT = "You are a friendly, helpful assistant.";

// One for each question: {question, answer, view}. The history lives here and nowhere else.
let turns = [];
// Aborts the answer that is being written; null while there is none.
let running = null;

// ---- Asking, and reading the answer while it is being written

async function ask(turn, { again = false } = {}) {
  const controller = new AbortController();
  const { signal } = controller;
  setRunning(controller);
  turn.answer = "";
  showAsking(turn);
  try {
    if (again) await renewToken(signal);
    const response = await fetch(chosen().dataset.url, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRFToken": csrfToken },
      body: JSON.stringify(requestBody(turn)),
      signal,
    });
    if (!response.ok) {
      showProblem(turn, await problemOf(response));
      return;
    }
    await readAnswer(response.body, signal, (piece) => {
      turn.answer += piece;
      showPiece(turn, piece);
    });
    showEnd(turn, signal.aborted);
  } catch (error) {
    if (signal.aborted) {
      showEnd(turn, true);
    } else if (turn.answer) {
      // The server breaks the connection off on purpose when the provider did: it is the only
      // way left to say that what came so far is not the whole answer.
      showProblem(turn, {
        message: "The answer broke off here. What you see is only the beginning of it.",
      });
    } else {
      showProblem(turn, {
        message: "The server could not be reached, or broke off before it answered.",
      });
    }
  } finally {
    if (running === controller) setRunning(null);
  }
}

function tokenIn(page) {
  return page.querySelector('meta[name="csrf-token"]').content;
}

// Whoever has logged in again, in another tab, may have another token by now.
async function renewToken(signal) {
  const response = await fetch(location.href, { signal });
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  csrfToken = tokenIn(page);
}

function requestBody(turn) {
  const messages = [{ role: "system", content: PROMPT }];
  for (const earlier of turns) {
    if (earlier === turn) break;
    if (!earlier.answer) continue; // what was never answered would only confuse the model
    messages.push({ role: "user", content: earlier.question });
    messages.push({ role: "assistant", content: earlier.answer });
  }
  messages.push({ role: "user", content: turn.question });
  return {
    chatSettings: {
      model: model.value.trim(),
      prompt: PROMPT,
      temperature: Number(temperature.value),
      contextLength: 4096,
      includeProfileContext: false,
      includeWorkspaceInstructions: false,
      embeddingsProvider: "openai",
    },
    messages,
    customModelId: "",
  };
}

async function readAnswer(stream, signal, onPiece) {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  signal.addEventListener("abort", () => reader.cancel().catch(() => {}), { once: true });
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      // A character of several bytes may be cut between two pieces: the decoder waits for it.
      const piece = decoder.decode(value, { stream: true });
      if (piece) onPiece(piece);
    }
  } finally {
    reader.releaseLock();
  }
}

// What to tell for an answer that is none: {message, link}.
async function problemOf(response) {
  let told = {};
  try {
    told = (await response.json()) ?? {};
  } catch {
    // A proxy's page, say: the status is all there is.
  }
  // A wrong provider key is a 401 as well, and says so in its code.
  if (response.status === 401 && told.code !== "bad_key") {
    return {
      message: "Your session has ended.",
      link: ["Log in again in a new tab", byId("log-in").href, true],
    };
  }
  const message =
    typeof told.message === "string" && told.message
      ? told.message
      : `The server answered with an error (${response.status}) and did not say why.`;
  const aboutKey = ["missing_key", "bad_key"].includes(told.code);
  return { message, link: aboutKey ? ["Open Settings", byId("settings").href, false] : null };
}

// ---- Showing it

function newTurn(text) {
  const item = byId("turn").content.firstElementChild.cloneNode(true);
  const view = {
    item,
    answer: item.querySelector(".answer"),
    from: item.querySelector(".from"),
    text: item.querySelector(".answer .text"),
    note: item.querySelector(".note"),
  };
  item.querySelector(".question .text").textContent = text;
  byId("turns").append(item);
  byId("empty").hidden = true;
  return { question: text, answer: "", view };
}

function showAsking({ view }) {
  view.from.textContent = `${chosen().text} · ${model.value.trim()}`;
  view.text.textContent = "";
  view.note.hidden = true;
  view.note.replaceChildren();
  view.answer.classList.remove("failed");
  view.answer.classList.add("writing");
  announce("Waiting for the answer.");
  scroll.scrollTop = scroll.scrollHeight;
}

function showPiece({ view }, piece) {
  // Follow the text, but not when its reader has scrolled up to read.
  const follow = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 60;
  view.text.append(piece);
  if (follow) scroll.scrollTop = scroll.scrollHeight;
}

function showEnd(turn, stopped) {
  if (stopped && turn.answer) {
    showNote(turn, "You stopped the answer here.");
  } else if (stopped) {
    showNote(turn, "You stopped before the answer began.", { again: true });
  } else if (!turn.answer) {
    showNote(turn, "The answer is empty.", { again: true });
  } else {
    turn.view.answer.classList.remove("writing");
  }
  announce(stopped ? "Stopped." : turn.answer);
}

function showProblem(turn, { message, link }) {
  turn.view.answer.classList.add("failed");
  showNote(turn, message, { link, again: true });
  announce(message);
}

function showNote(turn, message, { link = null, again = false } = {}) {
  const { answer, note } = turn.view;
  answer.classList.remove("writing");
  note.replaceChildren(Object.assign(document.createElement("span"), { textContent: message }));
  if (link) {
    const [text, href, newTab] = link;
    const anchor = Object.assign(document.createElement("a"), { textContent: text, href });
    if (newTab) anchor.target = "_blank"; // here the conversation would be lost
    note.append(" ", anchor);
  }
  if (again) {
    const button = Object.assign(document.createElement("button"), {
      type: "button",
      className: "plain again",
      textContent: "Try again",
    });
    button.addEventListener("click", () => {
      if (running) return;
      question.focus();
      ask(turn, { again: true });
    });
    note.append(" ", button);
  }
  note.hidden = false;
  if (turn === turns.at(-1)) scroll.scrollTop = scroll.scrollHeight;
}

function announce(text) {
  byId("status").textContent = text;
}

function setRunning(controller) {
  running = controller;
  const hadFocus = document.activeElement === stop || document.activeElement === send;
  send.hidden = controller !== null;
  stop.hidden = controller === null;
  byId("turns").classList.toggle("busy", controller !== null);
  if (hadFocus) question.focus(); // a hidden button would drop it on the page
}

// ---- The controls

function chosen() {
  return provider.selectedOptions[0];
}

function submit(text) {
  if (!text.trim() || running) return false;
  if (!model.value.trim()) {
    model.focus();
    announce("Please name a model first.");
    return false;
  }
  const turn = newTurn(text.trim());
  turns.push(turn);
  ask(turn);
  return true;
}

function sendQuestion() {
  if (submit(question.value)) {
    question.value = "";
    fitQuestion();
    question.focus();
  }
}

function fitQuestion() {
  question.style.height = "auto";
  question.style.height = `${question.scrollHeight + 2}px`;
}

function pickProvider(modelName) {
  const option = chosen();
  model.setAttribute("list", `models-${option.value}`);
  model.value = modelName ?? option.dataset.model;
  const noKey = byId("no-key");
  noKey.hidden = "ready" in option.dataset;
  noKey.querySelector("span").textContent = option.text;
}

byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  sendQuestion();
});

question.addEventListener("keydown", (event) => {
  // While an input method composes a character, Enter belongs to it.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  sendQuestion();
});

question.addEventListener("input", fitQuestion);
stop.addEventListener("click", () => running?.abort());
byId("choices").addEventListener("submit", (event) => event.preventDefault());
provider.addEventListener("change", () => {
  pickProvider();
  remember();
});
model.addEventListener("change", remember);
temperature.addEventListener("input", showTemperature);
temperature.addEventListener("change", remember);

byId("new-chat").addEventListener("click", () => {
  running?.abort();
  setRunning(null);
  turns = [];
  byId("turns").replaceChildren();
  byId("empty").hidden = false;
  announce("A new chat.");
  question.focus();
});

for (const button of document.querySelectorAll("[data-try]")) {
  button.addEventListener("click", () => {
    provider.value = "demo";
    pickProvider();
    submit(button.dataset.try);
    question.focus();
  });
}

function showTemperature() {
  byId("temperature-value").value = Number(temperature.value).toFixed(1);
}

// ---- The last choice is kept in this browser; the conversation is not

function remember() {
  try {
    const choice = [provider.value, model.value, temperature.value];
    localStorage.setItem("choice", JSON.stringify(choice));
  } catch {
    // No storage in this browser: then the page begins as it does for everybody.
  }
}

function recall() {
  try {
    const [name, modelName, degree] = JSON.parse(localStorage.getItem("choice"));
    if ([...provider.options].some((option) => option.value === name)) {
      provider.value = name;
      pickProvider(modelName);
      temperature.value = degree;
    }
  } catch {
    // Nothing kept, or nothing we can read.
  }
}

pickProvider();
recall();
showTemperature();
