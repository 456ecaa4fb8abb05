import { beforeEach, describe, expect, test } from "vitest";
import * as wire from "../src/core/frame";
import { Refusal } from "../src/core/rest";
import { SessionLink, type SessionHost, type SocketEvents, type TerminalSocket } from "../src/core/session";
import type { Role } from "../src/core/terminal";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (data: Uint8Array): string => new TextDecoder().decode(data);

interface Opened {
  events: SocketEvents;
  texts: string[];
  frames: wire.Frame[];
  isOpen: boolean;
}

// A server, a clock and a screen in the test's hand.
class World implements SessionHost {
  nowS = 0;
  sockets: Opened[] = [];
  refusal: unknown = null;
  roles: Role[] = [];
  drawn = "";
  waiting: (() => void)[] = [];
  told: string[] = [];
  private timers: { at: number; call: () => void }[] = [];

  ticket(role: Role): Promise<string> {
    this.roles.push(role);
    return this.refusal === null ? Promise.resolve("t") : Promise.reject(this.refusal);
  }
  open(events: SocketEvents): TerminalSocket {
    const socket: Opened = { events, texts: [], frames: [], isOpen: true };
    this.sockets.push(socket);
    return {
      sendText: (said) => socket.texts.push(said),
      send: (message) => socket.frames.push(wire.decode(message)),
      close: () => (socket.isOpen = false),
    };
  }
  now(): number {
    return this.nowS;
  }
  after(seconds: number, call: () => void): () => void {
    const timer = { at: this.nowS + seconds, call };
    this.timers.push(timer);
    return () => (this.timers = this.timers.filter((t) => t !== timer));
  }
  key(): string {
    return "ab".repeat(16);
  }
  random(): number {
    return 0;
  }

  readonly screen = {
    draw: (data: Uint8Array, isReplay: boolean, done: () => void): void => {
      this.drawn += isReplay ? `(${text(data)})` : text(data);
      this.waiting.push(done);
    },
    reset: (data: Uint8Array, done: () => void): void => {
      this.drawn = text(data);
      this.waiting.push(done);
    },
    sized: (): void => {},
  };
  readonly watcher = {
    changed: (): void => {},
    skipped: (start: number, end: number): void => void this.told.push(`skipped ${start}-${end}`),
    news: (): void => {},
    ended: (how: { code: number | null }): void => void this.told.push(`ended ${how.code}`),
    refused: (reason: string): void => void this.told.push(`refused: ${reason}`),
  };

  link(): SessionLink {
    return new SessionLink(this, this.screen, this.watcher, { role: "driver", columns: 80, rows: 24, who: "me" });
  }
  get last(): Opened {
    const socket = this.sockets.at(-1);
    if (!socket) throw new Error("no socket");
    return socket;
  }
  finish(): void {
    for (const done of this.waiting.splice(0)) done();
  }
  say(kind: number, number = 0, payload: Uint8Array | wire.Said = new Uint8Array(0)): void {
    const frame = payload instanceof Uint8Array ? wire.frame(kind, number, payload) : wire.telling(kind, number, payload);
    this.last.events.message(wire.encode(frame));
  }
  async settle(): Promise<void> {
    for (let i = 0; i < 10; i++) await Promise.resolve();
  }
  async pass(seconds: number): Promise<void> {
    const until = this.nowS + seconds;
    for (;;) {
      await this.settle();
      const next = this.timers.filter((t) => t.at <= until).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.timers = this.timers.filter((t) => t !== next);
      this.nowS = Math.max(this.nowS, next.at);
      next.call();
    }
    this.nowS = until;
  }
  async welcome(more: wire.Said = {}): Promise<void> {
    await this.settle();
    this.last.events.open();
    this.say(wire.WELCOME, 0, {
      session: "s", role: "driver", fenced: false, epoch: 1, accepted: 0, columns: 80, rows: 24,
      output: 0, live: 0, first: 0, driver: "me", viewers: [], server: "1", ...more,
    });
  }
  sent(kind: number): wire.Frame[] {
    return this.last.frames.filter((f) => f.kind === kind);
  }
}

let world: World;
let link: SessionLink;
beforeEach(() => begin());

// A link that begins while the server answers so.
function begin(refusal: unknown = null): void {
  world = new World();
  world.refusal = refusal;
  link = world.link();
}

