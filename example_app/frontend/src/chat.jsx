import { useChat } from '@ai-sdk/react';
import { lastAssistantMessageIsCompleteWithApprovalResponses } from 'ai';
import { useEffect, useRef, useState } from 'react';
import { Parts } from './parts.jsx';
import { sentence, stopAnswer, transportOf } from './server.js';

const ENDINGS = {
  length: 'The answer stopped here: it reached the longest that was allowed. Ask it to go on.',
  'content-filter': "The provider's filter ended the answer here.",
};

// id, saved: the chat, and its messages as they are saved.
// asked: the provider that was asked last, which may be answering still.
export function Chat({ id, saved, asked, choice, model }) {
  const [transport] = useState(() => transportOf(asked.url));
  const url = useRef(asked.url);
  const [unstopped, setUnstopped] = useState(null);
  const [text, setText] = useState('');
  const [ending, setEnding] = useState('');
  const { messages, status, error, sendMessage, regenerate, addToolApprovalResponse, stop } = useChat({
    id,
    messages: saved,
    resume: true, // an answer that goes on is shown as it is written
    transport,
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses,
    onFinish: ({ isAbort, finishReason }) =>
      setEnding(isAbort ? 'You stopped the answer here.' : (ENDINGS[finishReason] ?? '')),
  });
  const busy = status === 'submitted' || status === 'streaming';
  // What is picked may change between two questions, and the transport stays the same.
  const asking = { body: { chatSettings: { model } }, metadata: { url: choice.url } };

  // Whoever begins a new chat reads this one no longer. It goes on, and is saved.
  const leaving = useRef(stop);
  useEffect(() => void (leaving.current = stop));
  useEffect(() => () => void leaving.current(), []);

  async function stopIt() {
    try {
      await stopAnswer(url.current, id);
      stop();
    } catch (failure) {
      setUnstopped(failure);
    }
  }

  function begin() {
    url.current = choice.url;
    setUnstopped(null);
    setEnding('');
  }

  // Follow the text, but not when its reader has scrolled up to read.
  const scroll = useRef(null);
  const following = useRef(true);
  useEffect(() => {
    if (following.current) scroll.current.scrollTop = scroll.current.scrollHeight;
  });
  function onScroll({ target }) {
    following.current = target.scrollHeight - target.scrollTop - target.clientHeight < 60;
  }

  function submit(event) {
    event.preventDefault();
    if (busy || !text.trim() || !model) return;
    following.current = true;
    begin();
    sendMessage({ text: text.trim() }, asking);
    setText('');
  }

  function again() {
    begin();
    regenerate(asking);
  }

  function decide({ approval }, approved) {
    begin();
    addToolApprovalResponse({ id: approval.id, approved, options: asking });
  }

  function onKeyDown(event) {
    // While an input method composes a character, Enter belongs to it.
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return;
    submit(event);
  }

  return (
    <>
      <div className="scroll" ref={scroll} onScroll={onScroll} tabIndex={0} role="region" aria-label="Conversation">
        {messages.length === 0 && (
          <section className="empty">
            <h2>What would you like to ask?</h2>
            <p>The Demo needs no key. Ask it about your orders, to cancel one, to reason, for sources, an error, or something long.</p>
          </section>
        )}
        <ol className="turns" aria-busy={busy}>
          {messages.map((message) => (
            <li key={message.id} className="turn">
              <div className={message.role === 'user' ? 'question' : 'answer'}>
                <h2 className="unseen">{message.role === 'user' ? 'You' : 'The answer'}</h2>
                <Parts parts={message.parts} own={message.role === 'user'}
                  writing={busy && message === messages.at(-1)}
                  decide={!busy && message === messages.at(-1) ? decide : null} />
                <Usage usage={message.metadata?.usage} />
              </div>
            </li>
          ))}
        </ol>
        <div className="turns">
          {status === 'submitted' && <p className="waiting">Waiting for the first word</p>}
          {(error ?? unstopped) && (
            <div className="failed"><p className="note" role="alert">{sentence(error ?? unstopped)}</p></div>
          )}
          {!busy && !error && ending && <p className="note">{ending}</p>}
          {!busy && messages.length > 0 && (
            <button className="quiet" onClick={again}>{error ? 'Try again' : 'Regenerate'}</button>
          )}
        </div>
      </div>
      {!choice.ready && (
        <p className="hint no-key">
          There is no key for {choice.label} yet. <a href="/settings">Add one in Settings</a>, or pick Demo.
        </p>
      )}
      <form className="composer" onSubmit={submit}>
        <label className="unseen" htmlFor="question">Your message</label>
        <textarea id="question" rows={1} placeholder="Write a message" autoFocus
          value={text} onChange={(e) => setText(e.target.value)} onKeyDown={onKeyDown} />
        {busy
          ? <button type="button" className="stop" onClick={stopIt}>Stop</button>
          : <button className="primary" disabled={!text.trim() || !model}>Send</button>}
      </form>
    </>
  );
}

function Usage({ usage }) {
  if (!usage) return null;
  const thought = usage.reasoningTokens ? `, ${usage.reasoningTokens} of them to reason` : '';
  return <p className="foot">Tokens: {usage.inputTokens} in, {usage.outputTokens} out{thought}</p>;
}
