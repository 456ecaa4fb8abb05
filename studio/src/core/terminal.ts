// What both ends of a terminal's connection agree on: numbers, roles, and what there is to do.
// The twin of outlast/wire/terminal.py; FORMATS.md ("Live connections") tells the rules in words.

import type { Frame } from "./frame";

export const VERSION = 1;
export type Role = "driver" | "viewer";

// Times in seconds, as in the vectors.
export const INPUT_WINDOW_BYTES = 256 << 10; // sent but not taken by the PTY
export const PIECE_BYTES = 64 << 10; // one INPUT frame
export const DRAWN_STEP_BYTES = 32 << 10; // DRAWN is said after so much, or when all is drawn
export const DRAWN_LEAST_BYTES = 1 << 10; // and it was more than the echo of some keys
export const PING_S = 2;
export const DEAD_S = 6; // without any frame
export const RETRY_BELIEVED_S = 60; // a server that was just started may not know its sessions yet
export const FIRST_PAUSE_S = 0.1;
export const LONGEST_PAUSE_S = 5;
export const LEAST_CONNECTION_S = 0.05; // no more than 20 connections a second

export type Action =
  // Send this to the other end.
  | { do: "send"; frame: Frame }
  // Draw these bytes of the journal, then say drawn(offset + their number). In a replay, queries
  // were asked before: the terminal must not answer them.
  | { do: "draw"; offset: number; data: Uint8Array; isReplay: boolean }
  // Reset the terminal, draw `data` (a screen, maybe empty), then say drawn(offset).
  | { do: "reset"; offset: number; data: Uint8Array }
  // The bytes [start, end) of the journal will not be drawn.
  | { do: "skipped"; start: number; end: number; why: string }
  // All that was there at the attach is drawn: the terminal may answer queries from now on.
  | { do: "live" }
  // The session has this size, for those who don't drive it.
  | { do: "sized"; columns: number; rows: number }
  // Welcomed: the connection is up. `server` changes when the server was started again.
  | { do: "attached"; session: string; server: string; live: number; first: number }
  | News
  // The PTY has taken so much of what was typed.
  | { do: "accepted"; totalBytes: number; queuedBytes: number }
  | Ended
  // Close the socket, if there is one. Unless final, `due` says when to connect again.
  | { do: "closed"; isFinal: boolean; retryS: number; reason: string }
  // Open a connection; then say connected(), cut() or refused().
  | { do: "connect" };

// Who is here.
export interface News {
  do: "news";
  role: Role;
  isFenced: boolean; // another driver took over
  driver: string | null;
  viewers: string[];
  droppedBytes: number; // typed, but never taken, since another drives now
}

// The session is over, and all of its output was handed over.
export interface Ended {
  do: "ended";
  code: number | null;
  signal: number | null;
  tNs: number | null;
  message: string;
  status: string;
}

// This value as an integer, at least `least`. Throws when it isn't one.
export function whole(value: unknown, least = 0): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < least) {
    throw new RangeError(`${JSON.stringify(value)} isn't a whole number from ${least}`);
  }
  return value;
}
