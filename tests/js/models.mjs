// Models of the AI SDK's own providers, at an address of ours.
import { createAnthropic } from '@ai-sdk/anthropic';
import { createAzure } from '@ai-sdk/azure';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { createXai } from '@ai-sdk/xai';
import { jsonSchema, tool } from 'ai';

const images = { 'image/*': [/^https?:/] };
const stateless = provider => ({ providerOptions: { [provider]: { store: false } } });

// Tools of the provider's own kinds, by the names under which their calls come.
const runByOpenAI = ({ tools }) => ({
  web_search: tools.webSearch({}),
  file_search: tools.fileSearch({ vectorStoreIds: ['vs'] }),
  code_interpreter: tools.codeInterpreter({}),
  image_generation: tools.imageGeneration({}),
  write_sql: tools.customTool?.({}),
});
const runByAnthropic = ({ tools }) => ({
  web_search: tools.webSearch_20250305({}),
  web_fetch: tools.webFetch_20250910({}),
  code_execution: tools.codeExecution_20250825({}),
});

const makers = {
  chat_completions: (settings, model) => {
    const more = { includeUsage: true, supportedUrls: () => images };
    return { model: createOpenAICompatible({ ...settings, ...more })(model) };
  },
  responses: (settings, model) => {
    const create = { azure: createAzure, xai: createXai }[settings.name] ?? createOpenAI;
    const provider = create(settings);
    const name = create === createOpenAI ? 'openai' : settings.name;
    const run = name === 'xai' ? { web_search: provider.tools.webSearch({}) } : runByOpenAI(provider);
    return { model: provider.responses(model), providerTools: run, ...stateless(name) };
  },
  messages: (settings, model) => {
    const provider = createAnthropic(settings);
    return { model: provider(model), providerTools: runByAnthropic(provider) };
  },
};

// What streamText needs for a model: {model, tools, providerOptions}.
export function modelOf({ protocol = 'chat_completions', provider, baseURL, model, options, run }) {
  const settings = { name: provider, baseURL, apiKey: 'sk-x' };
  const { providerTools = {}, providerOptions, ...made } = makers[protocol](settings, model);
  const tools = Object.fromEntries((run ?? []).map(name => [name, providerTools[name]]));
  const [name] = Object.keys(providerOptions ?? { [provider]: {} });
  return {
    ...made,
    tools,
    providerOptions: { [name]: { ...providerOptions?.[name], ...options } },
  };
}

// Tools that the page runs.
export const functions = names =>
  Object.fromEntries(
    (names ?? []).map(name => [name, tool({ inputSchema: jsonSchema({ type: 'object' }) })]),
  );
