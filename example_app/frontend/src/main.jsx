import './policy.js';
import '../../static/style.css';
import { generateId } from 'ai';
import { StrictMode, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { Chat } from './chat.jsx';
import { opened, savedChat, sentence } from './server.js';

// The chat's id is in the page's address: a reload shows the same chat.
const idInAddress = () => location.hash.match(/^#([\w-]{1,64})$/)?.[1];

function newAddress() {
  history.replaceState(null, '', `#${generateId()}`);
}

function App({ choices, first, saved }) {
  const named = (name) => choices.find((choice) => choice.name === name);
  const [asked] = useState(named(saved.provider) ?? named(first));
  const [choice, setChoice] = useState(asked);
  const [model, setModel] = useState(choice.model);
  const [chat, setChat] = useState({ id: idInAddress(), messages: saved.messages });

  function pick(name) {
    const picked = named(name);
    setChoice(picked);
    setModel(picked.model);
  }

  function begin() {
    newAddress();
    setChat({ id: idInAddress(), messages: [] });
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
            <button type="button" aria-label="New chat" onClick={begin}>New</button>
          </form>
          <Chat key={chat.id} id={chat.id} saved={chat.messages} asked={asked}
            choice={choice} model={model.trim()} />
        </div>
      </main>
    </>
  );
}

const root = createRoot(document.getElementById('root'));
try {
  if (!idInAddress()) newAddress();
  const [given, saved] = await Promise.all([opened, savedChat(idInAddress())]);
  root.render(<StrictMode><App {...given} saved={saved} /></StrictMode>);
  addEventListener('hashchange', () => location.reload());
} catch (error) {
  if (error.status === 401) location.assign('/login?next=/react/');
  else root.render(<p className="banner problem" role="alert">{sentence(error)}</p>);
}
