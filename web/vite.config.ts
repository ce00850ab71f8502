import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

import { wasm } from './build/wasm.js';

export default defineConfig({
  plugins: [wasm(), svelte()],
  // The viewer's worker loads parts of itself only when it needs them.
  worker: { format: 'es', plugins: () => [wasm()] },
  build: {
    target: 'es2022',
    assetsDir: 'assets',
    // Our content security policy refuses data: URLs for scripts and fonts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: { index: 'index.html', viewer: 'viewer.html', player: 'player.html' },
    },
  },
  test: {
    silent: 'passed-only',
    // Some try thousands of damaged messages, on machines that also do something else.
    testTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: { name: 'plain', include: ['test/*.test.ts'], environment: 'node' },
      },
      {
        extends: true,
        // Without it, Svelte would give what renders on a server.
        resolve: { conditions: ['browser'] },
        test: { name: 'pages', include: ['test/pages/*.test.ts'], environment: 'happy-dom' },
      },
    ],
  },
});
