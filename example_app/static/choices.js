// Who is asked: provider, model and temperature. The last choice is kept in this browser.

import { byId } from "./dom.js";

const provider = byId("provider");
const model = byId("model");
const temperature = byId("temperature");

// Of a provider's route; null when it is not offered here any more.
export const url = (name = provider.value) => optionOf(name)?.dataset.url ?? null;
export const label = (name = provider.value, modelName = model.value.trim()) => {
  return `${optionOf(name)?.text ?? name} · ${modelName}`;
};
export const chosen = () => ({ provider: provider.value, model: model.value.trim() });
export const settings = () => ({
  model: model.value.trim(),
  temperature: Number(temperature.value),
});

// Whether there is a model to ask; else its input gets the focus, and what to do is said below.
export function isComplete() {
  showMissing(!model.value.trim());
  if (byId("no-model").hidden) return true;
  model.focus();
  return false;
}

function showMissing(isMissing) {
  byId("no-model").hidden = !isMissing;
  model.setAttribute("aria-invalid", String(isMissing));
}

// Pick a provider, if there is one of that name.
export function pick(name, modelName) {
  if (!optionOf(name)) return;
  provider.value = name;
  showProvider(modelName);
}

function optionOf(name) {
  return [...provider.options].find((option) => option.value === name);
}

function showProvider(modelName) {
  const { value, text, dataset } = optionOf(provider.value);
  model.setAttribute("list", `models-${value}`);
  model.value = modelName ?? dataset.model;
  const noKey = byId("no-key");
  noKey.hidden = "ready" in dataset;
  noKey.querySelector("span").textContent = text;
  showMissing(false);
}

function showTemperature() {
  byId("temperature-value").value = Number(temperature.value).toFixed(1);
}

function remember() {
  try {
    const choice = [provider.value, model.value, temperature.value];
    localStorage.setItem("choice", JSON.stringify(choice));
  } catch {
    // No storage in this browser: the page begins with the default choice.
  }
}

function recall() {
  try {
    const [name, modelName, degree] = JSON.parse(localStorage.getItem("choice"));
    pick(name, modelName);
    temperature.value = degree;
  } catch {
    // Nothing kept, or nothing we can read.
  }
}

byId("choices").addEventListener("submit", (event) => event.preventDefault());
provider.addEventListener("change", () => {
  showProvider();
  remember();
});
model.addEventListener("change", remember);
model.addEventListener("input", () => showMissing(false));
temperature.addEventListener("input", showTemperature);
temperature.addEventListener("change", remember);

showProvider();
recall();
showTemperature();
