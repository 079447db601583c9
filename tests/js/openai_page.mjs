// Runs docs/openai-sdk.md's code for Node; prints what it printed and its completion, if it has one.
// Reads {code, origin} on stdin.
import OpenAI from 'openai';
import { json } from 'node:stream/consumers';

const { code, origin } = await json(process.stdin);
const printed = [];
const body = code
  .replace("import OpenAI from 'openai';\n", '')
  .replaceAll('http://localhost:5000', origin);
const run = new Function('OpenAI', 'print', `return (async () => {${body}
  return typeof completion === 'undefined' ? null : completion;})();`);
const completion = await run(OpenAI, text => printed.push(text));
process.stdout.write(JSON.stringify({ printed, content: completion?.choices[0].message.content ?? null }));
