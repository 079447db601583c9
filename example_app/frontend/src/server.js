import { DefaultChatTransport } from 'ai';

// Requested each time: after a new login in another tab the token is another one.
const headers = async () => ({ Accept: 'text/event-stream', 'X-CSRFToken': await token() });

// What is asked for comes with every question: see `asking` in chat.jsx.
// url: of the provider that may be answering, for a page that comes back to its answer.
export const transportOf = (url) => new DefaultChatTransport({
  headers,
  prepareReconnectToStreamRequest: ({ id, headers }) => ({ api: `${url}/${id}/stream`, headers }),
  prepareSendMessagesRequest: ({ id, messages, body, headers, requestMetadata }) => ({
    api: requestMetadata.url,
    headers,
    body: { ...body, id, messages, known: messages.map((message) => message.id) }, // to be saved
  }),
  fetch: async (...request) => {
    const response = await fetch(...request);
    // The chat's own errors are a sentence already, which the SDK makes its error's message.
    if (response.ok || response.headers.has('X-LLMChat-Error')) return response;
    throw await errorOf(response);
  },
});

// Stop an answer, which goes on without this page.
export async function stopAnswer(url, id) {
  const response = await fetch(`${url}/${id}/stop`, { method: 'POST', headers: await headers() });
  if (!response.ok) throw await errorOf(response);
}

// The messages of a chat that is saved, and the provider that was asked last.
export async function savedChat(id) {
  const messages = [];
  try {
    for (let query = '', page; query !== null; query = page.older && `?before=${page.older}`) {
      page = await getJson(`/api/chats/${id}${query}`);
      messages.unshift(...page.messages);
    }
    return { messages, provider: messages.findLast(({ metadata }) => metadata.provider)?.metadata.provider };
  } catch (error) {
    if (error.status === 404) return { messages }; // nothing was asked yet
    throw error;
  }
}

// What can be asked, and whose page this is.
export const opened = getJson('/api/choices');

async function token() {
  const given = await getJson('/api/token');
  if (given.user === (await opened).user) return given.token;
  throw new Error('Somebody else has logged in here, in another tab. Nothing was sent: reload this page to go on as them.');
}

async function getJson(url) {
  const response = await fetch(url);
  if (!response.ok) throw await errorOf(response);
  return response.json();
}

async function errorOf(response) {
  const { message } = await response.json().catch(() => ({})); // a proxy's page is no JSON
  const shown = message ?? `The server answered with an error (${response.status}).`;
  return Object.assign(new Error(shown), { status: response.status });
}

// Browsers have messages of their own, such as "Failed to fetch".
export const sentence = (error) =>
  error instanceof TypeError ? 'The connection to the server was lost.' : error.message;
