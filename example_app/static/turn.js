// A question and its answer, on the screen.

import { announce, button, copyButton, el } from "./dom.js";
import { imageOrLink } from "./links.js";
import { filesOf, textOf } from "./message.js";
import { Parts, seconds } from "./parts.js";

const ENDINGS = {
  stopped: "You stopped the answer here.",
  length: "The answer stopped here: it reached the longest that was allowed. Ask it to go on.",
  content_filtered: "The provider's filter ended the answer here.",
  cancelled: "The answer stopped here, because the connection to its reader was lost.",
  lost: "This answer seems to be lost: the server was stopped while it was being written.",
  running: "This answer is still being written.",
};

export class TurnView {
  #actions;
  #question;
  #answer;
  #from;
  #body;
  #parts;
  #isLast = true;
  #shown = null; // the answer
  #waiting;
  #note;
  #foot;
  #clock = 0;

  // actions: what the buttons do, {edit, regenerate, decide}; each is given this view.
  constructor(list, actions) {
    this.#actions = actions;
    this.#question = el("div", { className: "question" });
    this.#from = el("h2", { className: "from" });
    this.#waiting = el("p", { className: "waiting", hidden: true });
    this.#body = el("div", { className: "body" });
    this.#parts = this.#newParts();
    this.#note = el("div", { className: "note", hidden: true });
    this.#foot = el("div", { className: "foot", hidden: true });
    const rest = [this.#from, this.#body, this.#waiting, this.#note, this.#foot];
    this.#answer = el("div", { className: "answer" }, ...rest);
    this.item = el("li", { className: "turn" }, this.#question, this.#answer);
    list.append(this.item);
  }

  showQuestion(message) {
    this.#question.className = "question";
    const files = filesOf(message).map((part) => imageOrLink(part.url, part.filename || "Image"));
    const text = textOf(message);
    const edit = button("Edit", () => this.#actions.edit(this), { className: "quiet edit" });
    this.#question.replaceChildren(
      el("h2", { className: "unseen" }, "You"),
      el("div", { className: "pictures", hidden: !files.length }, ...files),
      el("p", { className: "text", hidden: !text }, text),
      edit,
    );
  }

  // Put an input in the question's place. done: called with the new text.
  edit(message, replaces, done) {
    const area = el("textarea", { value: textOf(message), rows: 3, "aria-label": "Your message" });
    const cancel = () => {
      this.showQuestion(message);
      this.#question.querySelector(".edit").focus();
    };
    const form = el(
      "form",
      { className: "stack" },
      area,
      el("p", { className: "hint", hidden: !replaces }, "What follows it is replaced."),
      el("div", { className: "row" }, el("button", { className: "primary" }, "Send"),
        button("Cancel", cancel)),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (area.value.trim() || filesOf(message).length) done(area.value.trim());
    });
    area.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        event.stopPropagation(); // it is not meant for the answer that is being written
        cancel();
      } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        form.requestSubmit();
      }
    });
    this.#question.className = "question editing";
    this.#question.replaceChildren(form);
    area.focus();
  }

  // from: who answers.
  showFrom(from) {
    this.#from.textContent = from;
  }

  showWaiting(from) {
    this.#clear();
    this.showFrom(from);
    this.#showBusy("Waiting for the first word ");
  }

  // The answer goes on, after its user has decided on its calls.
  showGoingOn(answer) {
    this.#note.hidden = true;
    this.#foot.hidden = true;
    this.show(answer, true);
    this.#answer.classList.remove("failed");
    this.#showBusy("Waiting for the answer to go on ");
  }

  #showBusy(text) {
    this.#answer.setAttribute("aria-busy", "true");
    const time = el("span");
    this.#waiting.replaceChildren(
      el("span", { className: "dots", "aria-hidden": "true" }, el("i"), el("i"), el("i")),
      text,
      time,
    );
    this.#waiting.hidden = false;
    const began = Date.now();
    this.#clock = setInterval(() => {
      const waited = Math.round((Date.now() - began) / 1000);
      if (waited > 2) time.textContent = `${waited} s`;
    }, 500);
  }

  show(answer, writing = false) {
    if (writing && answer.parts.length && !this.#waiting.hidden) {
      this.#stopClock();
      this.#answer.classList.add("writing");
    }
    this.#shown = answer;
    this.#parts.show(answer.parts, { writing, asks: this.#isLast && !writing });
  }

  // problem: {message, advice, link, wait}, as api.js makes them, or null.
  showEnd(answer, { problem = null, isLast = true } = {}) {
    const about = answer.metadata;
    this.#isLast = isLast;
    this.#stopClock();
    this.#answer.classList.remove("writing");
    this.#answer.removeAttribute("aria-busy");
    this.show(answer);
    const text = textOf(answer);
    const note = problem ?? endingOf(about, answer.parts.length);
    this.#note.hidden = !note;
    if (note) this.#showNote(note, Boolean(problem));
    this.#showFoot(text, about, isLast);
  }

  // The text as it reads, without the signs of its Markdown.
  get spoken() {
    const texts = this.#body.querySelectorAll(":scope > .markdown");
    return [...texts].map((node) => node.innerText).join("\n");
  }

  remove() {
    this.#stopClock();
    this.item.remove();
  }

  setLast(isLast) {
    this.#isLast = isLast;
    if (this.#shown) this.show(this.#shown); // what it asks can be decided in the last one only
    for (const made of this.#answer.querySelectorAll(".again")) made.hidden = !isLast;
  }

  #clear() {
    this.#stopClock();
    this.#answer.classList.remove("failed", "writing");
    this.#body.replaceChildren();
    this.#parts = this.#newParts();
    this.#shown = null;
    this.#note.hidden = true;
    this.#foot.hidden = true;
  }

  #newParts() {
    return new Parts(this.#body, (part, approved) => this.#actions.decide(this, part, approved));
  }

  #stopClock() {
    clearInterval(this.#clock);
    this.#waiting.hidden = true;
  }

  #showNote({ message, advice, link, wait = 0 }, failed) {
    this.#answer.classList.toggle("failed", failed);
    const children = [el("span", {}, [message, advice].filter(Boolean).join(" "))];
    if (link) children.push(el("a", { href: link[1], target: "_blank" }, link[0]));
    if (failed) {
      const again = this.#againButton(this.#body.hasChildNodes() ? "Regenerate" : "Try again");
      children.push(again);
      if (wait) children.push(this.#countDown(wait, again));
    }
    this.#note.replaceChildren(...children);
  }

  // Until the provider accepts requests again, according to Retry-After.
  #countDown(wait, again) {
    const left = el("span");
    const until = Date.now() + wait * 1000;
    again.disabled = true;
    const tick = () => {
      const rest = Math.ceil((until - Date.now()) / 1000);
      left.textContent = rest > 0 ? `You can try again in ${rest} s.` : "";
      if (rest > 0) return;
      again.disabled = false;
      announce("You can try again now.");
      this.#stopClock();
    };
    tick();
    this.#clock = setInterval(tick, 500);
    return left;
  }

  #showFoot(text, about, isLast) {
    const facts = el("span", { className: "facts" }, about.firstWord ? factsOf(about) : "");
    const children = [facts];
    if (text) children.push(copyButton("Copy the answer", () => text, this.#body));
    if (!this.#answer.classList.contains("failed")) {
      const again = this.#againButton("Regenerate");
      again.classList.add("quiet");
      children.push(again);
    }
    this.#foot.replaceChildren(...children);
    this.#foot.hidden = false;
    this.setLast(isLast);
  }

  #againButton(text) {
    return button(text, () => this.#actions.regenerate(this), { className: "again" });
  }
}

function endingOf(about, hasParts) {
  if (about.cut) return { message: "There was no room left to keep all of this answer." };
  if (ENDINGS[about.outcome]) return { message: ENDINGS[about.outcome] };
  return hasParts ? null : { message: "The answer is empty." };
}

function factsOf({ firstWord, total, usage }) {
  const facts = [];
  facts.push(`first word after ${seconds(firstWord)}`, `${seconds(total)} in all`);
  if (usage) {
    const thought = usage.reasoningTokens ? `, ${usage.reasoningTokens} of them to reason` : "";
    const tokens = usage.inputTokens === 1 ? "token" : "tokens";
    facts.push(`${usage.inputTokens} ${tokens} in, ${usage.outputTokens} out${thought}`);
  }
  return facts.join(" · ");
}
