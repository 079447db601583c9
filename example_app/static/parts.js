// What an answer is made of, each part shown in its own way: text, reasoning, tool calls,
// images, sources.

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
    (part, { writing, asks }) => {
      const before = phase;
      shown = part;
      phase = phaseOf(part, writing, asks);
      const [told, hinted] = PHASES[phase];
      const found = part.errorText ?? part.output;
      summary.textContent = told(`the tool “${part.type.slice(5)}”`);
      input.textContent = asText(part.input);
      hint.textContent = hinted;
      hint.hidden = !hinted;
      result.textContent = found === undefined ? "" : asText(found);
      result.hidden = found === undefined;
      choice.hidden = phase !== "asks";
      choice.ariaLabel = summary.textContent;
      yes.ariaPressed = String(part.approval?.approved === true);
      no.ariaPressed = String(part.approval?.approved === false);
      if (phase === before) return; // whoever folds or unfolds it has the last word
      const askedFor = part.approval !== undefined;
      if (["asks", "unknown", "unanswered"].includes(phase)) node.open = true;
      else if (askedFor) node.open = phase === "failed";
    },
  ];
}

function phaseOf({ state, output, errorText, approval }, writing, asks) {
  if (state === "output-denied") return "denied";
  if (errorText !== undefined) return "failed";
  if (output !== undefined) return "done";
  if (state === "approval-requested") return asks ? "asks" : writing ? "runs" : "passed";
  if (writing) return "runs";
  if (state !== "approval-responded") return "unanswered";
  return approval.approved ? "unknown" : "denied";
}

// What is said of a call: in its summary, and above its result.
const PHASES = {
  runs: [(tool) => `Uses ${tool}`, ""],
  done: [(tool) => `Used ${tool}`, "Its result:"],
  failed: [(tool) => `Tried ${tool}`, "Its error:"],
  asks: [(tool) => `May ${tool} be used?`, "It is used only if you say yes, and with just this."],
  denied: [(tool) => `Did not use ${tool}`, "You said no."],
  passed: [(tool) => `Asked for ${tool}`, "You went on without a yes or no."],
  unknown: [(tool) => `Asked for ${tool}`, "You said yes. What came of it is not known here."],
  unanswered: [
    (tool) => `Asks for ${tool}`,
    "It has no result. If you go on, that is what the model is told.",
  ],
};

const asText = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

function fileView({ url }) {
  const node = el("p", { className: "picture" }, imageOrLink(url, "An image by the model"));
  return [node, () => {}];
}

export function seconds(value) {
  if (value < 0.05) return "less than 0.1 s";
  return value < 9.95 ? `${value.toFixed(1)} s` : `${Math.round(value)} s`;
}
