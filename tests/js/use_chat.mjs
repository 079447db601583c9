// Runs an example of docs/use-chat.md as its page would, without React.
// Reads {code, origin} on stdin; prints the messages after the user said hi, and approved what
// there was to approve. A page that has a stop button presses it after half an answer.
import * as ai from 'ai';
import { chatOf } from './chat.mjs';

const Chat = chatOf(ai);

let input = '';
for await (const piece of process.stdin) input += piece;
const { code, origin } = JSON.parse(input);

const shown = [];
const page = {
  ai,
  react: { useChat: init => new Chat(init) },
  showSettings: () => shown.push('settings'),
};
globalThis.fetch = (fetch => (url, init) => fetch(new URL(url, origin), init))(fetch);

const body = code
  .replace(/^import (.*) from '@ai-sdk\/react';$/gm, 'const $1 = page.react;')
  .replace(/^import (.*) from 'ai';$/gm, 'const $1 = page.ai;');
const run = new Function(
  'page',
  'showSettings',
  `${body}\nreturn typeof chat === 'undefined' ? { transport } : {
    chat,
    decide: typeof decide === 'undefined' ? null : decide,
    stop: typeof stop === 'undefined' ? null : stop };`,
);
const made = run(page, page.showSettings);
const chat = made.chat ?? new Chat({ transport: made.transport });
const sent = chat.sendMessage({ text: 'Hi' });
if (made.stop) {
  while (!chat.messages.at(-1)?.parts.some(part => part.text?.startsWith('Half')))
    await new Promise(resolve => setTimeout(resolve, 5));
  await made.stop();
}
await sent;
// What the page does by itself, such as carrying out a tool, it does a little later.
for (let i = 0; i < 20; i++) {
  for (const part of chat.messages.at(-1).parts)
    if (part.state === 'approval-requested') made.decide(part, true);
  await new Promise(resolve => setTimeout(resolve, 10));
  while (chat.status === 'submitted' || chat.status === 'streaming')
    await new Promise(resolve => setTimeout(resolve, 5));
}
process.stdout.write(
  JSON.stringify({ messages: chat.messages, error: chat.error?.message ?? null, shown }),
);
