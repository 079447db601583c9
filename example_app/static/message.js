// UIMessages: what a chat is made of, here, on the wire and in the database.
// https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol

export function newId() {
  // randomUUID() is there over HTTPS and on localhost only.
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function question(text, files = []) {
  const parts = files.map(({ name, type, url }) => ({
    type: "file",
    mediaType: type,
    filename: name,
    url,
  }));
  if (text) parts.push({ type: "text", text });
  return { id: newId(), role: "user", parts };
}

export function emptyAnswer() {
  return { id: newId(), role: "assistant", parts: [], metadata: {} };
}

export const textOf = (message) =>
  message.parts.map((part) => (part.type === "text" ? part.text : "")).join("");

export const filesOf = (message) => message.parts.filter((part) => part.type === "file");

// Whether to send it to a model; an empty response would only confuse the model.
export const isAnswered = (answer) =>
  answer.parts.some((part) => part.text || part.type.startsWith("tool-") || part.type === "file");

// The calls that wait for the user's yes or no. A response ends with them, so that they are all
// of its last step.
export const waitingIn = (answer) => answer.parts.filter(({ state }) => state === WAITS);

// Give the answer its user's decisions, to be sent; or take them back, if they were not.
export function setDecided(answer, isDecided) {
  const [from, to] = isDecided ? [WAITS, DECIDED] : [DECIDED, WAITS];
  for (const part of answer.parts) {
    if (part.state !== from) continue;
    part.state = to;
    if (!isDecided) delete part.approval.approved;
  }
}

const WAITS = "approval-requested";
const DECIDED = "approval-responded";

// Puts a stream's parts together; each chunk is one event's JSON.
export class Assembler {
  complete = false;
  error = "";
  #message;
  #open = new Map();

  // message: may have parts already, whose calls get their results now.
  constructor(message) {
    this.#message = message;
    for (const part of message.parts) this.#open.set(part.toolCallId, part);
  }

  add(chunk) {
    const { parts, metadata } = this.#message;
    let open = this.#open.get(chunk.id ?? chunk.toolCallId);
    if (chunk.messageMetadata) Object.assign(metadata, chunk.messageMetadata);
    switch (chunk.type) {
      case "start":
        this.#message.id = chunk.messageId ?? this.#message.id;
        break;
      case "text-start":
      case "reasoning-start":
        this.#begin(chunk.id, { type: chunk.type.slice(0, -6), text: "" });
        break;
      case "text-delta":
      case "reasoning-delta":
        open.text += chunk.delta;
        break;
      case "text-end":
      case "reasoning-end":
        if (chunk.providerMetadata) open.providerMetadata = chunk.providerMetadata;
        break;
      case "start-step":
        if (parts.length) parts.push({ type: "step-start" });
        break;
      case "tool-input-start":
        this.#beginCall(chunk);
        break;
      case "tool-input-delta":
        open.input += chunk.inputTextDelta;
        break;
      case "tool-input-available":
      case "tool-input-error":
        open ??= this.#beginCall(chunk); // of an earlier step, in an answer that is read again
        open.input = chunk.input;
        open.state = chunk.errorText ? "output-error" : "input-available";
        if (chunk.errorText) open.errorText = chunk.errorText;
        if (chunk.providerMetadata) open.callProviderMetadata = chunk.providerMetadata;
        break;
      case "tool-approval-request":
        open.state = WAITS;
        open.approval = { id: chunk.approvalId };
        break;
      case "tool-output-denied":
        open.state = "output-denied";
        break;
      case "tool-output-available":
        open.state = "output-available";
        open.output = chunk.output;
        break;
      case "tool-output-error":
        open.state = "output-error";
        open.errorText = chunk.errorText;
        break;
      case "file":
      case "source-url":
        parts.push(chunk);
        break;
      case "abort":
        metadata.outcome = "stopped";
        break;
      case "finish":
        this.complete = true;
        metadata.finishReason = chunk.finishReason;
        break;
      case "error":
        this.error = chunk.errorText;
        break;
      // What a later version of the protocol adds is passed over.
    }
  }

  #beginCall({ toolName, toolCallId }) {
    const type = `tool-${toolName}`;
    return this.#begin(toolCallId, { type, toolCallId, state: "input-streaming", input: "" });
  }

  #begin(id, part) {
    this.#message.parts.push(part);
    this.#open.set(id, part);
    return part;
  }
}
