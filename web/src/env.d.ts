/// <reference types="vite/client" />
/// <reference types="svelte" />

/** AssemblyScript, compiled: the module as base64. */
declare module '*?wasm' {
  export const code: string;
}
