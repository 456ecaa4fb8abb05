// The vectors that Python's ClientHalf passes: what each call gives, step by step.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ClientHalf } from "../src/core/client";
import * as wire from "../src/core/frame";
import type { Action, Role } from "../src/core/terminal";

const FOLDER = process.env["OUTLAST_VECTORS"] ?? join(import.meta.dirname, "../../tests/vectors");
const WIRE = join(FOLDER, "wire");

type Json = Record<string, unknown>;
interface Packed {
  kind: string | number;
  number: number;
  says?: Json;
  payload?: Json;
}
interface Step {
  call: string;
  with: Json & { now?: number; frame?: Packed; data?: Json };
  gives: Json[];
  then: Json;
}
interface Vector {
  about: string;
  client: { key: string; role: Role; columns: number; rows: number; who: string; jitter: number };
  steps: Step[];
}

const NAMES = new Map(
  Object.entries(wire)
    .filter((e): e is [string, number] => typeof e[1] === "number" && !e[0].endsWith("BYTES"))
    .map(([name, kind]) => [kind, name]),
);
const KINDS = new Map([...NAMES].map(([kind, name]) => [name, kind]));

function bytesOf(data: Json): Uint8Array {
  if ("text" in data) return new TextEncoder().encode(String(data["text"]));
  if ("base64" in data) return Uint8Array.from(Buffer.from(String(data["base64"]), "base64"));
  return new Uint8Array(Number(data["times"])).fill(Number(data["byte"]));
}

function frameOf(packed: Packed): wire.Frame {
  const kind = typeof packed.kind === "number" ? packed.kind : (KINDS.get(packed.kind) ?? -1);
  if (packed.says) return wire.telling(kind, packed.number, packed.says);
  return wire.frame(kind, packed.number, packed.payload ? bytesOf(packed.payload) : undefined);
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

// An action of ours in a form that a vector's can be brought into as well: bytes as hexadecimal.
function ours(action: Action): Json {
  const entries = Object.entries(action).map(([name, value]): [string, unknown] => {
    if (name === "do") return ["do", String(value).replace(/^./, (c) => c.toUpperCase())];
    if (value instanceof Uint8Array) return [name, hex(value)];
    if (name === "frame") return ["frame", shown(value as wire.Frame)];
    return [snake(name), value];
  });
  return Object.fromEntries(entries);
}

function theirs(action: Json): Json {
  const entries = Object.entries(action).map(([name, value]): [string, unknown] => {
    if (name === "data") return [name, hex(bytesOf(value as Json))];
    if (name === "frame") return [name, shown(frameOf(value as Packed))];
    return [name, value];
  });
  return Object.fromEntries(entries);
}

function shown(frame: wire.Frame): Json {
  const first = frame.payload[0];
  const payload = first === 0x7b ? wire.said(frame) : hex(frame.payload);
  return { kind: NAMES.get(frame.kind) ?? frame.kind, number: frame.number, payload };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

// Why something can't be understood is said in each language's own words.
function comparable(action: Json): Json {
  const reason = String(action["reason"] ?? "");
  const cut = reason.indexOf(": frame ");
  return cut < 0 ? action : { ...action, reason: reason.slice(0, cut) };
}

function call(half: ClientHalf, step: Step): Action[] {
  const w = step.with;
  const now = Number(w.now);
  switch (step.call) {
    case "due":
      return half.due(now);
    case "connected":
      return half.connected(now);
    case "cut":
      return half.cut(now, String(w["reason"]));
    case "refused":
      return half.refused(now, { isFinal: Boolean(w["is_final"]), retryS: Number(w["retry_s"]), reason: String(w["reason"]) });
    case "heard":
      return half.heard(frameOf(w.frame as Packed), now);
    case "typed":
      return half.typed(bytesOf(w.data as Json));
    case "drawn":
      return half.drawn(Number(w["offset"]));
    case "resized":
      return half.resized(Number(w["columns"]), Number(w["rows"]));
    case "take_over":
      return half.takeOver(String(w["key"]), now);
    case "hurry":
      half.hurry(now);
      return [];
    default:
      throw new Error(`the vectors know a call more: ${step.call}`);
  }
}

const files = readdirSync(WIRE).filter((name) => name.startsWith("client-"));

describe("a terminal's client", () => {
  test("has vectors", () => expect(files.length).toBeGreaterThan(10));

  test.each(files)("%s", (name) => {
    const vector = JSON.parse(readFileSync(join(WIRE, name), "utf-8")) as Vector;
    const { jitter, ...wishes } = vector.client;
    const half = new ClientHalf({ ...wishes, jitter: () => jitter });
    let now = 0;
    for (const [number, step] of vector.steps.entries()) {
      now = step.with.now ?? now;
      const where = `${vector.about} step ${number}: ${step.call}`;
      const given = call(half, step).map((action) => comparable(ours(action)));
      expect(given.map(rounded), where).toEqual(step.gives.map((action) => rounded(comparable(theirs(action)))));
      const waitS = half.waitS(now);
      const then = {
        role: half.role,
        is_online: half.isOnline,
        is_live: half.isLive,
        is_over: half.isOver,
        queued_bytes: half.queuedBytes,
        wait_s: Number.isFinite(waitS) ? waitS : null,
      };
      expect(rounded(then), where).toEqual(rounded(step.then));
    }
  });
});

// Sums of decimal fractions differ in the last bits.
function rounded(value: Json): Json {
  return Object.fromEntries(
    Object.entries(value).map(([name, v]) => [name, typeof v === "number" ? Math.round(v * 1e6) / 1e6 : v]),
  );
}

describe("a frame", () => {
  const { frames } = JSON.parse(readFileSync(join(WIRE, "terminal-frames.json"), "utf-8")) as {
    frames: { frame: Packed; message: string }[];
  };
  test.each(frames)("$message", ({ frame, message }) => {
    const bytes = Uint8Array.from(Buffer.from(message, "hex"));
    expect(hex(wire.encode(frameOf(frame)))).toBe(message);
    expect(shown(wire.decode(bytes))).toEqual(shown(frameOf(frame)));
  });

  test.each(["", "0300", "03ffffffffffffffff"])("%s is none", (message) => {
    expect(() => wire.decode(Uint8Array.from(Buffer.from(message, "hex")))).toThrow(wire.Malformed);
  });
});
