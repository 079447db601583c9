// Reads answers of our app with an older major of the AI SDK's client.
// Reads {sdk, jobs: [{api, body, messages}]} on stdin, prints what came of each.
let input = '';
for await (const piece of process.stdin) input += piece;
const { sdk, jobs } = JSON.parse(input);
const { DefaultChatTransport, readUIMessageStream } = await import(sdk);

async function ask({ api, body, messages }) {
  const errors = [];
  const onError = error => errors.push(error.message);
  let message = null;
  try {
    const stream = await new DefaultChatTransport({ api, body }).sendMessages({
      chatId: 'chat-1',
      trigger: 'submit-message',
      messages,
    });
    for await (const next of readUIMessageStream({ stream, onError })) message = next;
  } catch (error) {
    onError(error);
  }
  return { message, errors };
}

process.stdout.write(JSON.stringify(await Promise.all(jobs.map(ask))));
