import { expect, test } from "vitest";
import { curve, nearest, type Points } from "../src/core/chart";

const BOX = { width: 110, height: 60, pad: 5 };
const points = (steps: number[], values: (number | string)[]): Points => ({ name: "loss", n: steps.length, steps, values });

test("a curve fills its box by steps and values", () => {
  const drawn = curve(points([0, 10, 100], [1, 0, 0.5]), BOX);
  expect(drawn?.lines).toEqual(["5.0,5.0 15.0,55.0 105.0,30.0"]);
  expect([drawn?.low, drawn?.high]).toEqual([0, 1]);
});

test("a curve breaks where a value isn't finite, and a lone point is shown", () => {
  const drawn = curve(points([0, 1, 2, 3, 4, 5], [1, 2, "nan", 3, "inf", 4]), BOX);
  expect(drawn?.lines).toHaveLength(1);
  expect(drawn?.lone.map((spot) => spot.value)).toEqual([3, 4]);
  expect(drawn?.spots.map((spot) => spot.step)).toEqual([0, 1, 3, 5]);
});

test("a constant and a single point lie in the middle", () => {
  expect(curve(points([0, 1], [5, 5]), BOX)?.spots.map((spot) => spot.y)).toEqual([30, 30]);
  expect(curve(points([7], [5]), BOX)?.lone).toEqual([{ x: 55, y: 30, step: 7, value: 5 }]);
});

test("the greatest doubles still lie in the box", () => {
  const drawn = curve(points([0, 1], [-Number.MAX_VALUE, Number.MAX_VALUE]), BOX);
  expect(drawn?.lines).toEqual(["5.0,55.0 105.0,5.0"]);
});

test("without a finite value there is no curve", () => {
  expect(curve(points([0, 1], ["nan", "-inf"]), BOX)).toBeNull();
  expect(curve(points([], []), BOX)).toBeNull();
});

test("the nearest spot is found from anywhere", () => {
  const spots = curve(points([0, 50, 50, 100], [1, 2, 3, 4]), BOX)?.spots ?? [];
  expect([-20, 29, 56, 999].map((x) => nearest(spots, x)?.step)).toEqual([0, 0, 50, 100]);
  expect(nearest([], 5)).toBeNull();
});
