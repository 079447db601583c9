// Small things that all modules need.

export const byId = (id) => document.getElementById(id);

// Make an element. Texts become text nodes: nothing in this page is ever parsed as HTML.
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

export function button(text, onclick, props = {}) {
  return el("button", { type: "button", onclick, ...props }, text);
}

// Announce something to screen readers: only beginnings and endings, since a response that is read
// out word by word would stutter.
export function announce(text) {
  byId("status").textContent = text;
}

export async function copy(text, from) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Only pages that came over HTTPS, or from this machine, may write to it.
    getSelection().selectAllChildren(from);
    return false;
  }
}

export function copyButton(label, textOf, from) {
  const made = button("Copy", async () => {
    made.textContent = (await copy(textOf(), from)) ? "Copied" : "Selected: press Ctrl+C";
    announce(made.textContent);
    setTimeout(() => (made.textContent = "Copy"), 2500);
  });
  made.className = "quiet copy";
  made.setAttribute("aria-label", label);
  return made;
}
