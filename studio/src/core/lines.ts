// The lines of an output: bytes in, lines out, by offset at both ends.
//
// Bytes are added at the end as they come and before the beginning when somebody scrolls up. A line
// is what a terminal would show of it: a carriage return starts it over. Control sequences stay in
// the text; `spans` in ansi.ts says what is to be shown. At most MAX_LINES are held; the far end
// gives way, and `first` says where the lines begin now.

export const MAX_LINES = 200_000;
export const MAX_LINE_CHARS = 10_000;

export class Lines {
  first = 0; // offset of the first line held
  next = 0; // offset after the last byte taken
  private texts: string[] = [];
  private ats: number[] = []; // each line's offset
  private rest = new Uint8Array(0); // bytes after the last newline
  private readonly decoder = new TextDecoder("utf-8");

  // `start`: the offset of the first byte that will be added, at the beginning of a line.
  constructor(start = 0) {
    this.first = this.next = start;
  }

  // With the line that hasn't ended yet.
  get count(): number {
    return this.texts.length + (this.rest.length > 0 ? 1 : 0);
  }

  text(index: number): string {
    return this.texts[index] ?? (this.rest.length > 0 ? this.decoded(this.rest) : "");
  }

  at(index: number): number {
    return this.ats[index] ?? this.next - this.rest.length;
  }

  // Bytes that follow those before; returns how many lines were dropped at the beginning.
  append(bytes: Uint8Array): number {
    const whole = joined(this.rest, bytes);
    let at = this.next - this.rest.length;
    this.next += bytes.length;
    let start = 0;
    for (let end = whole.indexOf(10); end >= 0; end = whole.indexOf(10, start)) {
      this.texts.push(this.decoded(whole.subarray(start, end)));
      this.ats.push(at);
      at += end + 1 - start;
      start = end + 1;
    }
    this.rest = whole.slice(start);
    if (this.texts.length <= MAX_LINES) return 0;
    // A tenth at once, so that not every line moves all others.
    const dropped = this.texts.length - MAX_LINES + MAX_LINES / 10;
    this.texts.splice(0, dropped);
    this.ats.splice(0, dropped);
    this.first = this.at(0);
    return dropped;
  }

  // Bytes that end at `first`; returns how many lines that made. What stands before the first
  // newline is part of a line whose beginning isn't here, unless `start` is where the journal begins.
  prepend(start: number, bytes: Uint8Array, isBeginning: boolean): number {
    const skipped = isBeginning ? 0 : bytes.indexOf(10) + 1;
    const texts: string[] = [];
    const ats: number[] = [];
    let from = skipped;
    for (let end = bytes.indexOf(10, from); end >= 0; end = bytes.indexOf(10, from)) {
      texts.push(this.decoded(bytes.subarray(from, end)));
      ats.push(start + from);
      from = end + 1;
    }
    if (texts.length === 0) return 0;
    this.texts = texts.concat(this.texts);
    this.ats = ats.concat(this.ats);
    this.first = start + skipped;
    return texts.length;
  }

  // Indexes of the lines that hold `needle`, upper and lower case alike.
  *matches(needle: string, from = 0): Generator<number> {
    const wanted = needle.toLowerCase();
    for (let index = from; index < this.count; index++) {
      if (this.text(index).toLowerCase().includes(wanted)) yield index;
    }
  }

  private decoded(bytes: Uint8Array): string {
    let end = bytes.length;
    if (end > 0 && bytes[end - 1] === 13) end--;
    // Progress bars write one line again and again: the last writing is what there is to see.
    let start = bytes.lastIndexOf(13, end - 1) + 1;
    if (start === end) start = bytes.lastIndexOf(13, end - 2) + 1;
    const isLong = end - start > MAX_LINE_CHARS;
    const text = this.decoder.decode(bytes.subarray(start, isLong ? start + MAX_LINE_CHARS : end));
    return isLong ? `${text} … ${end - start - MAX_LINE_CHARS} more bytes` : text;
  }
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(first.length + second.length);
  whole.set(first);
  whole.set(second, first.length);
  return whole;
}
