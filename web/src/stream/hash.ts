/** XXH64, seed 0, by WebAssembly. */
import xxhash from 'xxhash-wasm';

export type Hash = (bytes: Uint8Array) => bigint;

export async function loadHash(): Promise<Hash> {
  const api = await xxhash();
  return (bytes) => api.h64Raw(bytes);
}

/** 16 digits, as the agent writes a root. */
export function hashText(hash: bigint): string {
  return hash.toString(16).padStart(16, '0');
}
