// Runs docs/fetch.md's code for connections that break, as a page would, and says how it ended.
// Reads {code, origin, cuts} on stdin: after how many bytes its responses break off.
import { json } from 'node:stream/consumers';

const { code, origin, cuts } = await json(process.stdin);
const asked = [];

function cutOff(response, bytes) {
  const body = response.body.pipeThrough(
    new TransformStream({
      async transform(value, controller) {
        controller.enqueue(value.subarray(0, bytes));
        bytes -= value.byteLength;
        if (bytes > 0) return;
        await new Promise(resolve => setTimeout(resolve, 20)); // or they are lost, too
        controller.error(new TypeError('network error'));
      },
    }),
  );
  return new Response(body, response);
}

const fromPage = async (path, init) => {
  const response = await fetch(new URL(path, origin), init);
  asked.push(`${init?.method ?? 'GET'} ${path} ${response.status}`);
  return cuts.length ? cutOff(response, cuts.shift()) : response;
};
const chat = new Function('fetch', `${code}\nreturn chatToTheEnd;`)(fromPage);
let shown = '';
let error = null;
try {
  await chat([{ role: 'user', content: 'Hi' }], text => (shown += text));
} catch (thrown) {
  error = thrown.message;
}
process.stdout.write(JSON.stringify({ shown, error, asked }));
