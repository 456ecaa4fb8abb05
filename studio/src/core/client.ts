// The client's half of a terminal, kept over all its connections; the twin of
// outlast/wire/client.py, held to it by the vectors in tests/vectors/wire.
//
// Output is drawn once and in order, or what is missing is told ("skipped"); what was typed is sent
// again until the PTY has taken it, unless another driver took over. A connection without any frame
// for 6 s is dead; the first retry comes at once. Pure: no socket and no clock. Whoever uses it opens
// and closes sockets, drops what an old socket still gives, and calls `due` when `waitS` has passed.

import * as wire from "./frame";
import { frame, said, telling, type Frame, type Said } from "./frame";
import { Queue } from "./queue";
import {
  DEAD_S,
  DRAWN_LEAST_BYTES,
  DRAWN_STEP_BYTES,
  FIRST_PAUSE_S,
  INPUT_WINDOW_BYTES,
  LEAST_CONNECTION_S,
  LONGEST_PAUSE_S,
  PIECE_BYTES,
  PING_S,
  RETRY_BELIEVED_S,
  VERSION,
  whole,
  type Action,
  type News,
  type Role,
} from "./terminal";

type Line = "offline" | "connecting" | "greeting" | "online" | "over";

// So many answers in a row that make no sense, and the other end isn't believed any more.
const MOST_FAULTS = 5;

export interface Wishes {
  key: string; // 32 random hex digits
  role?: Role;
  columns?: number;
  rows?: number;
  who?: string;
  jitter: () => number; // 0 to 1; spreads retries
}

export class ClientHalf {
  role: Role; // the wanted one until welcomed, then the one that was given
  key: string;
  epoch: number | null = null;
  columns: number;
  rows: number;
  offlineSince: number | null = null; // of the first failure; null while online

  private readonly who: string;
  private readonly jitter: () => number;
  private line: Line = "offline";
  // Output: up to where it was handed over, drawn, and told as drawn.
  private receivedTo = 0;
  private isFresh = true; // nothing is on the screen that could be continued
  private isTorn = false; // what is on the screen and what comes next don't join
  private base = 0; // where output begins for a fresh client without a snapshot
  private drawnTo = -1;
  private toldTo = 0;
  private gapFrom = 0; // the last bytes that didn't come
  private gapTo = 0;
  private liveAt = 0;
  private isAtLive = false;
  private exit: Frame | null = null;
  // Input: what isn't accepted yet begins at `accepted`.
  private readonly input = new Queue();
  private accepted = 0;
  private sent = 0;
  // Time, in seconds.
  private heardAt = 0;
  private pingedAt = 0;
  private pings = 0;
  private beganAt = 0;
  private welcomedAt: number | null = null;
  private retryAt = -Infinity;
  private failures = 0;
  private faults = 0;
  private refusedSince: number | null = null;

  constructor(wishes: Wishes) {
    this.key = wishes.key;
    this.role = wishes.role ?? "driver";
    this.columns = wishes.columns ?? 80;
    this.rows = wishes.rows ?? 24;
    this.who = wishes.who ?? "";
    this.jitter = wishes.jitter;
  }

  // ---- what can be asked

  get isOnline(): boolean {
    return this.line === "online";
  }

  get isOver(): boolean {
    return this.line === "over";
  }

  get isLive(): boolean {
    return this.isAtLive;
  }

  get queuedBytes(): number {
    return this.input.length;
  }

  // The beginning of what is queued.
  queued(mostBytes: number): Uint8Array {
    return this.input.slice(0, mostBytes);
  }

  get wantsInput(): boolean {
    return this.input.length < INPUT_WINDOW_BYTES;
  }

  get received(): number {
    return this.receivedTo;
  }

  // How long until `due` has something to say; infinite when the session is over.
  waitS(now: number): number {
    if (this.line === "over") return Infinity;
    if (this.line === "offline") return Math.max(0, this.retryAt - now);
    if (this.line === "online") {
      return Math.max(0, Math.min(this.pingedAt + PING_S, this.heardAt + DEAD_S) - now);
    }
    return Math.max(0, this.beganAt + DEAD_S - now);
  }

  // ---- what the user does

  typed(data: Uint8Array): Action[] {
    if (this.role !== "driver" || this.line === "over") return [];
    this.input.push(data);
    return this.pump();
  }

  resized(columns: number, rows: number): Action[] {
    this.columns = columns;
    this.rows = rows;
    if (this.line !== "online" || this.role !== "driver") return [];
    return [send(telling(wire.SIZE, 0, { columns, rows }))];
  }

