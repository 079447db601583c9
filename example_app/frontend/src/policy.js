import { config } from 'zod';

// zod, which the AI SDK checks messages with, tries whether it may make functions out of text.
// The app's Content-Security-Policy says no, and the browser's console tells of every try. So
// this module comes before all others.
config({ jitless: true });
