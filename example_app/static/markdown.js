// Markdown, shown while it is being written.
//
// markdown-it only parses; from its tokens the elements are made here, one by one and from a
// fixed list. No HTML text exists at any time, so there is none to be made safe.

import { copyButton, el } from "./dom.js";
import { addressBeside, linkTo, safeUrl } from "./links.js";
import MarkdownIt from "./vendor/markdown-it.min.js";

// Beyond this an answer is no longer something to be read; it is shown as it is.
const LONGEST = 300_000;

export const parser = new MarkdownIt({ html: false, linkify: true });
parser.linkify.set({ fuzzyLink: false, fuzzyEmail: false, fuzzyIP: false });
// No links for us, see below. Left on, each is looked for anew at every colon and slash of a long
// text and then thrown away: seconds of every paint, for a text made for it.
parser.linkify.add("ftp:", null).add("//", null);
// What is no link for us stays as it was written, brackets and all; an image is a link here.
parser.validateLink = (address) => safeUrl(address) !== null;

const TAGS = new Set(
  "p strong em s blockquote ul ol li table thead tbody tr th td hr br".split(" "),
);

export class Markdown {
  #root;
  #blocks = []; // {key, node, info}: what is shown of each block
  #plain = null;
  #text = "";

  constructor(root) {
    this.#root = root;
  }

  // Show a text that begins with the one shown before. Only the blocks that have changed are
  // made anew, most often the last: so what is selected or focused above stays so.
  show(text) {
    if (text === this.#text) return;
    this.#text = text;
    if (text.length > LONGEST) return this.#showPlain(text);
    const env = {};
    const tokens = parser.parse(text, env);
    const lines = text.split(/\r\n?|\n/); // as the parser counts them
    // A definition at the end makes links of brackets above.
    const definitions = Object.keys(env.references ?? {}).length;
    let index = 0;
    for (const block of blocksOf(tokens)) {
      const [from, to] = block[0].map ?? [0, lines.length];
      const key = `${definitions} ${block[0].type} ${lines.slice(from, to).join("\n")}`;
      const old = this.#blocks[index];
      if (old?.key !== key) this.#replace(index, key, block);
      index += 1;
    }
    for (const { node } of this.#blocks.splice(index)) node.remove();
  }

  #replace(index, key, block) {
    const old = this.#blocks[index];
    if (old && isCode(block[0]) && old.info === block[0].info) {
      // The same listing, with more in it: its button keeps the focus, and its place.
      old.node.querySelector("code").textContent = block[0].content;
      old.key = key;
      return;
    }
    const holder = document.createDocumentFragment();
    build(block, holder);
    const node = holder.firstElementChild ?? el("p");
    if (old) old.node.replaceWith(node);
    else this.#root.append(node);
    this.#blocks[index] = { key, node, info: isCode(block[0]) ? block[0].info : null };
  }

  #showPlain(text) {
    if (!this.#plain) {
      this.#plain = el("p", { className: "plain" });
      this.#root.replaceChildren(this.#plain);
    }
    const shown = this.#plain.textContent.length;
    this.#plain.append(text.slice(shown));
  }
}

const isCode = (token) => token.type === "fence" || token.type === "code_block";

function* blocksOf(tokens) {
  let block = [];
  let depth = 0;
  for (const token of tokens) {
    block.push(token);
    depth += token.nesting;
    if (depth === 0) {
      yield block;
      block = [];
    }
  }
}

function build(tokens, parent) {
  const open = [parent];
  for (const token of tokens) {
    const top = open.at(-1);
    if (token.type === "inline") {
      build(token.children, top);
    } else if (token.nesting === 1) {
      open.push(begin(token, top));
    } else if (token.nesting === -1) {
      open.pop();
      if (token.type === "link_close") endLink(top);
    } else {
      top.append(leaf(token, top));
    }
  }
}

// Put the element that a token opens into its parent; return where its children go.
function begin(token, parent) {
  if (token.hidden) return parent; // a paragraph in a list without empty lines
  if (token.type === "link_open") {
    const url = safeUrl(token.attrGet("href"));
    return append(parent, url ? linkTo(url) : el("span"));
  }
  if (token.type === "heading_open") {
    // Below the heading with the speaker's name.
    return append(parent, el(`h${Math.min(6, Number(token.tag[1]) + 2)}`));
  }
  const inner = el(TAGS.has(token.tag) ? token.tag : "span");
  if (token.tag === "ol") inner.start = Number(token.attrGet("start") ?? 1);
  const align = /right|center/.exec(token.attrGet("style") ?? "");
  if (align) inner.className = align[0];
  append(parent, token.tag === "table" ? wide(inner, "Table") : inner);
  return inner;
}

function append(parent, child) {
  parent.append(child);
  return child;
}

// What may be wider than the screen scrolls by itself, with the keyboard too.
function wide(inner, label) {
  return el("div", { className: "wide", tabIndex: 0, role: "region", "aria-label": label }, inner);
}

function endLink(anchor) {
  const url = safeUrl(anchor.href);
  const address = url && addressBeside(anchor, url);
  if (address) anchor.after(address);
}

function leaf(token, parent) {
  if (isCode(token)) return codeBlock(token);
  if (token.type === "code_inline") return el("code", {}, token.content);
  if (token.type === "image") return imageLink(token, parent);
  if (token.type === "hardbreak") return el("br");
  if (token.type === "hr") return el("hr");
  return token.type === "softbreak" ? "\n" : token.content;
}

function codeBlock(token) {
  const language = (token.info ?? "").trim().split(/\s/)[0].slice(0, 30);
  const code = el("code", {}, token.content);
  const label = language ? `Code, ${language}` : "Code";
  const pre = el("pre", { tabIndex: 0, role: "region", "aria-label": label }, code);
  const bar = el("div", { className: "bar" }, el("span", {}, language || "code"));
  bar.append(copyButton("Copy this code", () => code.textContent, code));
  return el("div", { className: "code" }, bar, pre);
}

// An image would be loaded without a click, and its address could reveal parts of the chat.
function imageLink(token, parent) {
  const name = `Image: ${token.content || "without a name"}`;
  const url = safeUrl(token.attrGet("src"));
  if (!url || parent.closest?.("a")) return `[${name}]`;
  const anchor = linkTo(url);
  anchor.append(name);
  return el("span", {}, anchor, addressBeside(anchor, url) ?? "");
}