  drawn(offset: number): Action[] {
    // There is nothing to draw in a gap.
    if (this.gapFrom <= offset && offset < this.gapTo) offset = this.gapTo;
    if (offset <= this.drawnTo) return [];
    this.drawnTo = offset;
    const actions: Action[] = [];
    const freshBytes = offset - this.toldTo;
    const isAll = freshBytes >= DRAWN_LEAST_BYTES && offset === this.receivedTo;
    if (this.line === "online" && (freshBytes >= DRAWN_STEP_BYTES || isAll)) {
      this.toldTo = offset;
      actions.push(send(frame(wire.DRAWN, offset)));
    }
    return [...actions, ...this.ifLive()];
  }

  // Drive again after another did, by a new connection. `key` must be a new one.
  takeOver(key: string, now: number): Action[] {
    if (this.line === "over") return [];
    this.role = "driver";
    this.key = key;
    this.epoch = null;
    this.dropInput();
    const wasOffline = this.line === "offline";
    this.line = "offline";
    this.retryAt = now;
    return wasOffline ? [] : [{ do: "closed", isFinal: false, retryS: 0, reason: "taking over" }];
  }

  // ---- what the connection does

  connected(now: number): Action[] {
    this.line = "greeting";
    this.beganAt = this.heardAt = this.pingedAt = now;
    this.welcomedAt = null;
    this.isFresh ||= this.isTorn;
    this.isTorn = false;
    const hello = telling(wire.HELLO, 0, {
      version: VERSION,
      role: this.role,
      key: this.key,
      epoch: this.epoch,
      output: this.isFresh ? null : this.receivedTo,
      input: this.accepted,
      columns: this.columns,
      rows: this.rows,
      who: this.who,
    });
    return [send(hello)];
  }

  cut(now: number, reason = "the connection broke"): Action[] {
    if (this.line === "offline" || this.line === "over") return [];
    let retryAt: number;
    if (this.welcomedAt === null) {
      this.refusedSince = null; // no "try again": there was no answer at all
      retryAt = now + this.pauseS();
    } else {
      retryAt = Math.max(now, this.welcomedAt + LEAST_CONNECTION_S);
    }
    return this.goOffline(now, retryAt, reason);
  }

  // The server said BYE, or answered the request for a connection with an error.
  refused(now: number, refusal: { isFinal: boolean; retryS: number; reason: string }): Action[] {
    if (this.line === "offline" || this.line === "over") return [];
    this.refusedSince ??= now;
    if (refusal.isFinal || now - this.refusedSince >= RETRY_BELIEVED_S) {
      this.line = "over";
      return [{ do: "closed", isFinal: true, retryS: 0, reason: refusal.reason }];
    }
    const pauseS = Math.min(Math.max(refusal.retryS, this.pauseS()), LONGEST_PAUSE_S);
    return this.goOffline(now, now + pauseS, refusal.reason);
  }

  // The network is back, or the user looks: the next try comes at once.
  hurry(now: number): void {
    if (this.line === "offline") this.retryAt = Math.min(this.retryAt, now);
  }

  // What time brings: a try to connect, a ping, or the end of a dead connection.
  due(now: number): Action[] {
    if (this.line === "offline" && now >= this.retryAt) {
      this.line = "connecting";
      this.beganAt = now;
      this.welcomedAt = null;
      return [{ do: "connect" }];
    }
    if ((this.line === "connecting" || this.line === "greeting") && now - this.beganAt >= DEAD_S) {
      return this.cut(now, "the server doesn't answer");
    }
    if (this.line === "online") {
      if (now - this.heardAt >= DEAD_S) return this.cut(now, `nothing was heard for ${DEAD_S} s`);
      if (now - this.pingedAt >= PING_S) {
        this.pingedAt = now;
        return [send(frame(wire.PING, ++this.pings))];
      }
    }
    return [];
  }

  // A frame came. One that makes no sense ends the connection, and nothing of it is done.
  heard(came: Frame, now: number): Action[] {
    if (this.line !== "greeting" && this.line !== "online") return [];
    this.heardAt = now;
    if (came.kind === wire.OUTPUT && this.line === "online") return this.output(came, now);
    try {
      if (came.kind === wire.PING) return [send(frame(wire.PONG, came.number))];
      if (came.kind === wire.BYE) return this.bye(said(came), now);
      if (this.line === "online") return this.hear(came, now);
      return came.kind === wire.WELCOME ? this.welcome(said(came), now) : [];
    } catch (error) {
      return this.fault(now, `frame ${came.kind}: ${String(error)}`);
    }
  }

  // ---- frames

