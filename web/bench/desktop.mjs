// A whole system: start, create to first exact frame, and what an idle desktop costs.
import { readFileSync } from 'node:fs';
import { connectHere, exact, loggedIn, ready } from '../e2e/desktop.mjs';
import { System, browser } from '../e2e/system.mjs';

const rounds = 5;
const idle_s = 30;
const ticks_per_s = 100; // USER_HZ, the same on every Linux of today

/** CPU seconds that these processes have used. */
function cpu(pids) {
  let ticks = 0;
  for (const pid of pids) {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / ticks_per_s;
}

export async function bench({ figure }) {
  const system = await System.start();
  const { chrome, context } = await browser({ viewport: { width: 1920, height: 1080 } });
  try {
    const { api, page: portal } = await loggedIn(system, context);

    const created = [];
    let id;
    for (let round = 0; round < rounds; round++) {
      const began = performance.now();
      ({ id } = await api.create(`Round ${round}`));
      await ready(api, id);
      const page = await context.newPage();
      await page.goto(portal.url());
      await Promise.all([page.waitForURL(/\/d\//), page.evaluate(connectHere, id)]);
      await exact(page);
      created.push(performance.now() - began);
      if (round < rounds - 1) {
        await page.close();
        await api.ask('DELETE', `/api/v1/desktops/${id}`);
        while ((await api.desktops()).length > 0) await new Promise((wake) => setTimeout(wake, 50));
      }
    }
    figure('desktop.create_to_exact', 'ms', created);

    // A terminal's blinking cursor, with a viewer that looks on.
    const { DISPLAY, XAUTHORITY } = system.display();
    const { spawn } = await import('node:child_process');
    const terminal = spawn('xterm', ['-bc', '-geometry', '80x24+100+100'], {
      env: { ...process.env, DISPLAY, XAUTHORITY },
      stdio: 'ignore',
    });
    await new Promise((wake) => setTimeout(wake, 3000));
    const agent = system.processes('beamdesk-agent').concat(system.processes('agent'));
    const pids = [system.process.pid, ...new Set(agent)];
    const before = cpu(pids);
    await new Promise((wake) => setTimeout(wake, idle_s * 1000));
    figure('desktop.idle_cpu', '% core', [((cpu(pids) - before) / idle_s) * 100]);
    terminal.kill();

    const starts = [];
    for (let round = 0; round < rounds; round++) {
      await system.down();
      const began = performance.now();
      await system.up();
      starts.push(performance.now() - began);
    }
    figure('desktop.start', 'ms', starts);
  } finally {
    await chrome.close();
    await system.end();
  }
}
