// Server-sent events, read by hand: EventSource can only GET.

// Give the data of each event in a response's body, as it comes.
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = ""; // the beginning of a line whose end is still to come
  let data = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      rest += value;
      if (!value.includes("\n")) continue;
      const lines = rest.split(/\r?\n/);
      rest = lines.pop();
      for (const line of lines) {
        // Anything else is a comment, to keep the connection alive, or of no use here.
        if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
        if (line === "" && data.length) {
          yield data.join("\n");
          data = [];
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // a caller that stops early closes the connection
  }
}
