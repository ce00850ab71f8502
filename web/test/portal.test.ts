/** The way from the viewer back to the portal. */
import { afterEach, describe, expect, it, vi } from 'vitest';

import { asOrigin, portalOrigin } from '../src/viewer/portal';

describe('the portal’s origin', () => {
  afterEach(() => {
    vi.unstubAllGlobals();
  });

  it.each([
    'https://desk.example.org',
    'https://desk.example.org:8443',
    'http://127.0.0.1:8080',
    'http://[::1]:8080',
    'https://xn--fiqs8s.example',
  ])('%s is one', (text) => {
    expect(asOrigin(text)).toBe(text);
  });

  it.each([
    '',
    'null',
    'desk.example.org',
    '//desk.example.org',
    'https://',
    'https://desk.example.org/',
    'https://desk.example.org/path',
    'https://desk.example.org?q',
    'https://desk.example.org#f',
    'https://desk.example.org:443',
    'http://desk.example.org:80',
    'https://Desk.example.org',
    'HTTPS://desk.example.org',
    ' https://desk.example.org',
    'https://desk.example.org\n',
    'https:\\\\desk.example.org',
    'https://ada@desk.example.org',
    'https://ada:pw@desk.example.org',
    'https://desk.example.org"><script>',
    'https://中国.example',
    'https%3A%2F%2Fdesk.example.org',
    'javascript:alert(1)',
    'javascript://desk.example.org/%0aalert(1)',
    'data:text/html,x',
    'blob:https://desk.example.org/1',
    'file:///etc/passwd',
    'ftp://desk.example.org',
    'wss://desk.example.org',
    'about:blank',
  ])('%j is none', (text) => {
    expect(asOrigin(text)).toBeNull();
  });

  it('is read from the gateway’s cookie, among others', () => {
    const cookies =
      'beamdesk-lang=en; beamdesk-portal=https://desk.example.org; beamdesk-theme=dark';
    vi.stubGlobal('document', { cookie: cookies });
    expect(portalOrigin()).toBe('https://desk.example.org');
  });

  it('is not known without one', () => {
    vi.stubGlobal('document', { cookie: 'x-beamdesk-portal=https://desk.example.org' });
    expect(portalOrigin()).toBeNull();
  });
});
