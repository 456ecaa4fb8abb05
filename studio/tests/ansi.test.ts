import { expect, test } from "vitest";
import { plain, spans } from "../src/core/ansi";

const ACTING = [
  "\x1b]52;c;aGVsbG8=\x07", // clipboard
  "\x1b]52;c;aGVsbG8=\x1b\\",
  "\x1b]0;title\x07",
  "\x1b]8;;javascript:alert(1)\x1b\\",
  "\x1b[2J",
  "\x1b[H",
  "\x1b[6n",
  "\x1b[c",
  "\x1b[21t",
  "\x1bP$q\"p\x1b\\",
  "\x1b_payload\x1b\\",
  "\x1bc",
  "\x1b(0",
  "\x9b31;1K",
  "\x9d0;title\x9c",
  "\x07",
  "\x08",
  "\x00",
  "\x7f",
  "\x85",
];

test.each(ACTING)("%j shows nothing and does nothing", (sequence) => {
  expect(plain(`a${sequence}b`)).toBe("ab");
  expect(spans(`a${sequence}b`).map((s) => s.text).join("")).toBe("ab");
});

test("a sequence that never ends hides no more than its line", () => {
  expect(plain("before \x1b]0;never ended")).toBe("before ");
  expect(plain("before \x1b[12;")).toMatch(/^before/);
});

test("colours are kept", () => {
  const [red, bold, reset] = spans("\x1b[31mred\x1b[1;38;5;208mbold\x1b[0mplain");
  expect(red).toMatchObject({ text: "red", style: { fg: 1 } });
  expect(bold).toMatchObject({ text: "bold", style: { fg: "rgb(255 135 0)", isBold: true } });
  expect(reset).toMatchObject({ text: "plain", style: { fg: null, isBold: false } });
  expect(spans("\x1b[48;2;1;2;3mx")[0]?.style.bg).toBe("rgb(1 2 3)");
  expect(spans("\x1b[97;104mx")[0]?.style).toMatchObject({ fg: 15, bg: 12 });
  expect(spans("\x1b[38;2;999;0;0mx")[0]?.style.fg).toBe("rgb(255 0 0)");
});

test("characters that reorder text are shown as what they are", () => {
  expect(plain("user\u202etxt.exe")).toBe("user<U+202E>txt.exe");
});

test("tabs and text in all scripts stay", () => {
  expect(plain("a\tb \u00e9 \u4e2d \u{1f680}")).toBe("a\tb \u00e9 \u4e2d \u{1f680}");
});
