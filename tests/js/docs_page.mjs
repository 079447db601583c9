// Runs a block of the docs as a page would: {code, origin, cookie, elements, messages} on stdin.
// `elements` are what document.querySelector() finds. Prints them, and the response if there is one.
import { json } from 'node:stream/consumers';

const { code, origin, cookie = '', elements, messages } = await json(process.stdin);
const fromPage = (path, init) =>
  fetch(new URL(path, origin), { ...init, headers: { ...init.headers, cookie } });
const document = { querySelector: selector => elements[selector] };
const AsyncFunction = (async () => {}).constructor;
const run = new AsyncFunction(
  'document', 'fetch', 'messages',
  `${code}\nreturn typeof response === 'undefined' ? null : response;`,
);
const response = await run(document, fromPage, messages);
await elements.form?.onsubmit({ preventDefault() {} });
const told = response && { status: response.status, text: await response.text() };
process.stdout.write(JSON.stringify({ elements, response: told }));
