// Runs docs/fetch.md's code as a page would: asks each question, and prints what is shown last.
// Reads {code, origins} on stdin.
import { json } from 'node:stream/consumers';

const { code, origins } = await json(process.stdin);
const shown = [];
for (const origin of origins) {
  const fromPage = (path, init) => fetch(new URL(path, origin), init);
  const ask = new Function('fetch', `${code.join('\n')}\nreturn ask;`)(fromPage);
  let last = null;
  await ask('Hi', text => (last = text));
  shown.push(last);
}
process.stdout.write(JSON.stringify(shown));
