import { expect, test } from "vitest";
import { age, clock, count, duration, metric, size } from "../src/core/words";

test.each([
  [0, "0 ms"], [999, "999 ms"], [1000, "1.0 s"], [9949, "9.9 s"], [9950, "10 s"], [59_400, "59 s"],
  [59_600, "1 m 00 s"], [60_000, "1 m 00 s"], [3_599_000, "59 m 59 s"], [3_600_000, "1 h 00 m"],
  [90_000_000, "1 d 01 h"], [-5, "0 s"],
] as const)("%d ms is %s", (ms, text) => {
  expect(duration(ms)).toBe(text);
});

test.each([[0, "just now"], [2000, "2 s ago"], [61_000, "1 m ago"], [7_200_000, "2 h ago"], [200_000_000, "2 d ago"]] as const)(
  "%d ms since is %s", (ms, text) => expect(age(ms)).toBe(text),
);

test.each([[0, "0 B"], [999, "999 B"], [1000, "1.0 kB"], [999_499, "999 kB"], [1_000_000, "1.0 MB"], [25e9, "25 GB"]] as const)(
  "%d bytes are %s", (bytes, text) => expect(size(bytes)).toBe(text),
);

test.each([[1, "1"], [0.123456789, "0.123457"], [1e-9, "1e-9"], [2.5e12, "2.5e12"], ["nan", "nan"], [null, "–"], [59, "59"]] as const)(
  "the value %s is shown as %s", (value, text) => expect(metric(value)).toBe(text),
);

test("one is one and many are many", () => {
  expect([count(1, "line"), count(0, "line"), count(20_000, "line")]).toEqual(["1 line", "0 lines", "20,000 lines"]);
});

test("a time of today has no date", () => {
  const now = new Date(2026, 10, 21, 12, 0, 0).getTime();
  expect(clock(now, now)).toBe("12:00:00");
  expect(clock(now - 86_400_000, now)).toBe("2026-11-20 12:00:00");
});
