/** Reservations with the names of what they are for. */
import type { Reservation, Size, Station } from '../../api/client';

interface Name {
  id: string;
  name: string;
}

/** A reservation as people read it. */
export type Named = Omit<Reservation, 'station' | 'size'> & { station: Name; size: Name };

/** What is gone is called by its id. */
export function named(
  one: Reservation,
  stations: readonly Station[],
  sizes: readonly Size[],
): Named {
  const find = (all: readonly Name[], id: string): Name => ({
    id,
    name: all.find((other) => other.id === id)?.name ?? id,
  });
  return { ...one, station: find(stations, one.station), size: find(sizes, one.size) };
}
