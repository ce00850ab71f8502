/** What is asked of graphics cards, in words. */
import type { GpuRequest } from '../api/client';
import type { Need } from '../text/en';
import { words } from '../text/words.svelte';
import { memory } from '../ui/format';

/** A whole card, in thousandths. */
export const WHOLE_CARD = 1000;

/** No card, and no demand. */
export function noGpu(): Required<GpuRequest> {
  return {
    count: 0,
    memory_mib: 0,
    cores: 0,
    bandwidth_gb_s: 0,
    models: [],
    share_milli: WHOLE_CARD,
  };
}

/** With all fields, for a form. */
export function whole(gpu: GpuRequest | null | undefined): Required<GpuRequest> {
  const plain = { ...noGpu(), ...gpu };
  return { ...plain, models: [...plain.models] };
}

/** What a form says, without what means nothing: a part is of one card only. */
export function settled(gpu: Required<GpuRequest>): Required<GpuRequest> {
  return { ...gpu, share_milli: gpu.count === 1 ? gpu.share_milli : WHOLE_CARD };
}

/** For the reasons why there is no room. */
export function need(gpu: GpuRequest | null | undefined): Need {
  const all = whole(gpu);
  return {
    count: all.count,
    share: all.share_milli,
    memory: all.memory_mib > 0 ? memory(all.memory_mib) : '',
    cores: all.cores,
    bandwidth: all.bandwidth_gb_s,
    models: all.models.join(', '),
  };
}

/** In a few words: `2 × RTX A6000, 48 GiB each`. Empty when nothing is asked. */
export function gpuText(gpu: GpuRequest | null | undefined): string {
  const t = words.t.gpu;
  const all = whole(gpu);
  const models = all.models.join(' / ');
  const demands = [
    ...(all.memory_mib > 0 ? [memory(all.memory_mib)] : []),
    ...(all.cores > 0 ? [t.coresOf(all.cores)] : []),
    ...(all.bandwidth_gb_s > 0 ? [t.bandwidthOf(all.bandwidth_gb_s)] : []),
  ];
  // A minimum of an image or a station may say what a card must be like, and ask for none.
  if (all.count === 0) return [...(models === '' ? [] : [models]), ...demands].join(', ');
  const what = () => {
    if (all.share_milli < WHOLE_CARD) return t.shareOf(all.share_milli, models);
    return models === '' ? t.cards(all.count) : t.cardsOf(all.count, models);
  };
  return demands.length === 0 ? what() : t.with(what(), all.count, demands);
}
