import { expect, test } from "vitest";
import { extraKey, keysIn, pasteable, wantsConfirmation, withControl } from "../src/core/keys";
import { endText } from "../src/core/sessions";

test("arrows follow the mode that the program has set", () => {
  expect(extraKey("Up", false)).toBe("\x1b[A");
  expect(extraKey("Up", true)).toBe("\x1bOA");
  expect(extraKey("Escape", true)).toBe("\x1b");
});

test.each([["c", "\x03"], ["C", "\x03"], ["[", "\x1b"], [" ", "\0"], ["?", "\x7f"], ["1", "1"], ["\u00e9", "\u00e9"], ["ab", "ab"]])(
  "Ctrl and %j is %j", (key, sent) => expect(withControl(key)).toBe(sent),
);

test("pasted text can't leave its brackets or press keys", () => {
  expect(pasteable("a\x1b[201~b\x03c\x7fd\x9be")).toBe("a[201~bcde");
  expect(pasteable("tab\tcr\r\nlf\nalone\r")).toBe("tab\tcr\nlf\nalone\n");
});

test("several lines are asked about, unless the program brackets them", () => {
  expect(wantsConfirmation("ls", false)).toBe(false);
  expect(wantsConfirmation("ls\n", false)).toBe(true);
  expect(wantsConfirmation("a\nb", false)).toBe(true);
  expect(wantsConfirmation("a\nb", true)).toBe(false);
  expect(wantsConfirmation("x\n".repeat(60), true)).toBe(true);
});

test.each([[0, null, "ended with exit code 0"], [null, 9, "ended by SIGKILL"], [null, 35, "ended by signal 35"], [null, null, "ended"]] as const)(
  "code %s and signal %s: %s", (code, signal, said) => expect(endText(code, signal)).toBe(said),
);

test.each([["", 0], ["ab\r", 3], ["h\u00e9\u6f22", 3], ["\x1b[A\x1bOB\x1b[1;5C", 3], ["\x1bx", 1], ["\x1b", 1], ["\x1b\x1b", 2]])(
  "the input %j is so many keys: %i", (input, keys) => expect(keysIn(new TextEncoder().encode(input))).toBe(keys),
);
