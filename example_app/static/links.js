// Links and images of a model's making: they lead nowhere by themselves, and say where to.

import { el } from "./dom.js";

const LONGEST = 70;

// The URL if a person may be sent there, else null. A relative one would be one of our own pages.
export function safeUrl(text) {
  try {
    const url = new URL(text);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url : null;
  } catch {
    return null;
  }
}

export function linkTo(url) {
  return el("a", { href: url.href, target: "_blank", rel: "noopener noreferrer nofollow" });
}

// The address as a person should read it: without a name before an @, which is there to
// deceive, and with the host first, and whole.
export function addressOf(url) {
  const host = url.protocol === "mailto:" ? "" : url.host;
  const rest = (url.pathname + url.search + url.hash).replace(/^\/$/, "");
  const room = Math.max(12, LONGEST - host.length);
  return host + (rest.length > room ? `${rest.slice(0, room)}…` : rest);
}

// The address to show beside a link, or null when its text is the address already.
export function addressBeside(anchor, url) {
  const text = anchor.textContent.trim();
  if (text === addressOf(url) || safeUrl(text)?.href === url.href) return null;
  return el("span", { className: "address" }, " (", el("bdi", {}, addressOf(url)), ")");
}

// SVG is not among them: it is a document more than an image.
const DATA_IMAGE = /^data:image\/(?:png|jpeg|webp|gif|avif);base64,/i;

// An image that came with a message: shown if it brings its own bytes, else only linked.
export function imageOrLink(address, name) {
  if (DATA_IMAGE.test(address)) return el("img", { src: address, alt: name });
  const url = safeUrl(address);
  if (!url) return el("span", { className: "address" }, `${name} (of a kind not shown here)`);
  const anchor = linkTo(url);
  anchor.append(name);
  return el("span", {}, anchor, addressBeside(anchor, url) ?? "");
}
