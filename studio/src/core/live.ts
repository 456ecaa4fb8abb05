// One WebSocket that follows many cursors (server/live.py), over as many connections as it takes.
//
// Whoever follows something is called with what is new. A journal goes on at its offset after any
// break: no byte twice, none missed. States and lists come as their newest. The first retry after a
// break comes at once; a link without an answer for DEAD_MS is given up. How sockets are opened and
// time is told is given (`Host`).

import type { Row, Series, State } from "./runs";

const PING_MS = 2000;
const DEAD_MS = 6000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;
// A connection that lives shorter than this doesn't count as one that worked.
const STEADY_MS = 1000;

export interface Socket {
  send(text: string): void;
  close(): void;
}

export interface Heard {
  open(): void;
  text(message: string): void;
  bytes(message: Uint8Array): void;
  closed(code: number): void;
}

export interface Host {
  // A ticket for one WebSocket; rejects while the server can't be reached.
  ticket(): Promise<string>;
  open(heard: Heard): Socket;
  now(): number; // ms
  after(ms: number, call: () => void): () => void; // returns what takes it back
  random(): number;
}

interface JournalListener {
  bytes(at: number, bytes: Uint8Array): void;
  end(at: number): void;
  refused?(code: string, message: string, first?: number): void;
}

interface Following {
  entry: Record<string, unknown>;
  journal?: JournalListener;
  state?: (state: State, version: number) => void;
  metrics?: (series: Series[]) => void;
  runs?: (rows: Row[], isWhole: boolean, next: string | null) => void;
  refused?: (code: string, message: string) => void;
  isOver: boolean;
}

export type Link = "connecting" | "online" | "offline";

export class Live {
  link: Link = "connecting";
  since = 0; // when the link became what it is, ms
  onLink: (link: Link) => void = () => {};

  private readonly followed = new Map<string, Following>();
  private socket: Socket | null = null;
  private round = 0; // tells a late event of an old socket from one of the present
  private heardAt = 0;
  private openedAt = 0;
  private pings = 0;
  private failures = 0;
  private cancelTimer: () => void = () => {};
  private isWanted = false;

  constructor(private readonly host: Host) {}

  start(): void {
    if (this.isWanted) return;
    this.isWanted = true;
    this.since = this.host.now();
    this.connect();
  }

  // Until `start`; what is followed stays so.
  stop(): void {
    this.isWanted = false;
    this.drop();
    this.link = "connecting";
  }

  dispose(): void {
    this.stop();
    this.followed.clear();
  }

  // The network is back, or somebody looks: try now instead of at the end of a pause.
  hurry(): void {
    if (this.isWanted && this.link === "offline") this.connect();
    else if (this.link === "online") this.ping();
  }

  // Each returns what ends it.
  journal(run: string, name: string, from: number, listener: JournalListener): () => void {
    const entry = { run, journal: name, from };
    return this.follow(`journal ${run} ${name}`, { entry, journal: listener, isOver: false });
  }

  state(run: string, told: (state: State, version: number) => void): () => void {
    return this.follow(`state ${run}`, { entry: { run, state: true }, state: told, isOver: false });
  }

  metrics(run: string, told: (series: Series[]) => void): () => void {
    const entry = { run, metrics: true };
    return this.follow(`metrics ${run}`, { entry, metrics: told, isOver: false });
  }

  runs(
    query: Record<string, unknown>,
    told: (rows: Row[], isWhole: boolean, next: string | null) => void,
    refused?: (code: string, message: string) => void,
  ): () => void {
    const following: Following = { entry: { runs: query }, runs: told, isOver: false };
    if (refused) following.refused = refused;
    return this.follow("runs", following);
  }

  private follow(key: string, following: Following): () => void {
    const before = this.followed.get(key);
    if (before && this.link === "online") this.say({ unfollow: [before.entry] });
    this.followed.set(key, following);
    if (this.link === "online") this.say({ follow: [following.entry] });
    return () => {
      if (this.followed.get(key) !== following) return;
      this.followed.delete(key);
      if (this.link === "online") this.say({ unfollow: [following.entry] });
    };
  }

  private become(link: Link): void {
    if (this.link === link) return;
    this.link = link;
    this.since = this.host.now();
    this.onLink(link);
  }

