// Speaks to our app with the client of any major of the AI SDK.
// Reads {sdk, op, jobs} on stdin, prints what came of each. The op is ask for one response to
// {api, body, messages}, chat for what a user does on a page: see chat.mjs; workflow for a page with
// the transport of @ai-sdk/workflow.
import { WorkflowChatTransport } from '@ai-sdk/workflow/client';
import { play } from './chat.mjs';

globalThis.AI_SDK_LOG_WARNINGS = false;
let input = '';
for await (const piece of process.stdin) input += piece;
const { sdk: name, op = 'ask', jobs } = JSON.parse(input);
const sdk = await import(name);

async function ask({ api, body, messages }) {
  const errors = [];
  const onError = error => errors.push(error.message);
  let message = null;
  try {
    const stream = await new sdk.DefaultChatTransport({ api, body }).sendMessages({
      chatId: 'chat-1',
      trigger: 'submit-message',
      messages,
    });
    for await (const next of sdk.readUIMessageStream({ stream, onError })) message = next;
  } catch (error) {
    onError(error);
  }
  return { message, errors };
}

// A transport that asks for the rest of a response by itself when the connection breaks off.
const workflow = ({ body, ...options }) =>
  new WorkflowChatTransport({
    ...options,
    prepareSendMessagesRequest: ({ id, messages, trigger, messageId }) => ({
      body: { ...body, id, messages, trigger, messageId },
    }),
  });

const operations = {
  ask,
  chat: job => play(sdk, job),
  workflow: job => play(sdk, job, { transportWith: workflow }),
};
process.stdout.write(JSON.stringify(await Promise.all(jobs.map(operations[op]))));
