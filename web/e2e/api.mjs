// The portal's API as a script sees it: a cookie jar and the headers of our own pages.
import { password } from './system.mjs';

export class Api {
  constructor(origin) {
    this.origin = origin;
    this.cookies = new Map();
  }

  async call(method, path, body, headers = {}) {
    const response = await fetch(this.origin + path, {
      method,
      redirect: 'manual',
      headers: {
        'X-Beamdesk': '1',
        Origin: this.origin,
        Cookie: [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; '),
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      if (value === '' || /max-age=0/i.test(line)) this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, json: parsed(text) };
  }

  /** Like `call`, but anything else than success ends the test. */
  async ask(method, path, body) {
    const answer = await this.call(method, path, body);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
    return answer.json;
  }

  /** Makes the first administrator through the link that was printed. */
  async setUp(system, name = 'ada') {
    const token = new URL(system.setup_link).hash.slice(1);
    return await this.ask('POST', '/api/v1/setup', { token, name, password });
  }

  async logIn(name = 'ada') {
    return await this.ask('POST', '/api/v1/session', { name, password });
  }

  async desktops() {
    return (await this.ask('GET', '/api/v1/desktops')).desktops;
  }

  async desktop(id) {
    const answer = await this.call('GET', `/api/v1/desktops/${id}`);
    return answer.status === 404 ? undefined : answer.json;
  }

  async create(name = 'First desktop', size = 'small') {
    return await this.ask('POST', '/api/v1/desktops', { name, image: 'debian-desktop', size });
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
