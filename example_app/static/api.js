// Requests to the server, and errors as sentences that say what to do.

import { byId } from "./dom.js";

let token = document.querySelector('meta[name="csrf-token"]').content;
// The user of this page; and whether another user has logged in since, in another tab.
const { user } = byId("main").dataset;
let isOthers = false;

export async function ask(url, { method = "GET", body, headers, signal } = {}) {
  if (isOthers) return refusal();
  const response = await send();
  if (response.status !== 400) return response;
  // Whoever has logged in again, in another tab, has another token by now.
  const { code } = await response.clone().json().catch(() => ({}));
  if (code !== "csrf") return response;
  const answer = await fetch("/api/token", { signal });
  if (answer.ok) {
    const given = await answer.json();
    isOthers = String(given.user) !== user;
    token = given.token;
  }
  return isOthers ? refusal() : send();

  function send() {
    const sent = { ...headers, "X-CSRFToken": token };
    if (body !== undefined) sent["Content-Type"] = "application/json";
    return fetch(url, { method, headers: sent, body: body && JSON.stringify(body), signal });
  }
}

function refusal() {
  const message =
    "Somebody else has logged in here, in another tab. Nothing was sent: reload this page to go on as them.";
  return Response.json({ message, code: "other_user" }, { status: 403 });
}

export const UNREACHABLE = {
  message: "The server could not be reached. Is this device online? Please try again.",
};

const ADVICE = {
  rate_limited: "Wait a little, or pick another model.",
  overloaded: "Please try again in a moment, or pick another model.",
  timeout: "Please try again, or pick another model.",
  out_of_credit: "The account with the provider needs credit; another provider may work.",
  context_too_long: "Begin a new chat, or edit an earlier question: what follows it is left out.",
  model_not_found: "Pick or type another model above.",
  content_filtered: "Edit the question and send it again.",
  upstream_error: "Please try again in a moment, or pick another model.",
  truncated: "Please try again, or pick another model.",
  bad_request: "Pick another model, or begin a new chat.",
  no_permission: "Pick another model, or one of another provider.",
  deadline: "Ask for less at once, or pick a faster model.",
  internal: "Please try again. If it happens again, report it to the people who run this page.",
};

// What the page shows for an error response: {message, advice, link, wait, elsewhere}.
export async function problemOf(response) {
  const { message, code } = await toldBy(response);
  if (response.status === 401 && code !== "bad_key") {
    return { message: "Your session has ended.", link: ["Log in again", byId("log-in").href] };
  }
  if (response.status === 413) {
    const advice = "Begin a new chat, or send smaller images.";
    return { message: "This chat is too large to be sent.", advice };
  }
  // The server's own sentences, about other windows and about room, say what to do themselves.
  if (response.status === 409) return { message, elsewhere: true };
  if (response.status === 507) return { message };
  return problemFrom({ message, code }, { status: response.status, wait: secondsToWait(response) });
}

// The same for an error that was saved, or came in the middle of an answer.
export function problemFrom({ message, code }, { status, wait } = {}) {
  const aboutKey = ["missing_key", "bad_key"].includes(code);
  const unexplained = `The server answered with an error (${status}) and did not say why.`;
  const advice = ADVICE[code] ?? (status >= 500 ? "Please try again in a moment." : "");
  return {
    message: asSentence(message || unexplained),
    advice: wait ? "" : advice,
    link: aboutKey ? ["Open Settings", byId("settings").href] : null,
    wait,
  };
}

// Not all providers end theirs, and another one follows.
export const asSentence = (text) => (/[.!?…]["'”’)]*$/.test(text.trim()) ? text : `${text.trim()}.`);

// The chat's own errors are a sentence, with the code in a header; the other routes' are JSON.
async function toldBy(response) {
  const text = await response.text().catch(() => "");
  const code = response.headers.get("X-LLMChat-Error");
  if (code) return { message: text, code };
  try {
    const { message, code } = JSON.parse(text);
    return { message: typeof message === "string" ? message : "", code };
  } catch {
    return {}; // a proxy's page, say: the status is all there is
  }
}

function secondsToWait(response) {
  const after = response.headers.get("Retry-After");
  if (!after) return 0;
  const seconds = /^\d+$/.test(after) ? Number(after) : (Date.parse(after) - Date.now()) / 1000;
  return seconds > 0 ? Math.ceil(seconds) : 0;
}
