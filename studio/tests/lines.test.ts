import { describe, expect, test } from "vitest";
import { Lines, MAX_LINE_CHARS, MAX_LINES } from "../src/core/lines";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const texts = (lines: Lines): string[] => Array.from({ length: lines.count }, (_, i) => lines.text(i));

describe("lines of an output", () => {
  test("are the same however the bytes are cut, also within a character", () => {
    const whole = bytes("eins\nzw\u00f6lf \u{1f680}\n\n\u4e09\nrest");
    for (let cut = 0; cut <= whole.length; cut++) {
      const lines = new Lines();
      lines.append(whole.subarray(0, cut));
      lines.append(whole.subarray(cut));
      expect(texts(lines)).toEqual(["eins", "zw\u00f6lf \u{1f680}", "", "\u4e09", "rest"]);
      expect(lines.next).toBe(whole.length);
    }
  });

  test("know their offsets, from the end and from what is fetched before", () => {
    const all = bytes("one\ntwo\nthree\nfour\n");
    const lines = new Lines(8);
    lines.append(all.subarray(8));
    expect(texts(lines)).toEqual(["three", "four"]);
    expect(lines.at(0)).toBe(8);
    expect(lines.prepend(2, all.subarray(2, 8), false)).toBe(1); // "e" of "one" isn't a line
    expect(lines.first).toBe(4);
    expect(lines.prepend(0, all.subarray(0, 4), true)).toBe(1);
    expect(texts(lines)).toEqual(["one", "two", "three", "four"]);
    expect([0, 1, 2, 3].map((i) => lines.at(i))).toEqual([0, 4, 8, 14]);
  });

  test("show the last writing of a progress bar and no carriage return", () => {
    const lines = new Lines();
    lines.append(bytes("10%\r20%\r30%"));
    expect(texts(lines)).toEqual(["30%"]);
    lines.append(bytes("\r100%\r\ndone\r\n\r\n"));
    expect(texts(lines)).toEqual(["100%", "done", ""]);
  });

  test("are cut when one is endless, saying so", () => {
    const lines = new Lines();
    lines.append(bytes(`${"x".repeat(MAX_LINE_CHARS + 5)}\n`));
    expect(lines.text(0)).toMatch(/x \u2026 5 more bytes$/);
  });

  test("are dropped at the beginning when there are too many", () => {
    const lines = new Lines();
    const piece = bytes("0123456\n".repeat(1000));
    let dropped = 0;
    for (let i = 0; i < MAX_LINES / 1000 + 1; i++) dropped += lines.append(piece);
    expect(dropped).toBeGreaterThan(0);
    expect(lines.count).toBe(MAX_LINES + 1000 - dropped);
    expect(lines.first).toBe(dropped * 8);
    expect(lines.at(0)).toBe(lines.first);
  });

  test("are found whatever the case", () => {
    const lines = new Lines();
    lines.append(bytes("Error: a\nfine\nERROR b\n"));
    expect([...lines.matches("error")]).toEqual([0, 2]);
    expect([...lines.matches("error", 1)]).toEqual([2]);
  });
});
