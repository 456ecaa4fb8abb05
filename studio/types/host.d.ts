// What src/core may use of its host besides the language: every browser, worker and Node has these.
// The application is checked against the DOM's own declarations instead.

declare class TextDecoder {
  constructor(label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean });
  decode(bytes?: Uint8Array, options?: { stream?: boolean }): string;
}

declare class TextEncoder {
  encode(text?: string): Uint8Array<ArrayBuffer>;
}

declare class URLSearchParams {
  constructor(init?: Record<string, string>);
  append(name: string, value: string): void;
  toString(): string;
}
