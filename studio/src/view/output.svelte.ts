// The output of one run on the screen: follows its end, fetches what stands before when asked to.

import { Lines } from "../core/lines";
import { Refusal } from "../core/rest";
import type { LogSource } from "./source";
import { studio } from "./studio.svelte";

// Enough for some screens of text at once; the rest is a scroll away.
const TAIL_BYTES = 256 << 10;
const EARLIER_BYTES = 512 << 10;

export class Output implements LogSource {
  // Grows with each change of the lines, which themselves aren't watched: there may be many.
  version = $state(0);
  isEnded = $state(false);
  isLoading = $state(false);
  trouble = $state("");
  trimmedAt = $state(0); // where the journal begins, once retention has taken its beginning
  lines = new Lines();
  // How many lines were put before (or taken from) the beginning, so that a view can stay in place.
  onShift: (lines: number) => void = () => {};

  private readonly path: string;
  private unfollow: () => void = () => {};
  private isOpen = true;

  constructor(
    readonly runId: string,
    private readonly name = "output",
  ) {
    this.path = `/api/runs/${runId}/journals/${name}`;
    void this.begin();
  }

  dispose(): void {
    this.isOpen = false;
    this.unfollow();
  }

  readonly beginAt = null;

  get sizeBytes(): number {
    return this.lines.next;
  }

  get earlierBytes(): number {
    return this.lines.first - this.trimmedAt;
  }

  get downloadPath(): string {
    return `/api/runs/${this.runId}/output?limit=1073741824`;
  }

  get downloadName(): string {
    return `${this.runId}.log`;
  }

  get hasEarlier(): boolean {
    return this.lines.first > this.trimmedAt;
  }

  private async begin(): Promise<void> {
    let start = 0;
    try {
      const { sizeBytes } = await studio.rest.piece(this.path, 0, 1);
      start = Math.max(0, sizeBytes - TAIL_BYTES);
      if (start > 0) start = await this.lineStart(start);
    } catch (error) {
      if (error instanceof Refusal && error.code === "trimmed") start = await this.firstKept();
      else if (error instanceof Refusal && error.status === 404) {
        this.trouble = "";
      } else if (error instanceof Refusal) this.trouble = error.message;
    }
    if (this.isOpen) this.follow(start);
  }

  private follow(start: number): void {
    this.lines = new Lines(start);
    this.version++;
    this.unfollow = studio.live.journal(this.runId, this.name, start, {
      bytes: (_at, bytes) => {
        const dropped = this.lines.append(bytes);
        if (dropped > 0) this.onShift(-dropped);
        this.version++;
      },
      end: () => (this.isEnded = true),
      refused: (code, message, first) => {
        if (code === "trimmed" && first !== undefined) {
          this.trimmedAt = first;
          this.follow(first);
        } else if (code !== "not_found") this.trouble = message;
      },
    });
  }

  // The first beginning of a line at or after `offset`.
  private async lineStart(offset: number): Promise<number> {
    const piece = await studio.rest.piece(this.path, offset, 64 << 10);
    const newline = piece.bytes.indexOf(10);
    return newline < 0 ? offset : offset + newline + 1;
  }

  private async firstKept(): Promise<number> {
    return this.trimmedAt;
  }

  // Fetch what stands before the first line. Returns whether anything came.
  async loadEarlier(): Promise<boolean> {
    const end = this.lines.first;
    if (this.isLoading || end <= this.trimmedAt) return false;
    this.isLoading = true;
    try {
      const start = Math.max(this.trimmedAt, end - EARLIER_BYTES);
      const piece = await studio.rest.piece(this.path, start, end - start);
      const added = this.lines.prepend(start, piece.bytes, start === this.trimmedAt);
      if (added === 0) this.trimmedAt = end; // one line longer than what is fetched at once
      this.onShift(added);
      this.version++;
      return added > 0;
    } catch (error) {
      this.trouble = error instanceof Refusal ? error.message : "this part could not be loaded";
      return false;
    } finally {
      this.isLoading = false;
    }
  }
}
