// What an answer is made of, each part shown in its own way: text, reasoning, tool calls,
// images, sources.

import { asText, toldOf } from "./calls.js";
import { button, el } from "./dom.js";
import { addressBeside, imageOrLink, linkTo, safeUrl } from "./links.js";
import { Markdown } from "./markdown.js";

export class Parts {
  #root;
  #decide;
  #shown = []; // for each part what updates it
  #sources = null;

  // decide: called with a call that waits for the user, and whether the user has said yes.
  constructor(root, decide) {
    this.#root = root;
    this.#decide = decide;
  }

  // Show the parts as they are now; called with every piece that comes.
  // asks: whether the user can decide on the calls that wait.
  show(parts, { writing, asks }) {
    parts.forEach((part, index) => {
      this.#shown[index] ??= part.type === "source-url" ? this.#addSource(part) : this.#add(part);
      const last = writing && index === parts.length - 1;
      this.#shown[index](part, { writing, last, asks });
    });
  }

  #add(part) {
    const [node, show] = viewOf(part, this.#decide);
    if (this.#sources) this.#sources.before(node);
    else this.#root.append(node);
    return show;
  }

  #addSource({ url, title }) {
    if (!this.#sources) {
      this.#sources = el("section", { className: "sources" }, el("h3", {}, "Sources"), el("ol"));
      this.#root.append(this.#sources);
    }
    const address = safeUrl(url);
    const item = el("li");
    if (address) {
      const anchor = linkTo(address);
      anchor.append(title || address.href);
      item.append(anchor, addressBeside(anchor, address) ?? "");
    } else {
      item.append(title || url);
    }
    this.#sources.querySelector("ol").append(item);
    return () => {};
  }
}

function viewOf(part, decide) {
  if (part.type === "text") return textView();
  if (part.type === "reasoning") return reasoningView();
  if (part.type === "file") return fileView(part);
  if (part.type.startsWith("tool-")) return toolView(decide);
  return [el("span", { hidden: true }), () => {}];
}

function textView() {
  const node = el("div", { className: "markdown" });
  const markdown = new Markdown(node);
  return [node, ({ text }) => markdown.show(text)];
}

function reasoningView() {
  const summary = el("summary");
  const body = el("div", { className: "markdown" });
  const node = el("details", { className: "aside-part" }, summary, body);
  const markdown = new Markdown(body);
  return [
    node,
    (part, { last }) => {
      summary.textContent = last ? "Reasoning…" : "Reasoned";
      node.hidden = !part.text;
      markdown.show(part.text);
    },
  ];
}

function toolView(decide) {
  const pre = (label) => el("pre", { tabIndex: 0, role: "region", "aria-label": label });
  const summary = el("summary");
  const input = pre("What it is called with");
  const hint = el("p", { className: "hint" });
  const result = pre("Its result");
  const answerWith = (approved) => () => {
    decide(shown, approved);
    if (choice.hidden) summary.focus(); // a hidden button would drop it on the page
  };
  const yes = button("Yes", answerWith(true));
  const no = button("No", answerWith(false));
  const choice = el("div", { className: "choice", role: "group" }, yes, no);
  const body = [input, hint, result, choice];
  const node = el("details", { className: "aside-part" }, summary, ...body);
  let shown = null;
  let phase = "";
  return [
    node,
    (part, how) => {
      const told = toldOf(part, how);
      const asks = told.phase === "asks";
      shown = part;
      summary.textContent = told.summary;
      input.textContent = asText(part.input);
      hint.textContent = told.hint;
      hint.hidden = !told.hint;
      result.textContent = told.found === undefined ? "" : asText(told.found);
      result.hidden = told.found === undefined;
      choice.hidden = !asks;
      choice.ariaLabel = told.summary;
      yes.ariaPressed = String(part.approval?.approved === true);
      no.ariaPressed = String(part.approval?.approved === false);
      // Its reader may fold and unfold it meanwhile. What was unfolded to be decided on is folded
      // after that.
      if (told.phase !== phase && (told.unfolded || part.approval)) node.open = told.unfolded;
      phase = told.phase;
    },
  ];
}

function fileView({ url }) {
  const node = el("p", { className: "picture" }, imageOrLink(url, "An image by the model"));
  return [node, () => {}];
}

export function seconds(value) {
  if (value < 0.05) return "less than 0.1 s";
  return value < 9.95 ? `${value.toFixed(1)} s` : `${Math.round(value)} s`;
}
