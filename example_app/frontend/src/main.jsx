import './policy.js';
import '../../static/style.css';
import { StrictMode, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { Chat } from './chat.jsx';
import { opened, sentence } from './server.js';

function App({ choices, first }) {
  const [choice, setChoice] = useState(choices.find(({ name }) => name === first));
  const [model, setModel] = useState(choice.model);
  const [count, setCount] = useState(0);

  function pick(name) {
    const picked = choices.find((one) => one.name === name);
    setChoice(picked);
    setModel(picked.model);
  }

  return (
    <>
      <header className="top">
        <a className="brand" href="/react/">flask_llmchat</a>
        <nav aria-label="Main"><a href="/">Plain page</a> <a href="/settings">Settings</a></nav>
      </header>
      <main>
        <div className="talk">
          <h1 className="unseen">Chat</h1>
          <form className="choices" autoComplete="off" onSubmit={(event) => event.preventDefault()}>
            <div className="field">
              <label htmlFor="provider">Provider</label>
              <select id="provider" value={choice.name} onChange={(e) => pick(e.target.value)}>
                {choices.map(({ name, label, ready }) => (
                  <option key={name} value={name}>{ready ? label : `${label} (no key)`}</option>
                ))}
              </select>
            </div>
            <div className="field">
              <label htmlFor="model">Model</label>
              <input id="model" type="text" maxLength={256} spellCheck={false} list="models"
                value={model} onChange={(e) => setModel(e.target.value)} />
              <datalist id="models">
                {choice.models.map((name) => <option key={name} value={name} />)}
              </datalist>
            </div>
            <button type="button" aria-label="New chat" onClick={() => setCount(count + 1)}>New</button>
          </form>
          {/* Another key is another chat, with an id of its own. */}
          <Chat key={count} choice={choice} model={model.trim()} />
        </div>
      </main>
    </>
  );
}

const root = createRoot(document.getElementById('root'));
try {
  const given = await opened;
  root.render(<StrictMode><App {...given} /></StrictMode>);
} catch (error) {
  if (error.status === 401) location.assign('/login?next=/react/');
  else root.render(<p className="banner problem" role="alert">{sentence(error)}</p>);
}
