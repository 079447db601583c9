// Speaks to our app with the AI SDK's own client, and to the same upstream with its own server.
// Reads {jobs: [{op, ...}], atOnce} on stdin, prints what came of each.
import * as ai from 'ai';
import {
  DefaultChatTransport,
  TextStreamChatTransport,
  asSchema,
  convertToModelMessages,
  readUIMessageStream,
  streamText,
  toUIMessageStream,
  uiMessageChunkSchema,
} from 'ai';
import { play } from './chat.mjs';
import { functions, modelOf } from './models.mjs';

globalThis.AI_SDK_LOG_WARNINGS = false;
const chunkSchema = asSchema(uiMessageChunkSchema);

const told = error => ({
  name: error.name,
  message: error.message,
  status: error.statusCode ?? null,
});

async function lastOf(stream, errors) {
  let last = null;
  for await (const message of readUIMessageStream({ stream, onError: e => errors.push(told(e)) }))
    last = message;
  return last;
}

// One request through a transport: every chunk, and the message they add up to.
async function ask({ api, body, messages, text, headers, messageId, trigger }) {
  const Transport = text ? TextStreamChatTransport : DefaultChatTransport;
  const transport = new Transport({ api, body, headers });
  const chunks = [];
  const errors = [];
  let message = null;
  try {
    const stream = await transport.sendMessages({
      chatId: 'chat-1',
      trigger: trigger ?? 'submit-message',
      messageId,
      messages,
    });
    const noted = stream.pipeThrough(
      new TransformStream({
        async transform(chunk, controller) {
          const valid = await chunkSchema.validate(chunk);
          if (!valid.success) throw valid.error;
          chunks.push(chunk);
          controller.enqueue(chunk);
        },
      }),
    );
    message = await lastOf(noted, errors);
  } catch (error) {
    errors.push(told(error));
  }
  return { chunks, message, errors };
}

// The usage as we tell it; their server would say nothing of it by itself.
function usageOf({ totalUsage: usage }) {
  if (usage.totalTokens == null) return undefined;
  return {
    inputTokens: usage.inputTokens ?? 0,
    outputTokens: usage.outputTokens ?? 0,
    totalTokens: usage.totalTokens,
    reasoningTokens: usage.outputTokenDetails?.reasoningTokens ?? 0,
    cachedInputTokens: usage.inputTokenDetails?.cacheReadTokens ?? 0,
  };
}

// The AI SDK's own server: what it makes of the response of the same upstream.
async function served({ messages, toolNames, ...settings }, onError) {
  const { model, tools: run, providerOptions } = modelOf(settings);
  const tools = { ...functions(toolNames), ...run };
  const result = streamText({
    model,
    messages: await convertToModelMessages(messages),
    allowSystemInMessages: true,
    tools,
    providerOptions,
    maxRetries: 0,
    onError: ({ error }) => onError(error),
  });
  return toUIMessageStream({
    stream: result.stream,
    tools,
    sendReasoning: true,
    sendSources: true,
    messageMetadata: ({ part }) => {
      const usage = part.type === 'finish' ? usageOf(part) : undefined;
      return usage && { usage };
    },
  });
}

async function theirs(job) {
  const chunks = [];
  const errors = [];
  let message = null;
  try {
    const stream = await served(job, error => errors.push(told(error)));
    const noted = stream.pipeThrough(
      new TransformStream({
        transform(chunk, controller) {
          chunks.push(JSON.parse(JSON.stringify(chunk)));
          controller.enqueue(chunk);
        },
      }),
    );
    message = await lastOf(noted, errors);
  } catch (error) {
    errors.push(told(error));
  }
  return { chunks, message, errors };
}

// A chat as a page has it. Our server and theirs take turns with the requests, in this order and
// again from its beginning.
function chat({ order = ['ours'], theirs, ...job }) {
  const errors = [];
  const onError = error => errors.push(told(error));
  let sent = 0;
  const transportOf = ours => ({
    sendMessages: options =>
      order[sent++ % order.length] === 'ours'
        ? ours.sendMessages(options)
        : served({ ...theirs, messages: options.messages }, onError),
    reconnectToStream: () => null,
  });
  return play(ai, job, { errors, onError, transportOf });
}

const operations = { ask, theirs, chat };
let input = '';
for await (const piece of process.stdin) input += piece;
const { jobs, atOnce = 1 } = JSON.parse(input);
const results = [];
for (let i = 0; i < jobs.length; i += atOnce)
  results.push(
    ...(await Promise.all(
      jobs.slice(i, i + atOnce).map(({ op, ...job }) => operations[op](job)),
    )),
  );
process.stdout.write(JSON.stringify(results));
