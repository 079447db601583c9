import { isToolUIPart } from 'ai';
import { useEffect, useRef } from 'react';
import { asText, toldOf } from '../../static/calls.js';
import { addressOf, imageOrLink, safeUrl } from '../../static/links.js';
import { Markdown } from '../../static/markdown.js';

// decide: called with a call that waits and whether the user has said yes; null while nobody can.
export function Parts({ parts, own, writing, decide }) {
  const sources = parts.filter(({ type }) => type === 'source-url');
  if (own) return parts.map(({ text }, index) => <p key={index} className="text">{text}</p>);
  return (
    <div className="body">
      {parts.map((part, index) => <Part key={index} part={part} writing={writing} decide={decide} />)}
      {sources.length > 0 && (
        <section className="sources">
          <h3>Sources</h3>
          <ol>{sources.map((source) => <Source key={source.sourceId} {...source} />)}</ol>
        </section>
      )}
    </div>
  );
}

function Part({ part, writing, decide }) {
  if (part.type === 'text') return <Text text={part.text} />;
  if (part.type === 'reasoning' && part.text) {
    return (
      <details className="aside-part">
        <summary>{part.state === 'streaming' ? 'Reasoning…' : 'Reasoned'}</summary>
        <Text text={part.text} />
      </details>
    );
  }
  if (part.type === 'file') return <Picture url={part.url} />;
  if (isToolUIPart(part)) return <Tool part={part} writing={writing} decide={decide} />;
  return null;
}

function Tool({ part, writing, decide }) {
  const { phase, summary, hint, found, unfolded } = toldOf(part, { writing, asks: Boolean(decide) });
  return (
    <details className="aside-part" open={unfolded}>
      <summary>{summary}</summary>
      <pre>{asText(part.input)}</pre>
      {hint && <p className="hint">{hint}</p>}
      {found !== undefined && <pre>{asText(found)}</pre>}
      {phase === 'asks' && (
        <div className="choice" role="group" aria-label={summary}>
          <button onClick={() => decide(part, true)}>Yes</button>
          <button onClick={() => decide(part, false)}>No</button>
        </div>
      )}
    </details>
  );
}

function Source({ url, title }) {
  const address = safeUrl(url); // it is of a model's making
  if (!address) return <li>{title || url}</li>;
  return (
    <li>
      <a href={address.href} target="_blank" rel="noopener noreferrer nofollow">{title || addressOf(address)}</a>
      {title && <span className="address"> ({addressOf(address)})</span>}
    </li>
  );
}

// These two show by the plain page's own means what a model wrote and drew.

function Text({ text }) {
  const node = useRef(null);
  const markdown = useRef(null);
  useEffect(() => {
    markdown.current ??= new Markdown(node.current);
    markdown.current.show(text);
  }, [text]);
  return <div className="markdown" ref={node} />;
}

function Picture({ url }) {
  const node = useRef(null);
  useEffect(() => node.current.replaceChildren(imageOrLink(url, 'An image by the model')), [url]);
  return <p className="picture" ref={node} />;
}
