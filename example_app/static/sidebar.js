// The list of saved chats, with renaming and deleting of the one that is open.

import { ask } from "./api.js";
import { announce, button, byId, el } from "./dom.js";

const list = byId("chats");
const sidebar = byId("sidebar");
const opener = byId("open-sidebar");

// What is done before a chat is deleted: its answer may be being written.
let stopFirst = async () => {};
export const beforeDeleting = (stop) => (stopFirst = stop);

// How often the list was asked for, and which of these lists is shown: an older one may come late.
let asked = 0;
let shown = 0;

// Show the list as the server has it; return the address of the open chat, if it is in there.
export async function refresh(current) {
  const number = ++asked;
  const response = await ask("/api/chats").catch(() => null);
  if (!response?.ok) return undefined;
  const chats = await response.json();
  const open = chats.find((chat) => chat.id === current);
  if (number < shown) return open?.url;
  shown = number;
  list.replaceChildren(...chats.map((chat) => itemOf(chat, chat === open)));
  if (open) document.title = `${open.title} – flask_llmchat example`;
  return open?.url;
}

function itemOf(chat, isCurrent) {
  const link = el("a", { href: chat.url, title: chat.title }, chat.title);
  const item = el("li", {}, link);
  if (!isCurrent) return item;
  link.setAttribute("aria-current", "page");
  const rename = button("Rename", () => showRenaming(item, chat), { className: "quiet rename" });
  const remove = button("Delete", () => confirmDeleting(chat), { className: "quiet" });
  item.append(el("div", { className: "row" }, rename, remove));
  return item;
}

function showRenaming(item, chat) {
  const input = el("input", { type: "text", value: chat.title, maxLength: 200 });
  input.setAttribute("aria-label", "Title of this chat");
  const close = async () => {
    await refresh(chat.id);
    list.querySelector(".rename")?.focus();
  };
  const form = el("form", { className: "renaming" }, input);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const title = input.value.trim();
    if (title) await ask(`/api/chats/${chat.id}`, { method: "PATCH", body: { title } });
    announce(`The chat is called ${title || chat.title}.`);
    close();
  });
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    close();
  });
  item.replaceChildren(form);
  input.select();
}

function confirmDeleting(chat) {
  const dialog = byId("delete-chat");
  dialog.querySelector("strong").textContent = chat.title;
  dialog.returnValue = "";
  dialog.onclose = async () => {
    if (dialog.returnValue !== "delete") return;
    await stopFirst();
    const response = await ask(`/api/chats/${chat.id}`, { method: "DELETE" }).catch(() => null);
    if (response?.ok) location.assign("/");
    else announce("The chat could not be deleted. Please try again.");
  };
  dialog.showModal();
}

// ---- On narrow screens it is drawn over the chat

function setOpen(open) {
  sidebar.classList.toggle("open", open);
  byId("shade").hidden = !open;
  opener.setAttribute("aria-expanded", String(open));
  (open ? byId("new-chat") : opener).focus();
}

opener.addEventListener("click", () => setOpen(!sidebar.classList.contains("open")));
byId("shade").addEventListener("click", () => setOpen(false));
document.addEventListener(
  "keydown",
  (event) => {
    if (event.key !== "Escape" || !sidebar.classList.contains("open")) return;
    event.stopPropagation(); // it is not meant for the answer that is being written
    setOpen(false);
  },
  true,
);
