// One frame of a live connection: kind u8 | number u64, big-endian | payload. One binary message of
// a WebSocket each. The twin of outlast/wire/frame.py; what each kind means stands there.

export const HELLO = 1;
export const WELCOME = 2;
export const PING = 3;
export const PONG = 4;
export const BYE = 5;

export const OUTPUT = 16;
export const SNAPSHOT = 17;
export const GAP = 18;
export const DRAWN = 19;
export const INPUT = 20;
export const ACCEPTED = 21;
export const SIZE = 22;
export const NEWS = 23;
export const EXIT = 24;

export const HEAD_BYTES = 9;
export const MAX_PAYLOAD_BYTES = 1 << 20;

const NOTHING = new Uint8Array(0);

export interface Frame {
  kind: number;
  number: number;
  payload: Uint8Array;
}

export type Said = Record<string, unknown>;

// These bytes are no frame; the connection can't go on.
export class Malformed extends Error {}

export function frame(kind: number, number = 0, payload: Uint8Array = NOTHING): Frame {
  return { kind, number, payload };
}

export function telling(kind: number, number: number, fields: Said): Frame {
  return { kind, number, payload: new TextEncoder().encode(JSON.stringify(fields)) };
}

// The JSON object of the payload. Throws when it isn't one.
export function said(from: Frame): Said {
  const text = new TextDecoder("utf-8", { fatal: true }).decode(from.payload);
  const value: unknown = JSON.parse(text);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Malformed("the payload isn't a JSON object");
  }
  return value as Said;
}

export function encode(from: Frame): Uint8Array<ArrayBuffer> {
  const message = new Uint8Array(HEAD_BYTES + from.payload.length);
  const view = new DataView(message.buffer);
  view.setUint8(0, from.kind);
  view.setBigUint64(1, BigInt(from.number));
  message.set(from.payload, HEAD_BYTES);
  return message;
}

export function decode(message: Uint8Array): Frame {
  if (message.length < HEAD_BYTES || message.length > HEAD_BYTES + MAX_PAYLOAD_BYTES) {
    throw new Malformed(`a frame of ${message.length} bytes`);
  }
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  const number = Number(view.getBigUint64(1));
  // 8 PB of output: nothing that a journal holds.
  if (!Number.isSafeInteger(number)) throw new Malformed(`the number ${number}`);
  return { kind: view.getUint8(0), number, payload: message.subarray(HEAD_BYTES) };
}