describe("a session's link", () => {
  test("shows its ticket, then says hello", async () => {
    await world.welcome();
    expect(world.last.texts).toEqual(['{"ticket":"t"}']);
    expect(world.last.frames[0]?.kind).toBe(wire.HELLO);
    expect(world.roles).toEqual(["driver"]);
    expect(link.isOnline).toBe(true);
  });

  test("goes on at the byte after a cut, and sends again what wasn't taken", async () => {
    await world.welcome();
    world.say(wire.OUTPUT, 0, bytes("one "));
    link.typed(bytes("abc"));
    world.say(wire.ACCEPTED, 1);
    expect(link.queuedBytes).toBe(2);
    await world.pass(1);
    world.last.events.closed();
    await world.pass(0.1);
    await world.welcome({ output: 4, live: 8, accepted: 1 });
    expect(wire.said(world.last.frames[0] as wire.Frame)["output"]).toBe(4);
    expect(world.sent(wire.INPUT).map((f) => [f.number, text(f.payload)])).toEqual([[1, "bc"]]);
    world.say(wire.OUTPUT, 0, bytes("one two "));
    expect(world.drawn).toBe("one (two )");
    world.finish();
    expect(link.isLive).toBe(true);
  });

  test("tells what is drawn once it is drawn, not when it came", async () => {
    await world.welcome();
    world.say(wire.OUTPUT, 0, new Uint8Array(40_000));
    expect(world.sent(wire.DRAWN)).toEqual([]);
    world.finish();
    expect(world.sent(wire.DRAWN).map((f) => f.number)).toEqual([40_000]);
  });

  test("gives up a link that doesn't answer a key within 2 s", async () => {
    await world.welcome();
    const first = world.last;
    await world.pass(0.5);
    link.typed(bytes("x"));
    await world.pass(1.9);
    expect(first.isOpen).toBe(true);
    await world.pass(0.2);
    expect(first.isOpen).toBe(false);
    expect(world.sockets).toHaveLength(2);
  });

  test("keeps a link that answers after somebody came back to the page", async () => {
    await world.welcome();
    link.look();
    world.say(wire.PONG, 0);
    await world.pass(1.9);
    world.say(wire.PONG, 1);
    await world.pass(0.5);
    expect(world.sockets).toHaveLength(1);
    expect(link.isOnline).toBe(true);
  });

  test("tries at once when somebody looks, whatever the pause", async () => {
    begin(new Refusal(0, "unreachable", ""));
    await world.pass(30);
    const tries = world.roles.length;
    world.refusal = null;
    link.look();
    expect(world.roles.length).toBe(tries + 1);
    await world.welcome();
    expect(link.isOnline).toBe(true);
    expect(link.offlineSinceS).toBe(null);
  });

  test("asks no more for a session that isn't there", async () => {
    begin(new Refusal(404, "not_found", "there is no such session"));
    await world.pass(10);
    expect(world.told).toEqual(["refused: there is no such session"]);
    expect(world.roles).toHaveLength(1);
  });

  test("waits for a server that starts", async () => {
    begin(new Refusal(503, "unavailable", "it starts"));
    await world.pass(5);
    expect(world.told).toEqual([]);
    world.refusal = null;
    await world.pass(2);
    await world.welcome();
    expect(link.isOnline).toBe(true);
  });

  test("takes nothing from a socket that it has left, and nothing after it was disposed of", async () => {
    await world.welcome();
    const old = world.last;
    old.events.closed();
    await world.pass(0.1);
    await world.welcome();
    old.events.message(wire.encode(wire.frame(wire.OUTPUT, 0, bytes("late"))));
    expect(world.drawn).toBe("");
    link.dispose();
    world.last.events.message(wire.encode(wire.frame(wire.OUTPUT, 0, bytes("later"))));
    expect(world.drawn).toBe("");
    expect(world.last.isOpen).toBe(false);
  });

  test("ends with the shell, and says how", async () => {
    await world.welcome();
    world.say(wire.OUTPUT, 0, bytes("bye"));
    world.say(wire.EXIT, 3, { code: 3, signal: null, t_ns: 1, message: "", status: "Completed" });
    expect(world.told).toEqual(["ended 3"]);
    expect(link.isOver).toBe(true);
    await world.pass(60);
    expect(world.sockets).toHaveLength(1);
  });

  test("what makes no sense ends the connection, not the session", async () => {
    await world.welcome();
    world.last.events.message(Uint8Array.of(1, 2, 3));
    await world.pass(1);
    expect(world.sockets).toHaveLength(2);
  });
});
