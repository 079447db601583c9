import { config } from 'zod';

// The AI SDK validates messages with zod, which tries whether it may make functions out of text.
// The app's Content-Security-Policy forbids that, and the browser's console reports every try. So
// this module comes before all others.
config({ jitless: true });
