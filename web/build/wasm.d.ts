/** The compiler's own types would replace those of arrays everywhere. */
import type { Plugin } from 'vite';

export declare function wasm(): Plugin;