  private connect(): void {
    this.cancelTimer();
    const round = ++this.round;
    if (this.link !== "offline") this.become("connecting");
    this.timer(DEAD_MS, () => this.lost(round));
    this.host.ticket().then(
      (ticket) => {
        if (round === this.round && this.isWanted) this.open(round, ticket);
      },
      () => this.lost(round),
    );
  }

  private open(round: number, ticket: string): void {
    const isNow = (): boolean => round === this.round;
    this.socket = this.host.open({
      open: () => {
        if (!isNow()) return;
        this.socket?.send(JSON.stringify({ ticket }));
        this.openedAt = this.heardAt = this.host.now();
        this.become("online");
        const entries = [...this.followed.values()].filter((f) => !f.isOver).map((f) => f.entry);
        if (entries.length > 0) this.say({ follow: entries });
        this.watch(round);
      },
      text: (message) => {
        if (isNow()) this.told(JSON.parse(message) as Record<string, unknown>);
      },
      bytes: (message) => {
        if (isNow()) this.gotBytes(message);
      },
      closed: () => this.lost(round),
    });
  }

  // A ping every PING_MS; an end when nothing was heard for DEAD_MS.
  private watch(round: number): void {
    this.timer(PING_MS, () => {
      if (this.host.now() - this.heardAt >= DEAD_MS) this.lost(round);
      else {
        this.ping();
        this.watch(round);
      }
    });
  }

  private ping(): void {
    this.say({ ping: ++this.pings });
  }

  private lost(round: number): void {
    if (round !== this.round || !this.isWanted) return;
    const wasSteady = this.link === "online" && this.host.now() - this.openedAt >= STEADY_MS;
    this.drop();
    this.become("offline");
    this.failures = wasSteady ? 0 : this.failures + 1;
    if (wasSteady) this.connect();
    else {
      const mostMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (this.failures - 1));
      this.timer(mostMs * (0.5 + 0.5 * this.host.random()), () => this.connect());
    }
  }

  private drop(): void {
    this.round++;
    this.cancelTimer();
    this.socket?.close();
    this.socket = null;
  }

  private timer(ms: number, call: () => void): void {
    this.cancelTimer();
    this.cancelTimer = this.host.after(ms, call);
  }

  private say(message: unknown): void {
    this.socket?.send(JSON.stringify(message));
  }

  private gotBytes(message: Uint8Array): void {
    this.heardAt = this.host.now();
    const end = message.indexOf(10);
    const head = JSON.parse(new TextDecoder().decode(message.subarray(0, end))) as {
      run: string;
      journal: string;
      from: number;
      next: number;
    };
    const following = this.followed.get(`journal ${head.run} ${head.journal}`);
    const at = following?.entry["from"] as number | undefined;
    // Bytes that were on their way when something else began to be followed here are not for it.
    if (!following?.journal || at !== head.from) return;
    following.entry["from"] = head.next;
    following.journal.bytes(head.from, message.subarray(end + 1));
  }

  private told(said: Record<string, unknown>): void {
    this.heardAt = this.host.now();
    const run = String(said["run"] ?? "");
    if ("pong" in said) return;
    if ("error" in said) this.refusedEntry(said);
    else if ("runs" in said) {
      const { runs, is_whole, next } = said as { runs: Row[]; is_whole: boolean; next: string };
      this.followed.get("runs")?.runs?.(runs, is_whole, next);
    } else if ("state" in said) {
      this.followed.get(`state ${run}`)?.state?.(said["state"] as State, Number(said["version"]));
    } else if ("metrics" in said) {
      this.followed.get(`metrics ${run}`)?.metrics?.(said["metrics"] as Series[]);
    } else if ("end" in said) {
      const following = this.followed.get(`journal ${run} ${String(said["journal"])}`);
      if (following) following.isOver = true;
      following?.journal?.end(Number(said["at"]));
    }
  }

  private refusedEntry(said: Record<string, unknown>): void {
    const error = said["error"] as { code: string; message: string; first?: number };
    const entry = said["entry"] as Record<string, unknown> | null;
    if (entry === null) return;
    const key = entry["runs"]
      ? "runs"
      : entry["journal"]
        ? `journal ${String(entry["run"])} ${String(entry["journal"])}`
        : `${entry["state"] ? "state" : "metrics"} ${String(entry["run"])}`;
    const following = this.followed.get(key);
    if (!following) return;
    following.isOver = true;
    following.journal?.refused?.(error.code, error.message, error.first);
    following.refused?.(error.code, error.message);
  }
}
