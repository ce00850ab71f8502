// Runs the end-to-end tests one after another: each starts a whole system and a real Chromium.
import { readdirSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const filter = process.argv[2] ?? '';
const files = readdirSync(here)
  .filter((name) => name.endsWith('.test.mjs') && name.includes(filter))
  .map((name) => join(here, name));
if (files.length === 0) {
  console.error(`no end-to-end test has "${filter}" in its name`);
  process.exit(2);
}
// Of a file and of a test: with a real cloud, a guest is booted, perhaps an emulated one.
const limit = process.env.BEAMDESK_LAB ? 1_500_000 : 240_000;
const result = spawnSync(
  process.execPath,
  [
    '--test',
    '--test-concurrency=1',
    '--test-reporter=spec',
    `--test-timeout=${limit}`,
    '--experimental-strip-types',
    '--disable-warning=ExperimentalWarning',
    ...files,
  ],
  { stdio: 'inherit' },
);
process.exit(result.status ?? 1);
