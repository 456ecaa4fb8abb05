// A series as a curve: where its points lie in a box of so many pixels. view/Chart.svelte draws it.

// As the server gives a series: sorted by step; what JSON lacks is "nan", "inf" or "-inf".
export interface Points {
  name: string;
  n: number;
  steps: number[];
  values: (number | string)[];
}

export interface Spot {
  x: number;
  y: number;
  step: number;
  value: number;
}

export interface Curve {
  spots: Spot[]; // the finite points, from the left
  lines: string[]; // of SVG polylines: the curve breaks where a value isn't finite
  lone: Spot[]; // points without a finite neighbour, which no line shows
  low: number;
  high: number;
}

export interface Box {
  width: number;
  height: number;
  pad: number;
}

// The points in a box, or null when none is finite. A constant lies in the middle.
export function curve(points: Points, box: Box): Curve | null {
  const finite = points.values.filter((value): value is number => typeof value === "number");
  if (finite.length === 0) return null;
  const low = finite.reduce((a, b) => Math.min(a, b));
  const high = finite.reduce((a, b) => Math.max(a, b));
  const first = points.steps[0] ?? 0;
  const last = points.steps.at(-1) ?? 0;
  const spots: Spot[] = [];
  const lines: string[] = [];
  const lone: Spot[] = [];
  let piece: Spot[] = [];
  const end = (): void => {
    const [only] = piece;
    if (piece.length > 1) lines.push(piece.map(({ x, y }) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" "));
    else if (only) lone.push(only);
    piece = [];
  };
  points.values.forEach((value, n) => {
    if (typeof value !== "number") return end();
    const step = points.steps[n] ?? 0;
    const spot = {
      x: box.pad + part(step, first, last) * (box.width - 2 * box.pad),
      y: box.height - box.pad - part(value, low, high) * (box.height - 2 * box.pad),
      step,
      value,
    };
    piece.push(spot);
    spots.push(spot);
  });
  end();
  return { spots, lines, lone, low, high };
}

// The spot nearest to a place on the x axis; they are sorted, and at least one.
export function nearest(spots: readonly Spot[], x: number): Spot | null {
  let found: Spot | null = null;
  for (const spot of spots) {
    if (found && Math.abs(spot.x - x) > Math.abs(found.x - x)) break;
    found = spot;
  }
  return found;
}

// Where a value lies between two others, 0 to 1. Halved first: a difference may be beyond a double.
function part(value: number, low: number, high: number): number {
  return high > low ? (value / 2 - low / 2) / (high / 2 - low / 2) : 0.5;
}
