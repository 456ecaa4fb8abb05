// A session's terminal over all its connections: ClientHalf with a socket, a clock and a screen.
//
// All three are given, so that this runs without a browser. What comes is drawn in order; what is
// typed waits while the link is down. A link that says nothing for 2 s after a key, or after somebody
// came back to the page, is given up.

import { ClientHalf } from "./client";
import { decode, encode, frame, PING } from "./frame";
import { keysIn } from "./keys";
import { Refusal } from "./rest";
import type { Action, Ended, News, Role } from "./terminal";
import { count } from "./words";

const PROBE_S = 2;
const COUNTED_BYTES = 4096; // of more input, pasted most likely, the size is told

export interface TerminalSocket {
  sendText(text: string): void;
  send(message: Uint8Array<ArrayBuffer>): void;
  close(): void;
}

export interface SocketEvents {
  open(): void;
  message(bytes: Uint8Array): void;
  closed(): void;
}

export interface SessionHost {
  ticket(role: Role): Promise<string>; // rejects with a Refusal
  open(events: SocketEvents): TerminalSocket;
  now(): number; // seconds
  after(seconds: number, call: () => void): () => void;
  key(): string; // 32 random hex digits
  random(): number;
}

// Where it is drawn. `drawn` is called once that is done, in the order of the calls.
export interface Screen {
  draw(data: Uint8Array, isReplay: boolean, drawn: () => void): void;
  reset(data: Uint8Array, drawn: () => void): void;
  sized(columns: number, rows: number): void;
}

export interface Watcher {
  changed(): void; // something that can be asked of the link is another now
  skipped(start: number, end: number, why: string): void;
  news(news: News): void;
  ended(ended: Ended): void;
  refused(reason: string): void; // for good
}

export class SessionLink {
  reason = ""; // why it is offline
  firstKept = 0;
  private readonly half: ClientHalf;
  private socket: TerminalSocket | null = null;
  private round = 0; // tells a late event of an old socket from one of the present
  private cancelTimer: () => void = () => {};
  private cancelProbe: (() => void) | null = null;
  private heardCount = 0;
  private isOpen = true;

  constructor(
    private readonly host: SessionHost,
    private readonly screen: Screen,
    private readonly watcher: Watcher,
    wishes: { role: Role; columns: number; rows: number; who: string },
  ) {
    this.half = new ClientHalf({ ...wishes, key: host.key(), jitter: () => host.random() });
    this.tick();
  }

  get isOnline(): boolean {
    return this.half.isOnline;
  }
  get isOver(): boolean {
    return this.half.isOver;
  }
  get isLive(): boolean {
    return this.half.isLive;
  }
  get role(): Role {
    return this.half.role;
  }
  get queuedBytes(): number {
    return this.half.queuedBytes;
  }
  // What waits, in words; "" when nothing does.
  get queuedText(): string {
    const bytes = this.half.queuedBytes;
    if (bytes > COUNTED_BYTES) return `${Math.floor(bytes / 1024)} KiB of input queued`;
    return bytes ? `${count(keysIn(this.half.queued(COUNTED_BYTES)), "key")} queued` : "";
  }
  get offlineSinceS(): number | null {
    return this.half.offlineSince;
  }
  get received(): number {
    return this.half.received;
  }

  typed(data: Uint8Array): void {
    if (data.length === 0) return;
    this.perform(this.half.typed(data));
    if (this.half.isOnline && this.half.role === "driver") this.probe();
    this.watcher.changed();
  }

  resized(columns: number, rows: number): void {
    this.perform(this.half.resized(columns, rows));
  }

  takeOver(): void {
    this.perform(this.half.takeOver(this.host.key(), this.host.now()));
    this.tick();
  }

  // Somebody looks, or the network is back: try at once, or make sure that the link lives.
  look(): void {
    this.half.hurry(this.host.now());
    if (this.half.isOnline) {
      this.socket?.send(encode(frame(PING, 0)));
      this.probe();
    }
    this.tick();
  }

