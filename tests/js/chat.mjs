// A chat as a page has it, with any major of the AI SDK: what useChat keeps it in, without React,
// and what the user does.

class State {
  status = 'ready';
  error = undefined;
  constructor(messages, changed = () => {}) {
    this.messages = messages;
    this.changed = changed;
  }
  pushMessage = message => {
    this.messages = [...this.messages, message];
    this.changed(message);
  };
  popMessage = () => {
    this.messages = this.messages.slice(0, -1);
  };
  replaceMessage = (index, message) => {
    this.messages = this.messages.map((old, i) => (i === index ? structuredClone(message) : old));
    this.changed(message);
  };
  snapshot = thing => structuredClone(thing);
}

export const chatOf = ({ AbstractChat }) =>
  class Chat extends AbstractChat {
    constructor({ messages = [], changed, ...init }) {
      super({ ...init, state: new State(messages, changed) });
    }
  };

const MAX_REQUESTS = 20; // a page that sends more would send for ever
const soon = () => new Promise(resolve => setTimeout(resolve, 5));

// A response whose connection breaks off after so many events.
function cutOff(response, events) {
  let came = '';
  const decoder = new TextDecoder();
  const body = response.body.pipeThrough(
    new TransformStream({
      async transform(bytes, controller) {
        came += decoder.decode(bytes, { stream: true });
        const pieces = came.split('\n\n');
        const whole = pieces.slice(0, Math.min(pieces.length - 1, events));
        events -= whole.filter(piece => !piece.startsWith(':')).length;
        came = pieces.slice(whole.length).join('\n\n');
        controller.enqueue(new TextEncoder().encode(whole.map(piece => `${piece}\n\n`).join('')));
        if (events > 0) return;
        await new Promise(resolve => setTimeout(resolve, 20)); // or they are lost, too
        controller.error(new TypeError('network error'));
      },
    }),
  );
  return new Response(body, response);
}

// Plays what the user does, one step after the other, and tells what came of each.
// tools: the outputs of those that the page runs, by name.
// sendWhen: names of the SDK's functions, of which one has to say that the page sends by itself.
// transportWith: makes another transport than the SDK's own, from its options.
// cuts: after how many events the responses to the first requests break off.
// onError, transportOf: for a page whose requests do not all go to us.
export async function play(
  sdk,
  {
    api,
    body,
    steps,
    messages = [],
    tools = {},
    sendWhen = [
      'lastAssistantMessageIsCompleteWithToolCalls',
      'lastAssistantMessageIsCompleteWithApprovalResponses', // not in version 5
    ],
    cuts = [],
  },
  {
    onError,
    transportWith = options => new sdk.DefaultChatTransport(options),
    transportOf = ours => ours,
    errors = [],
  } = {},
) {
  const finished = []; // how each request has ended
  const requests = []; // the bodies of those to us
  const asked = []; // all of them, with the status of their responses
  const called = []; // the tools that the page was asked to run
  const shown = []; // every state that a tool part was seen in
  const outputs = new Set();
  const Chat = chatOf(sdk);
  const told = onError ?? (error => errors.push({ message: error.message }));
  const transport = transportOf(
    transportWith({
      api,
      body,
      fetch: async (url, init) => {
        if (init.body) requests.push(JSON.parse(init.body));
        const request = { method: init.method ?? 'GET', path: url.slice(api.length) };
        if (asked.push(request) > MAX_REQUESTS) throw new Error('The page sends for ever.');
        const response = await fetch(url, init);
        request.status = response.status;
        return cuts.length ? cutOff(response, cuts.shift()) : response;
      },
    }),
  );

  function note({ parts }) {
    for (const { toolCallId, state, input, output, errorText, preliminary } of parts) {
      if (!toolCallId || state === 'input-streaming') continue;
      const seen = JSON.stringify({ toolCallId, state, input, output, errorText, preliminary });
      const last = shown.findLast(other => other.toolCallId === toolCallId);
      if (JSON.stringify(last) !== seen) shown.push(JSON.parse(seen));
    }
  }

  const begin = messages =>
    new Chat({
      id: 'chat-1',
      messages,
      transport,
      changed: note,
      sendAutomaticallyWhen: options => sendWhen.some(name => sdk[name]?.(options)),
      onError: told,
      onFinish: ({ finishReason, isAbort, isError }) =>
        finished.push({ finishReason, isAbort, isError }),
      onToolCall({ toolCall: { toolName: tool, toolCallId } }) {
        called.push(tool);
        if (tool in tools) outputs.add(chat.addToolOutput({ tool, toolCallId, output: tools[tool] }));
      },
    });

  let chat = begin(messages);
  const actions = {
    send: text => chat.sendMessage({ text }),
    regenerate: () => chat.regenerate(),
    // Leaves the page, and comes back to what it has stored.
    reload: () => {
      chat = begin(JSON.parse(JSON.stringify(chat.messages)));
    },
    // The same with "resume": to what the app has saved, which is what it was sent, if it was not
    // more; and looks for a response that is still being written.
    resume: ({ saved = 'sent' }) => {
      chat = begin(saved === 'sent' ? requests.at(-1).messages : structuredClone(chat.messages));
      return chat.resumeStream();
    },
    // Presses the stop button.
    stop: async () => {
      await fetch(`${api}/chat-1/stop`, { method: 'POST' });
      await chat.stop();
    },
    toolOutput: async ({ id, output }) => {
      const part = chat.lastMessage.parts.find(part => part.toolCallId === id);
      if (part) await chat.addToolOutput({ tool: part.type.slice(5), toolCallId: id, output });
    },
    // Decides on the calls that wait: by the tools' names, whether each is approved, and why.
    decide: async decisions => {
      const parts = chat.messages.flatMap(message => message.parts);
      for (const { type, state, approval } of parts) {
        const decision = decisions[type.slice(5)];
        if (state === 'approval-requested' && decision)
          await chat.addToolApprovalResponse({ id: approval.id, ...decision });
      }
    },
  };
  const snapshots = [];
  for (const { stopAfter, button, ...step } of steps) {
    const [[action, value]] = Object.entries(step);
    const acting = actions[action](value);
    if (stopAfter) {
      while (!JSON.stringify(chat.messages).includes(stopAfter)) await soon();
      await (button ? actions.stop() : chat.stop());
    }
    await acting;
    await Promise.all(outputs);
    while (chat.status === 'submitted' || chat.status === 'streaming') await soon();
    snapshots.push({ status: chat.status, messages: structuredClone(chat.messages) });
    try {
      await sdk.validateUIMessages({ messages: chat.messages });
      await sdk.convertToModelMessages(chat.messages);
    } catch (error) {
      told(error);
    }
  }
  return { snapshots, errors, finished, requests, asked, called, shown };
}
