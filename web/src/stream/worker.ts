/** The worker that holds a session: socket, decoding, proof. The page only puts finished pixels. */
import { frameWay, loadCore } from './core';
import { isSameView, type ToPage, type ToWorker } from './link';
import { RemoteSurface } from './remote';
import type { Session, View } from './session';

function post(message: ToPage, transfer: Transferable[] = []): void {
  self.postMessage(message, { transfer });
}

const surface = new RemoteSurface(
  (brush, transfer) => {
    post({ type: 'brush', brush }, transfer);
  },
  frameWay,
  () => performance.now(),
);

let session: Session | null = null;
let told: View | null = null;

async function open(message: Extract<ToWorker, { type: 'open' }>): Promise<void> {
  session = await loadCore(message, surface, {
    changed: (view) => {
      // Said at each frame; told when something is different.
      if (told && isSameView(told, view)) return;
      told = view;
      post({ type: 'changed', view });
    },
    cursor: (cursor) => {
      post({ type: 'cursor', cursor });
    },
    resized: (size) => {
      post({ type: 'resized', size });
    },
    shown: (sample) => {
      post({ type: 'shown', sample });
    },
    slice: (change) => {
      post({ type: 'slice', change }, change.kind === 'values' ? [change.values.buffer] : []);
    },
  });
  post({ type: 'ready' });
}

self.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  switch (data.type) {
    case 'open':
      open(data).catch((error: unknown) => {
        post({ type: 'failed', message: String(error) });
      });
      break;
    case 'call': {
      const { call, with: given } = data.call;
      (session?.[call] as ((...given: unknown[]) => void) | undefined)?.apply(session, given);
      if (call === 'close') self.close();
      break;
    }
    case 'stroke':
      surface.stroke(data.stroke);
      break;
    case 'pixels':
      void session?.pixels(data.area).then((pixels) => {
        post({ type: 'pixels', id: data.id, pixels }, [pixels.data.buffer]);
      });
      break;
  }
};
