// What an answer is made of, each part shown in its own way: text, reasoning, tool calls,
// images, sources.

import { el } from "./dom.js";
import { addressBeside, imageOrLink, linkTo, safeUrl } from "./links.js";
import { Markdown } from "./markdown.js";

export class Parts {
  #root;
  #shown = []; // for each part what updates it
  #sources = null;

  constructor(root) {
    this.#root = root;
  }

  // Show the parts as they are now; called with every piece that comes.
  show(parts, writing) {
    parts.forEach((part, index) => {
      this.#shown[index] ??= part.type === "source-url" ? this.#addSource(part) : this.#add(part);
      this.#shown[index](part, writing && index === parts.length - 1, writing);
    });
  }

  #add(part) {
    const [node, show] = viewOf(part);
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

function viewOf(part) {
  if (part.type === "text") return textView();
  if (part.type === "reasoning") return reasoningView();
  if (part.type === "file") return fileView(part);
  if (part.type.startsWith("tool-")) return toolView();
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
    (part, writing) => {
      summary.textContent = writing ? "Reasoning…" : "Reasoned";
      node.hidden = !part.text;
      markdown.show(part.text);
    },
  ];
}

function toolView() {
  const pre = (label) => el("pre", { tabIndex: 0, role: "region", "aria-label": label });
  const summary = el("summary");
  const input = pre("What it is called with");
  const hint = el("p", { className: "hint", hidden: true });
  const result = pre("Its result");
  const node = el("details", { className: "aside-part" }, summary, input, hint, result);
  return [
    node,
    ({ type, input: given, output, errorText }, last, running) => {
      const found = errorText ?? output;
      const ended = found !== undefined;
      const done = ended ? "Used" : running ? "Uses" : "Asks for";
      summary.textContent = `${done} the tool “${type.slice(5)}”`;
      input.textContent = asText(given);
      result.textContent = ended ? asText(found) : "";
      result.hidden = !ended;
      hint.textContent = ended ? "Its result:" : NOT_RUN;
      hint.hidden = running && !ended;
      node.open ||= !running && !ended;
    },
  ];
}

const NOT_RUN = "It has no result. If you go on, that is what the model is told.";

const asText = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

function fileView({ url }) {
  const node = el("p", { className: "picture" }, imageOrLink(url, "An image by the model"));
  return [node, () => {}];
}

export function seconds(value) {
  if (value < 0.05) return "less than 0.1 s";
  return value < 9.95 ? `${value.toFixed(1)} s` : `${Math.round(value)} s`;
}
