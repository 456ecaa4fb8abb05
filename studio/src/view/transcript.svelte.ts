// What a session printed, as text, page by page backwards from the end or around a place in it.

import { Refusal } from "../core/rest";
import type { TranscriptPage } from "../core/sessions";
import type { LogSource } from "./source";
import { studio } from "./studio.svelte";

const PAGE_BYTES = 256 << 10;

export class Transcript implements LogSource {
  version = $state(0);
  isLoading = $state(false);
  trouble = $state("");
  beginAt = $state<number | null>(null);
  readonly isEnded = true; // what comes meanwhile is on the terminal
  onShift: (lines: number) => void = () => {};
  first = 0; // offset of the first line held
  firstKept = 0;
  sizeBytes = 0;
  private texts: string[] = [];
  private readonly path: string;

  // `at`: an offset to read from; null for the end.
  constructor(
    private readonly session: string,
    at: number | null = null,
  ) {
    this.path = `/api/sessions/${session}/transcript`;
    void this.begin(at);
  }

  readonly lines = {
    source: this as Transcript,
    get count(): number {
      return this.source.texts.length;
    },
    text(index: number): string {
      return this.source.texts[index] ?? "";
    },
    *matches(needle: string): Generator<number> {
      const wanted = needle.toLowerCase();
      for (const [index, text] of this.source.texts.entries()) {
        if (text.toLowerCase().includes(wanted)) yield index;
      }
    },
  };

  get hasEarlier(): boolean {
    return this.first > this.firstKept;
  }
  get earlierBytes(): number {
    return this.first - this.firstKept;
  }
  get downloadPath(): string {
    return `/api/sessions/${this.session}/export`;
  }
  get downloadName(): string {
    return `${this.session}.txt`;
  }

  async loadEarlier(): Promise<boolean> {
    if (this.isLoading || !this.hasEarlier) return false;
    const page = await this.page({ before: this.first, limit: PAGE_BYTES });
    if (page === null) return false;
    // A page without the beginning of a line: nothing before it can be shown in this way.
    if (page.from >= this.first) {
      this.firstKept = this.first;
      this.version++;
      return false;
    }
    const texts = linesOf(page.text);
    this.texts = texts.concat(this.texts);
    this.first = page.from;
    this.onShift(texts.length);
    this.version++;
    return true;
  }

  private async begin(at: number | null): Promise<void> {
    const query: Record<string, number> = at === null ? { before: Number.MAX_SAFE_INTEGER, limit: PAGE_BYTES } : { from: at, limit: PAGE_BYTES };
    const page = await this.page(query);
    if (page === null) return;
    this.texts = linesOf(page.text);
    this.first = page.from;
    this.firstKept = page.first;
    this.sizeBytes = page.next;
    this.version++;
    if (at === null) return;
    await this.loadEarlier();
    this.beginAt = this.texts.length - linesOf(page.text).length;
  }

  private async page(query: Record<string, number>): Promise<TranscriptPage | null> {
    this.isLoading = true;
    try {
      const page = await studio.rest.get<Partial<TranscriptPage>>(this.path, query);
      // What is 0 or empty isn't said.
      return { first: 0, end: 0, from: 0, next: 0, text: "", ...page };
    } catch (error) {
      this.trouble = error instanceof Refusal ? error.message : "this part could not be loaded";
      return null;
    } finally {
      this.isLoading = false;
    }
  }
}

function linesOf(text: string): string[] {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
}
