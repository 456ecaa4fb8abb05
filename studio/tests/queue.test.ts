import { expect, test } from "vitest";
import { Queue } from "../src/core/queue";

test("whatever is added and taken in which pieces, the bytes are those between", () => {
  let seed = 7;
  const random = (n: number): number => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return seed % n;
  };
  const queue = new Queue();
  let all: number[] = [];
  for (let round = 0; round < 2000; round++) {
    const piece = Array.from({ length: random(7) }, () => random(256));
    queue.push(Uint8Array.from(piece));
    all = all.concat(piece);
    const gone = random(Math.min(9, all.length + 1));
    queue.take(gone);
    all = all.slice(gone);
    const start = random(all.length + 1);
    const end = start + random(12);
    expect(queue.length).toBe(all.length);
    expect([...queue.slice(start, end)]).toEqual(all.slice(start, end));
  }
  queue.clear();
  expect(queue.length).toBe(0);
  expect(queue.slice(0, 5).length).toBe(0);
});
