// The points that draw one series, fetched anew when it has grown: once at a time, at most each second.

import type { Points } from "../core/chart";
import { after } from "./host";
import { studio } from "./studio.svelte";

const SHOWN = 400;
const REST_MS = 1000;
const LONGEST_REST_MS = 30_000; // after failures in a row

export class SeriesPoints {
  points = $state.raw<Points | null>(null);
  private wanted = 0; // how many points the series has by now
  private asked = -1; // how many it had when it was asked for last
  private restMs = REST_MS;
  private isBusy = false;
  private isOpen = true;
  private cancel: () => void = () => {};

  constructor(
    private readonly run: string,
    private readonly name: string,
  ) {}

  // The series has so many points now.
  grown(n: number): void {
    this.wanted = n;
    if (!this.isBusy && this.wanted !== this.asked) void this.fetch();
  }

  dispose(): void {
    this.isOpen = false;
    this.cancel();
  }

  private async fetch(): Promise<void> {
    this.isBusy = true;
    const asked = this.wanted;
    try {
      const points = await studio.rest.get<Points>(`/api/runs/${this.run}/series`, { name: this.name, points: SHOWN });
      this.asked = asked;
      this.restMs = REST_MS;
      if (this.isOpen) this.points = points;
    } catch {
      // The curve stays as it is; the bar says when the server is away.
      this.restMs = Math.min(2 * this.restMs, LONGEST_REST_MS);
    }
    if (!this.isOpen) return;
    this.cancel = after(this.restMs, () => {
      this.isBusy = false;
      this.grown(this.wanted);
    });
  }
}
