// Images for the next question: pasted, dropped, or picked with the button.

import { announce, button, byId, el } from "./dom.js";

const TYPES = ["image/png", "image/jpeg", "image/webp", "image/gif"];
const MOST = 4;
const MAX_BYTES = 2_000_000;
const MAX_SIDE = 2048;

const list = byId("images");
const picker = byId("picker");
let attached = []; // {name, type, url}
let reading = Promise.resolve();

export const count = () => attached.length;

// Resolved when everything that was given has been read.
export const ready = () => reading;

export function takeAll() {
  const taken = attached;
  attached = [];
  show();
  return taken;
}

// One after the other, or several at once could be more than fit.
function add(files) {
  reading = reading.then(() => addAll(files));
}

async function addAll(files) {
  tell("");
  for (const file of files) {
    try {
      if (attached.length >= MOST) throw new Error(`At most ${MOST} images go with a message.`);
      attached.push(await read(file));
      announce(`${file.name} is attached.`);
    } catch (error) {
      tell(error.message);
    }
  }
  show();
}

async function read(file) {
  if (!TYPES.includes(file.type)) {
    throw new Error(`${file.name || "This"} is no PNG, JPEG, WebP or GIF image.`);
  }
  const small = file.size > MAX_BYTES ? await shrink(file) : file;
  if (small.size > MAX_BYTES) {
    throw new Error(`${file.name} is larger than ${MAX_BYTES / 1e6} MB, which is the most.`);
  }
  return { name: file.name, type: small.type, url: await dataUrl(small) };
}

// A photo from a phone is larger than any model looks at.
async function shrink(file) {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) throw new Error(`${file.name} cannot be read.`);
  const scale = Math.min(1, MAX_SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = el("canvas", { width: bitmap.width * scale, height: bitmap.height * scale });
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => {
    canvas.toBlob((blob) => resolve(blob ?? file), "image/jpeg", 0.85);
  });
}

function dataUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error("The image cannot be read."));
    reader.readAsDataURL(blob);
  });
}

function show() {
  list.hidden = !attached.length;
  list.replaceChildren(
    ...attached.map((image) => {
      const remove = button("×", () => {
        attached = attached.filter((other) => other !== image);
        show();
        byId("question").focus();
      });
      remove.setAttribute("aria-label", `Remove ${image.name}`);
      return el("li", {}, el("img", { src: image.url, alt: image.name }), remove);
    }),
  );
}

function tell(text) {
  byId("image-problem").textContent = text;
  byId("image-problem").hidden = !text;
}

byId("attach").addEventListener("click", () => picker.click());
picker.addEventListener("change", () => {
  add([...picker.files]);
  picker.value = "";
  byId("question").focus();
});

document.addEventListener("paste", (event) => {
  const { files } = event.clipboardData;
  // What is copied from a text has its picture beside it at times: then the text is meant.
  if (!files.length || event.clipboardData.getData("text/plain")) return;
  event.preventDefault();
  add([...files]);
});

const main = byId("main");
for (const kind of ["dragenter", "dragover"]) {
  main.addEventListener(kind, (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    main.classList.add("dropping");
  });
}
main.addEventListener("dragleave", (event) => {
  if (!main.contains(event.relatedTarget)) main.classList.remove("dropping");
});
main.addEventListener("drop", (event) => {
  main.classList.remove("dropping");
  if (!event.dataTransfer.files.length) return;
  event.preventDefault(); // or the browser would leave the page and show the file
  add([...event.dataTransfer.files]);
});