  private hear(came: Frame, now: number): Action[] {
    switch (came.kind) {
      case wire.GAP:
        return this.gap(came);
      case wire.SNAPSHOT:
        return this.snapshot(came);
      case wire.ACCEPTED:
        return this.acceptedMore(came, now);
      case wire.SIZE:
        return this.size(came);
      case wire.NEWS: {
        const says = said(came);
        const isFenced = says["role"] === "viewer" && this.role === "driver";
        return [this.news(says, isFenced)];
      }
      case wire.EXIT:
        said(came);
        this.exit = came;
        return this.ifOver();
      default:
        return [];
    }
  }

  private welcome(says: Said, now: number): Action[] {
    const live = whole(says["live"]);
    const attached: Action = {
      do: "attached",
      session: text(says, "session"),
      server: text(says, "server"),
      live,
      first: whole(says["first"]),
    };
    const accepted = whole(says["accepted"]);
    const base = whole(says["output"]);
    const epoch = whole(says["epoch"]);
    const sized = sizedOf(says);
    const news = this.news(says, Boolean(says["fenced"]));
    const ahead = accepted - this.accepted;
    if (this.role === "driver" && !(ahead >= 0 && ahead <= this.input.length)) {
      const kept = `${this.accepted} to ${this.accepted + this.input.length}`;
      return this.fault(now, `input goes on at ${accepted}, but ${kept} is known here`);
    }
    this.line = "online";
    this.welcomedAt = now;
    this.offlineSince = null;
    this.failures = 0;
    this.refusedSince = null;
    this.liveAt = live;
    this.base = base;
    this.isAtLive = false;
    this.exit = null;
    const actions: Action[] = [attached, news];
    if (this.role === "driver") {
      this.epoch = epoch;
      this.take(accepted);
      this.sent = accepted;
    } else {
      actions.push(sized);
    }
    if (this.isFresh && live <= base) {
      // Nothing will come: it is empty.
      actions.push(...this.begin(base, new Uint8Array(0)));
      this.drawnTo = base;
    }
    this.toldTo = this.receivedTo;
    return [...actions, ...this.ifLive(), ...this.pump()];
  }

  private output(came: Frame, now: number): Action[] {
    const end = came.number + came.payload.length;
    const actions: Action[] = [];
    if (this.isFresh) {
      if (came.number !== this.base) {
        return this.fault(now, `output at ${came.number}, not ${this.base}`);
      }
      actions.push(...this.begin(came.number, new Uint8Array(0)));
    } else if (came.number > this.receivedTo) {
      return this.fault(now, `output at ${came.number}, not ${this.receivedTo}`);
    }
    let start = this.receivedTo;
    let data = came.payload.subarray(Math.max(0, this.receivedTo - came.number));
    if (data.length === 0) return actions;
    this.receivedTo = end;
    this.faults = 0;
    this.isTorn = false;
    if (start < this.liveAt && this.liveAt < end) {
      const cut = this.liveAt - start;
      actions.push({ do: "draw", offset: start, data: data.subarray(0, cut), isReplay: true });
      start = this.liveAt;
      data = data.subarray(cut);
    }
    actions.push({ do: "draw", offset: start, data, isReplay: start < this.liveAt });
    return this.exit === null ? actions : [...actions, ...this.ifOver()];
  }

  private gap(came: Frame): Action[] {
    const says = said(came);
    let start = whole(says["from"]);
    const why = text(says, "why");
    const actions: Action[] = [];
    if (this.isFresh) {
      start = this.receivedTo || start;
      actions.push({ do: "reset", offset: came.number, data: new Uint8Array(0) });
      this.isFresh = false;
      this.drawnTo = -1;
    } else if (came.number <= this.receivedTo) {
      return [];
    } else {
      start = this.receivedTo;
    }
    // Were the connection cut here, the next one had to begin with a whole screen.
    this.isTorn = true;
    this.receivedTo = this.toldTo = came.number;
    if (start < came.number) actions.push({ do: "skipped", start, end: came.number, why });
    if (this.gapTo !== start) this.gapFrom = start;
    this.gapTo = came.number;
    return [...actions, ...this.drawn(this.drawnTo), ...this.ifOver()];
  }

  private snapshot(came: Frame): Action[] {
    this.faults = 0;
    return [...this.begin(came.number, came.payload), ...this.ifOver()];
  }

  // The screen begins anew at `offset`; what wasn't drawn before it is told.
  private begin(offset: number, screen: Uint8Array): Action[] {
    const actions: Action[] = [];
    if (this.receivedTo > 0 && this.receivedTo < offset) {
      actions.push({ do: "skipped", start: this.receivedTo, end: offset, why: "skipped" });
    }
    this.isFresh = this.isTorn = false;
    this.receivedTo = this.toldTo = offset;
    this.drawnTo = -1;
    this.gapFrom = this.gapTo = 0;
    actions.push({ do: "reset", offset, data: screen });
    return actions;
  }