  dispose(): void {
    this.isOpen = false;
    this.drop();
    this.cancelTimer();
  }

  private probe(): void {
    if (this.cancelProbe) return;
    const before = this.heardCount;
    this.cancelProbe = this.host.after(PROBE_S, () => {
      this.cancelProbe = null;
      if (this.heardCount === before && this.half.isOnline) {
        this.perform(this.half.cut(this.host.now(), `nothing was heard for ${PROBE_S} s`));
        this.tick();
      }
    });
  }

  private tick(): void {
    if (!this.isOpen) return;
    this.perform(this.half.due(this.host.now()));
    this.schedule();
  }

  private schedule(): void {
    this.cancelTimer();
    const waitS = this.half.waitS(this.host.now());
    if (this.isOpen && Number.isFinite(waitS)) {
      this.cancelTimer = this.host.after(waitS, () => this.tick());
    }
  }

  private connect(): void {
    const round = ++this.round;
    const isNow = (): boolean => round === this.round && this.isOpen;
    this.host.ticket(this.half.role).then(
      (ticket) => {
        if (isNow()) this.open(ticket, isNow);
      },
      (error: unknown) => {
        if (isNow()) this.noTicket(error);
      },
    );
  }

  private open(ticket: string, isNow: () => boolean): void {
    this.socket = this.host.open({
      open: () => {
        if (!isNow()) return;
        this.socket?.sendText(JSON.stringify({ ticket }));
        this.perform(this.half.connected(this.host.now()));
        this.schedule();
      },
      message: (bytes) => {
        if (!isNow()) return;
        this.heardCount++;
        this.heard(bytes);
      },
      closed: () => {
        if (!isNow()) return;
        this.socket = null;
        this.perform(this.half.cut(this.host.now()));
        this.tick();
      },
    });
  }

  private heard(bytes: Uint8Array): void {
    const now = this.host.now();
    try {
      this.perform(this.half.heard(decode(bytes), now));
    } catch {
      this.perform(this.half.cut(now, "the server isn't understood"));
    }
    this.schedule();
  }

  private noTicket(error: unknown): void {
    const now = this.host.now();
    const refusal = error instanceof Refusal ? error : null;
    const status = refusal?.status ?? 0;
    if (status === 0 || status === 401) this.perform(this.half.cut(now, "the server can't be reached"));
    else {
      const isFinal = status < 500 && status !== 429;
      const reason = refusal?.message ?? "";
      this.perform(this.half.refused(now, { isFinal, retryS: 1, reason }));
    }
    this.schedule();
  }

  private drop(): void {
    this.round++;
    this.cancelProbe?.();
    this.cancelProbe = null;
    this.socket?.close();
    this.socket = null;
  }

  private perform(actions: Action[]): void {
    for (const action of actions) this.one(action);
    if (actions.length > 0) this.watcher.changed();
  }

  private one(action: Action): void {
    switch (action.do) {
      case "send":
        return this.socket?.send(encode(action.frame));
      case "draw": {
        const end = action.offset + action.data.length;
        return this.screen.draw(action.data, action.isReplay, () => this.drawn(end));
      }
      case "reset":
        return this.screen.reset(action.data, () => this.drawn(action.offset));
      case "skipped":
        return this.watcher.skipped(action.start, action.end, action.why);
      case "sized":
        return this.screen.sized(action.columns, action.rows);
      case "attached":
        this.firstKept = action.first;
        this.reason = "";
        return;
      case "news":
        return this.watcher.news(action);
      case "ended":
        this.drop();
        return this.watcher.ended(action);
      case "closed":
        this.drop();
        this.reason = action.reason;
        if (action.isFinal) this.watcher.refused(action.reason);
        return;
      case "connect":
        return this.connect();
      case "live":
      case "accepted":
        return;
    }
  }

  private drawn(offset: number): void {
    if (this.isOpen) this.perform(this.half.drawn(offset));
  }
}
