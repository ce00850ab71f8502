/** The time, for pages that say how long something lasts. */
import { createSubscriber } from 'svelte/reactivity';

const follow = createSubscriber((update) => {
  const timer = setInterval(update, 1000);
  return () => {
    clearInterval(timer);
  };
});

/** Now; who reads it is drawn again each second. */
export function now(): number {
  follow();
  return Date.now();
}
