/** What the user chose for motion, kept for the next desktop in this browser. */
import type { Quality } from '../stream/proto';

const KEY = 'beamdesk-quality';

export function keptQuality(): Quality {
  try {
    const kept = localStorage.getItem(KEY);
    return kept === 'exact_motion' || kept === 'thin_link' ? kept : 'automatic';
  } catch {
    return 'automatic'; // Storage is refused in some private windows.
  }
}

export function keepQuality(quality: Quality): void {
  try {
    localStorage.setItem(KEY, quality);
  } catch {
    // It counts for this page only.
  }
}
