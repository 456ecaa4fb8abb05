import { beforeEach, describe, expect, test } from "vitest";
import { Live, type Heard, type Host } from "../src/core/live";

const encoder = new TextEncoder();

// A server and a clock in the test's hand.
class World implements Host {
  nowMs = 0;
  sockets: { heard: Heard; sent: Record<string, unknown>[]; isOpen: boolean }[] = [];
  hasServer = true;
  private timers: { at: number; call: () => void }[] = [];

  ticket(): Promise<string> {
    return this.hasServer ? Promise.resolve("t") : Promise.reject(new Error("no server"));
  }
  open(heard: Heard): { send(text: string): void; close(): void } {
    const socket = { heard, sent: [] as Record<string, unknown>[], isOpen: true };
    this.sockets.push(socket);
    return {
      send: (text) => socket.sent.push(JSON.parse(text) as Record<string, unknown>),
      close: () => (socket.isOpen = false),
    };
  }
  now(): number {
    return this.nowMs;
  }
  after(ms: number, call: () => void): () => void {
    const timer = { at: this.nowMs + ms, call };
    this.timers.push(timer);
    return () => (this.timers = this.timers.filter((t) => t !== timer));
  }
  random(): number {
    return 0;
  }
  get last() {
    const socket = this.sockets.at(-1);
    if (!socket) throw new Error("no socket");
    return socket;
  }
  async settle(): Promise<void> {
    for (let i = 0; i < 10; i++) await Promise.resolve();
  }
  async pass(ms: number): Promise<void> {
    const until = this.nowMs + ms;
    for (;;) {
      const next = this.timers.filter((t) => t.at <= until).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.timers = this.timers.filter((t) => t !== next);
      this.nowMs = next.at;
      next.call();
      await this.settle();
    }
    this.nowMs = until;
  }
  async connect(): Promise<void> {
    await this.settle();
    this.last.heard.open();
  }
  bytes(run: string, from: number, text: string): void {
    const data = encoder.encode(text);
    const head = encoder.encode(JSON.stringify({ run, journal: "output", from, next: from + data.length }) + "\n");
    const message = new Uint8Array(head.length + data.length);
    message.set(head);
    message.set(data, head.length);
    this.last.heard.bytes(message);
  }
}

let world: World;
let live: Live;
let got: string;
const listener = {
  bytes: (_at: number, bytes: Uint8Array): void => void (got += new TextDecoder().decode(bytes)),
  end: (at: number): void => void (got += `<end ${at}>`),
};

beforeEach(async () => {
  world = new World();
  live = new Live(world);
  got = "";
  live.start();
  await world.connect();
});

describe("one socket of many cursors", () => {
  test("shows its ticket first, then what is followed", () => {
    live.journal("a", "output", 5, listener);
    live.state("a", () => {});
    expect(world.last.sent).toEqual([
      { ticket: "t" },
      { follow: [{ run: "a", journal: "output", from: 5 }] },
      { follow: [{ run: "a", state: true }] },
    ]);
  });

  test("goes on at the offset after a break, at once", async () => {
    live.journal("a", "output", 0, listener);
    world.bytes("a", 0, "abc");
    await world.pass(1500);
    world.last.heard.closed(1006);
    await world.settle();
    expect(world.sockets).toHaveLength(2);
    await world.connect();
    expect(world.last.sent[1]).toEqual({ follow: [{ run: "a", journal: "output", from: 3 }] });
    world.bytes("a", 3, "def");
    expect(got).toBe("abcdef");
  });

  test("takes nothing from a socket that it has left", async () => {
    live.journal("a", "output", 0, listener);
    const old = world.last;
    await world.pass(1500);
    old.heard.closed(1006);
    await world.connect();
    const now = world.last;
    world.sockets.push(old);
    world.bytes("a", 0, "late");
    world.sockets.push(now);
    world.bytes("a", 0, "right");
    expect(got).toBe("right");
  });

  test("asks for nothing again that has ended, and nothing that nobody follows", async () => {
    live.journal("a", "output", 0, listener);
    const stop = live.journal("b", "output", 0, listener);
    world.last.heard.text(JSON.stringify({ run: "a", journal: "output", end: true, at: 0 }));
    stop();
    expect(world.last.sent.at(-1)).toEqual({ unfollow: [{ run: "b", journal: "output", from: 0 }] });
    await world.pass(1500);
    world.last.heard.closed(1012);
    await world.connect();
    expect(got).toBe("<end 0>");
    expect(world.last.sent).toEqual([{ ticket: "t" }]);
  });

  test("gives up a link that says nothing for 6 s", async () => {
    const first = world.last;
    await world.pass(4500);
    expect(first.sent.filter((m) => "ping" in m)).toHaveLength(2);
    first.heard.text('{"pong": 2}');
    await world.pass(4000);
    expect(first.isOpen).toBe(true);
    await world.pass(4100);
    expect(first.isOpen).toBe(false);
    expect(live.link).toBe("offline");
  });

  test("waits longer and longer for a server that is away, and not when told to hurry", async () => {
    world.hasServer = false;
    await world.pass(1500);
    world.last.heard.closed(1006);
    await world.settle();
    expect(live.link).toBe("offline");
    const tries: number[] = [];
    world.ticket = () => {
      tries.push(world.nowMs);
      return Promise.reject(new Error("no server"));
    };
    await world.pass(60_000);
    const pauses = tries.slice(1).map((at, i) => at - (tries[i] ?? 0));
    expect(Math.max(...pauses)).toBe(2500);
    expect(pauses[0]).toBeLessThan(500);
    const before = tries.length;
    live.hurry();
    expect(tries.length).toBe(before + 1);
    await world.settle();
    world.ticket = () => Promise.resolve("t");
    await world.pass(3000);
    await world.connect();
    expect(live.link).toBe("online");
  });

  test("says what can't be followed to whom it concerns", () => {
    let said = "";
    live.journal("a", "output", 9, { ...listener, refused: (code, _m, first) => (said = `${code} ${first}`) });
    world.last.heard.text(
      JSON.stringify({ error: { code: "trimmed", message: "gone", first: 4096 }, entry: { run: "a", journal: "output", from: 9 } }),
    );
    expect(said).toBe("trimmed 4096");
  });

  test("hands lists and states to who asked last", () => {
    const heard: unknown[] = [];
    live.runs({ limit: 1 }, () => heard.push("old"));
    live.runs({ limit: 2 }, (rows, isWhole) => heard.push([rows.length, isWhole]));
    expect(world.last.sent.slice(-2)).toEqual([{ unfollow: [{ runs: { limit: 1 } }] }, { follow: [{ runs: { limit: 2 } }] }]);
    world.last.heard.text(JSON.stringify({ runs: [{ id: "a" }], is_whole: true, next: null }));
    expect(heard).toEqual([[1, true]]);
  });
});
