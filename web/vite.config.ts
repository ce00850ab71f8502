import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  plugins: [svelte()],
  build: {
    target: 'es2022',
    assetsDir: 'assets',
    // Our content security policy refuses data: URLs for scripts and fonts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: { input: { index: 'index.html', viewer: 'viewer.html' } },
  },
  test: {
    silent: 'passed-only',
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
