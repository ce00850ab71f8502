/** Which page is shown: the path of the address, nothing more. */

class Router {
  #path = $state(location.pathname);

  get path(): string {
    return this.#path;
  }

  /** Goes to another page of ours. */
  go(path: string): void {
    if (path !== location.pathname) history.pushState(null, '', path);
    this.#arrive();
  }

  /** Follows the browser's own buttons, and links of ours without loading the page anew. */
  listen(): void {
    addEventListener('popstate', () => {
      this.#arrive();
    });
    document.addEventListener('click', (event) => {
      const isPlain =
        event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
      const link = event.target instanceof Element ? event.target.closest('a') : null;
      if (!isPlain || event.defaultPrevented || link?.target !== '') return;
      if (link.origin !== location.origin || link.hash !== '') return;
      event.preventDefault();
      this.go(link.pathname);
    });
  }

  #arrive(): void {
    this.#path = location.pathname;
    scrollTo(0, 0);
    // So that a screen reader says where one is.
    requestAnimationFrame(() => {
      document.querySelector<HTMLElement>('main h1')?.focus({ preventScroll: true });
    });
  }
}

export const router = new Router();
