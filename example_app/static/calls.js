// What is said of a tool call: how far it has come, and whether its user has to decide on it.

// {phase, summary, hint, found, unfolded} of a part.
// writing: whether its answer is being written. asks: whether the user can decide now.
export function toldOf(part, { writing, asks }) {
  const phase = phaseOf(part, writing, asks);
  const [summary, hint] = PHASES[phase];
  return {
    phase,
    summary: summary(`the tool “${part.toolName ?? part.type.slice(5)}”`),
    hint,
    found: part.errorText ?? part.output,
    // Also a call that was allowed, and failed all the same.
    unfolded: UNFOLDED.includes(phase) || (phase === "failed" && part.approval !== undefined),
  };
}

function phaseOf({ state, output, errorText, approval }, writing, asks) {
  if (state === "output-denied") return "denied";
  if (errorText !== undefined) return "failed";
  if (output !== undefined) return "done";
  if (writing) return "runs";
  if (state === "approval-requested") return asks ? "asks" : "passed";
  if (state !== "approval-responded") return "unanswered";
  return approval.approved ? "unknown" : "denied";
}

const PHASES = {
  runs: [(tool) => `Uses ${tool}`, ""],
  done: [(tool) => `Used ${tool}`, "Its result:"],
  failed: [(tool) => `Tried ${tool}`, "Its error:"],
  asks: [(tool) => `May ${tool} be used?`, "It is used only if you say yes, and with just this."],
  denied: [(tool) => `Did not use ${tool}`, "You said no."],
  passed: [(tool) => `Asked for ${tool}`, "You went on without a yes or no."],
  unknown: [(tool) => `Asked for ${tool}`, "You said yes. There is no result of it here."],
  unanswered: [
    (tool) => `Asks for ${tool}`,
    "It has no result. If you go on, that is what the model is told.",
  ],
};

const UNFOLDED = ["asks", "unknown", "unanswered"];

export const asText = (value) =>
  typeof value === "string" ? value : JSON.stringify(value, null, 2);
