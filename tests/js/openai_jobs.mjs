// Does each job with the openai package: asks one thing, and prints what comes of it. A job with
// results goes on for one more turn with each of them.
import OpenAI from "openai";
import { json } from "node:stream/consumers";

const { port, jobs } = await json(process.stdin);
const told = [];

async function complete(client, body, accumulate) {
  return accumulate
    ? await client.chat.completions.stream(body).finalChatCompletion()
    : await client.chat.completions.create(body);
}

for (const { url, route, body, accumulate, results, list, retrieve, retries } of jobs) {
  const client = new OpenAI({
    baseURL: url ?? `http://127.0.0.1:${port}/api/chat/${route ?? "openai"}`,
    apiKey: "sk-of-the-client",
    maxRetries: retries ?? 0,
  });
  const out = { text: "" };
  told.push(out);
  try {
    if (list) {
      out.models = [];
      for await (const model of client.models.list()) out.models.push(model);
    } else if (retrieve) {
      out.model = await client.models.retrieve(retrieve);
    } else if (body.stream) {
      out.chunks = [];
      for await (const chunk of await client.chat.completions.create(body)) {
        out.chunks.push(chunk);
        out.text += chunk.choices[0]?.delta.content ?? "";
      }
      out.complete = true;
    } else {
      out.completion = await complete(client, body, accumulate);
      for (const content of results ?? []) {
        const { message } = out.completion.choices[0];
        body.messages.push(message); // unchanged
        for (const { id } of message.tool_calls) {
          body.messages.push({ role: "tool", tool_call_id: id, content });
        }
        out.completion = await complete(client, body, accumulate);
      }
    }
  } catch (error) {
    out.error = {
      name: error.constructor.name,
      isApiError: error instanceof OpenAI.APIError,
      message: error.message,
      status: error.status ?? null,
      code: error.code ?? null,
      type: error.type ?? null,
    };
  }
}
console.log(JSON.stringify(told));
