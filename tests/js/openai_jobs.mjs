// Does each job with the openai package: asks one thing, and prints what comes of it.
import OpenAI from "openai";
import { json } from "node:stream/consumers";

const { port, jobs } = await json(process.stdin);
const told = [];

for (const { url, route, body, accumulate, list, retrieve, retries } of jobs) {
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
    } else if (accumulate) {
      out.completion = await client.chat.completions.stream(body).finalChatCompletion();
    } else if (body.stream) {
      for await (const chunk of await client.chat.completions.create(body)) {
        out.text += chunk.choices[0]?.delta.content ?? "";
      }
      out.complete = true;
    } else {
      out.completion = await client.chat.completions.create(body);
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
