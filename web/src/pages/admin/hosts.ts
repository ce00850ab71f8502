/** What the page of hosts says of cards and hosts. */
import type { Card, Node, NodeHistory } from '../../api/client';
import type { Point } from '../../ui/spark';

export type Standing = 'free' | 'partly' | 'held' | 'assigned' | 'reserved' | 'faulty';

/** Where a card stands, for people: what its host says and who of ours holds it. */
export function standing(card: Card): Standing {
  if (card.state === 'faulty' || card.state === 'reserved') return card.state;
  if (card.holders.length > 0) return card.free_milli > 0 ? 'partly' : 'held';
  return card.state;
}

export const isFree = (card: Card): boolean => standing(card) === 'free';

/** Cards that nobody could ever get do not count. */
export const isUsable = (card: Card): boolean => {
  const where = standing(card);
  return where !== 'reserved' && where !== 'faulty';
};

/** Whether somebody should look. */
export function isTroubled(node: Node): boolean {
  const { state } = node;
  if (state === 'quarantined' || state === 'stale') return true;
  return node.cards.some((card) => card.state === 'faulty' || (card.fault ?? '') !== '');
}

/** Whether a host, one of its cards or who holds it has a text in it. */
export function matches(node: Node, state: string, wanted: string): boolean {
  const text = wanted.trim().toLowerCase();
  if (text === '') return true;
  const told = [
    node.node.name,
    state,
    ...node.stations,
    ...node.cards.flatMap((card) => [
      card.model,
      card.address,
      ...card.holders.flatMap((holder) => [holder.name, holder.owner]),
    ]),
  ];
  return told.some((one) => one.toLowerCase().includes(text));
}

export interface Charts {
  cpu: Point[];
  memory: Point[];
  /** Cards that somebody held. */
  held: Point[];
  /** How many there were at most. */
  cards: number;
  /** Mean of the cards that tell. */
  busy: Point[];
}

/** History as lines; shares of one, but for cards. */
export function charts({ samples }: NodeHistory): Charts {
  const all: Charts = { cpu: [], memory: [], held: [], cards: 0, busy: [] };
  for (const sample of samples) {
    const at = Date.parse(sample.at);
    all.cpu.push({ at, value: sample.cpu_busy_permille / 1000 });
    if (sample.memory_mib > 0) {
      all.memory.push({ at, value: sample.memory_mib_used / sample.memory_mib });
    }
    if (sample.cards_total > 0) all.held.push({ at, value: sample.cards_held });
    all.cards = Math.max(all.cards, sample.cards_total);
    const told = sample.cards.flatMap((card) =>
      typeof card.busy_percent === 'number' ? [card.busy_percent / 100] : [],
    );
    if (told.length > 0) {
      all.busy.push({ at, value: told.reduce((sum, one) => sum + one, 0) / told.length });
    }
  }
  return all;
}
