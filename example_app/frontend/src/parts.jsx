import { getToolName, isToolUIPart } from 'ai';
import { useEffect, useRef } from 'react';
import { addressOf, imageOrLink, safeUrl } from '../../static/links.js';
import { Markdown } from '../../static/markdown.js';

export function Parts({ parts, own, writing }) {
  const sources = parts.filter(({ type }) => type === 'source-url');
  if (own) return parts.map(({ text }, index) => <p key={index} className="text">{text}</p>);
  return (
    <div className="body">
      {parts.map((part, index) => <Part key={index} part={part} writing={writing} />)}
      {sources.length > 0 && (
        <section className="sources">
          <h3>Sources</h3>
          <ol>{sources.map((source) => <Source key={source.sourceId} {...source} />)}</ol>
        </section>
      )}
    </div>
  );
}

function Part({ part, writing }) {
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
  if (isToolUIPart(part)) return <Tool part={part} writing={writing} />;
  return null;
}

function Tool({ part, writing }) {
  const result = part.errorText ?? part.output;
  const ended = result !== undefined;
  const done = ended ? 'Used' : writing ? 'Uses' : 'Asks for';
  return (
    <details className="aside-part" open={!ended && !writing}>
      <summary>{done} the tool “{getToolName(part)}”</summary>
      <pre>{asText(part.input)}</pre>
      {ended && <><p className="hint">Its result:</p><pre>{asText(result)}</pre></>}
      {!ended && !writing && <p className="hint">It has no result. If you go on, that is what the model is told.</p>}
    </details>
  );
}

const asText = (value) => (typeof value === 'string' ? value : JSON.stringify(value, null, 2));

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