  private acceptedMore(came: Frame, now: number): Action[] {
    if (this.role !== "driver" || came.number <= this.accepted) return [];
    if (came.number > this.sent) {
      return this.fault(now, `${came.number} bytes accepted of ${this.sent} sent`);
    }
    this.faults = 0;
    this.take(came.number);
    const told: Action = {
      do: "accepted",
      totalBytes: came.number,
      queuedBytes: this.input.length,
    };
    return [told, ...this.pump()];
  }

  private size(came: Frame): Action[] {
    const sized = sizedOf(said(came));
    return this.role === "driver" ? [] : [sized];
  }

  private bye(says: Said, now: number): Action[] {
    return this.refused(now, {
      isFinal: says["final"] === true,
      retryS: Number(says["retry_s"] ?? 0) || 0,
      reason: String(says["reason"] ?? "") || "the server ended the connection",
    });
  }

  // ---- what follows from it

  private news(says: Said, isFenced: boolean): News {
    const role = says["role"];
    if (role !== "driver" && role !== "viewer") {
      throw new RangeError(`${JSON.stringify(role)} is no role`);
    }
    if (!("driver" in says) || !Array.isArray(says["viewers"])) {
      throw new RangeError("who is here isn't told");
    }
    const driver = says["driver"];
    const viewers = says["viewers"].map(String);
    let droppedBytes = 0;
    if (role === "viewer" && this.role === "driver") {
      droppedBytes = this.input.length;
      this.dropInput();
      this.epoch = null;
    }
    if (role === "viewer") this.role = "viewer";
    return {
      do: "news",
      role: this.role,
      isFenced,
      driver: driver === null ? null : String(driver),
      viewers,
      droppedBytes,
    };
  }

  // Send what was typed, as far as the window goes.
  private pump(): Action[] {
    const actions: Action[] = [];
    if (this.line !== "online" || this.role !== "driver") return actions;
    const end = this.accepted + Math.min(this.input.length, INPUT_WINDOW_BYTES);
    while (this.sent < end) {
      const start = this.sent - this.accepted;
      const piece = this.input.slice(start, Math.min(start + PIECE_BYTES, end - this.accepted));
      actions.push(send(frame(wire.INPUT, this.sent, piece)));
      this.sent += piece.length;
    }
    return actions;
  }

  private take(accepted: number): void {
    this.input.take(accepted - this.accepted);
    this.accepted = accepted;
  }

  private dropInput(): void {
    this.input.clear();
    this.accepted = this.sent = 0;
  }

  private ifLive(): Action[] {
    const isBehind = this.drawnTo < this.liveAt;
    if (this.isAtLive || this.isFresh || this.line !== "online" || isBehind) return [];
    this.isAtLive = true;
    return [{ do: "live" }];
  }

  private ifOver(): Action[] {
    if (this.exit === null || this.receivedTo < this.exit.number) return [];
    const says = said(this.exit);
    this.line = "over";
    return [
      {
        do: "ended",
        code: (says["code"] ?? null) as number | null,
        signal: (says["signal"] ?? null) as number | null,
        tNs: (says["t_ns"] ?? null) as number | null,
        message: String(says["message"] ?? ""),
        status: String(says["status"] ?? ""),
      },
    ];
  }

  // Doubles with each failure in a row.
  private pauseS(): number {
    this.failures++;
    const doublings = Math.min(this.failures - 1, 16);
    const mostS = Math.min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** doublings);
    return mostS * (0.5 + 0.5 * this.jitter());
  }

  private goOffline(now: number, retryAt: number, reason: string): Action[] {
    this.line = "offline";
    this.retryAt = retryAt;
    this.isAtLive = false;
    this.offlineSince ??= now;
    return [{ do: "closed", isFinal: false, retryS: retryAt - now, reason }];
  }

  // The other end said what can't be. A new connection sets most of it right.
  private fault(now: number, reason: string): Action[] {
    const shown = `the server isn't understood: ${reason}`;
    if (++this.faults >= MOST_FAULTS) {
      this.line = "over";
      return [{ do: "closed", isFinal: true, retryS: 0, reason: shown }];
    }
    return this.goOffline(now, now + this.pauseS(), shown);
  }
}

function send(what: Frame): Action {
  return { do: "send", frame: what };
}

function text(says: Said, name: string): string {
  if (!(name in says)) throw new RangeError(`${name} is missing`);
  return String(says[name]);
}

function sizedOf(says: Said): Action {
  return { do: "sized", columns: whole(says["columns"], 1), rows: whole(says["rows"], 1) };
}
