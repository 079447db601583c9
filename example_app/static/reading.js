// Reads an answer while it is being written; when the connection is lost, on from where it was.

import { ask } from "./api.js";
import { events } from "./sse.js";

const PAUSES = [0.5, 1, 2, 4, 8, 16, 16]; // seconds before each try to connect again

export const streamOf = (response) => response.headers.get("X-LLMChat-Stream");

// Give each chunk of an answer; fewer than all when it cannot be read to its end.
// url: of the provider's route.
export async function* chunks(response, url, signal) {
  const stream = streamOf(response);
  let last = 0; // the number of the last event
  let pauses = PAUSES.values();
  while (response?.status === 200) {
    try {
      for await (const { id, data } of events(response.body)) {
        last = id || last;
        pauses = PAUSES.values();
        if (data === "[DONE]") return;
        yield JSON.parse(data);
      }
    } catch (error) {
      if (!stream) throw error;
    }
    signal.throwIfAborted();
    response = stream && (await connect(`${url}/${stream}/stream?startIndex=${last}`));
  }

  // Return the response with the rest; null when there is none.
  async function connect(rest) {
    for (const seconds of pauses) {
      await pause(seconds);
      const again = await ask(rest, { signal }).catch(() => null);
      signal.throwIfAborted();
      if (again?.ok) return again; // also the 204 of a stream that is gone
    }
    return null;
  }

  // It ends sooner when the device is online again, or nobody waits any more.
  function pause(seconds) {
    return new Promise((resolve) => {
      setTimeout(resolve, seconds * 1000);
      addEventListener("online", resolve, { once: true });
      signal.addEventListener("abort", resolve, { once: true });
    });
  }
}
