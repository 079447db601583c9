import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

export default defineConfig({
  base: '/react/', // where react.py serves what is built
  plugins: [react()],
  build: {
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 700, // the AI SDK and React are half a megabyte, a third of it on the wire
    modulePreload: { polyfill: false }, // one script less; browsers of today need none
  },
  server: {
    fs: { allow: ['..'] }, // the style and the Markdown are the plain page's, in ../static
    // Without changeOrigin, so that Flask sees the address that the browser is at, and makes
    // its redirects, and compares the referrers of forms, with that one.
    proxy: { '^/(?!react/)': { target: 'http://127.0.0.1:5000', changeOrigin: false } },
  },
});
