// Bytes that wait: added at the end, taken from the beginning, read in between. No byte is copied
// when others are added or taken, so a paste of many megabytes costs what it is.

export class Queue {
  length = 0;
  private pieces: Uint8Array[] = [];
  private taken = 0; // bytes of the first piece that are gone

  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.pieces.push(bytes.slice());
    this.length += bytes.length;
  }

  take(count: number): void {
    this.length -= count;
    this.taken += count;
    let done = 0;
    for (let first = this.pieces[0]; first && this.taken >= first.length; first = this.pieces[done]) {
      this.taken -= first.length;
      done++;
    }
    this.pieces.splice(0, done);
  }

  clear(): void {
    this.pieces = [];
    this.length = this.taken = 0;
  }

  slice(start: number, end: number): Uint8Array {
    const found = new Uint8Array(Math.max(0, Math.min(end, this.length) - start));
    let at = -this.taken; // where the piece begins
    for (const piece of this.pieces) {
      if (at >= start + found.length) break;
      const from = Math.max(start, at, 0);
      const to = Math.min(start + found.length, at + piece.length);
      if (from < to) found.set(piece.subarray(from - at, to - at), from - start);
      at += piece.length;
    }
    return found;
  }
}
