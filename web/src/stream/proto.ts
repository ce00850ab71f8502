/** The stream's protocol; its words are those of docs/protocol.md. */
export * from './control';
export * from './wire';
