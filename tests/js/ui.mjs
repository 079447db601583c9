// Speaks to our app with the AI SDK's own client, and to the same upstream with its own server.
// Reads {jobs: [{op, ...}], atOnce} on stdin, prints what came of each.
import {
  DefaultChatTransport,
  TextStreamChatTransport,
  asSchema,
  convertToModelMessages,
  lastAssistantMessageIsCompleteWithToolCalls,
  readUIMessageStream,
  streamText,
  toUIMessageStream,
  uiMessageChunkSchema,
} from 'ai';
import { Chat } from './chat.mjs';
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

// A chat as a page has it: what the user does, one after the other. Our server and theirs take
// turns with the requests, in this order and again from its beginning.
async function chat({ api, body, steps, messages, order = ['ours'], theirs }) {
  const errors = [];
  const finished = [];
  const ours = new DefaultChatTransport({ api, body });
  let sent = 0;
  const transport = {
    sendMessages: options =>
      order[sent++ % order.length] === 'ours'
        ? ours.sendMessages(options)
        : served({ ...theirs, messages: options.messages }, error => errors.push(told(error))),
    reconnectToStream: () => null,
  };
  const chat = new Chat({
    id: 'chat-1',
    messages,
    transport,
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithToolCalls,
    onError: error => errors.push(told(error)),
    onFinish: ({ finishReason, isAbort, isError }) =>
      finished.push({ finishReason, isAbort, isError }),
  });
  const snapshots = [];
  for (const step of steps) {
    if (step.send) await chat.sendMessage({ text: step.send });
    if (step.regenerate) await chat.regenerate();
    if (step.stopAfter) {
      const sending = chat.sendMessage({ text: 'stop me' });
      while (!JSON.stringify(chat.messages).includes(step.stopAfter))
        await new Promise(resolve => setTimeout(resolve, 5));
      await chat.stop();
      await sending;
    }
    if (step.toolOutput) {
      const part = chat.lastMessage.parts.find(p => p.toolCallId === step.toolOutput.id);
      if (!part) break; // an error is among them
      await chat.addToolOutput({
        tool: part.type.slice(5),
        toolCallId: part.toolCallId,
        output: step.toolOutput.output,
      });
      while (finished.length < step.toolOutput.until)
        await new Promise(resolve => setTimeout(resolve, 5));
    }
    snapshots.push({ status: chat.status, messages: structuredClone(chat.messages) });
  }
  return { snapshots, errors, finished };
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
