// Asks for every recording with the openai package, and prints what its accumulator makes of it.
import OpenAI from "openai";
import { json } from "node:stream/consumers";

const { port, jobs } = await json(process.stdin);
const told = {};

function summary(completion) {
  const [choice] = completion.choices;
  return {
    role: choice.message.role,
    text: choice.message.content ?? "",
    reasoning: choice.message.reasoning_content ?? choice.message.reasoning ?? "",
    tool_calls: (choice.message.tool_calls ?? []).map((call) => ({
      id: call.id,
      name: call.function.name,
      arguments: call.function.arguments,
    })),
    finish_reason: choice.finish_reason,
    usage: completion.usage ?? null,
  };
}

for (const { id, route } of jobs) {
  const client = new OpenAI({
    baseURL: `http://127.0.0.1:${port}/api/chat/${route}`,
    apiKey: "sk-of-the-client",
    maxRetries: 0,
  });
  const asked = { model: "gpt-4.1", messages: [{ role: "user", content: id }] };
  const usage = { stream_options: { include_usage: true } };
  const out = (told[id] = {});
  try {
    const stream = client.chat.completions.stream({ ...asked, ...usage });
    out.accumulated = summary(await stream.finalChatCompletion());
    out.loop = "";
    out.usages = 0;
    for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
      out.loop += chunk.choices[0]?.delta.content ?? "";
      if (chunk.usage && !chunk.choices.length) out.usages += 1;
    }
    out.whole = summary(await client.chat.completions.create(asked));
  } catch (error) {
    out.error = String(error.stack);
  }
}
console.log(JSON.stringify(told));
