// Server-sent events, read by hand: EventSource can only GET.

// Give each event in a response's body as it comes: {id, data}.
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = ""; // the beginning of a line whose end is still to come
  let data = [];
  let id = "";
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
        if (line.startsWith("id:")) id = line.slice(3).trim();
        if (line === "" && data.length) {
          yield { id, data: data.join("\n") };
          data = [];
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // a caller that stops early closes the connection
  }
}
