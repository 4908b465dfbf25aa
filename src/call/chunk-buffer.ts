/** How many chunks are merged into one. */
const mergedCount = 128;

/**
 * The chunks of a body that is being read. A client can cut it into chunks of one byte each, and Node makes a buffer of
 * more than a hundred bytes for each: without merging, small bodies could take a hundred times their size.
 */
export class ChunkBuffer {
  readonly #merged: Buffer[] = [];
  #recent: Buffer[] = [];
  #bytes = 0;

  /** The number of bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  push(chunk: Buffer): void {
    this.#bytes += chunk.length;
    this.#recent.push(chunk);
    if (this.#recent.length < mergedCount) return;
    this.#merged.push(Buffer.concat(this.#recent));
    this.#recent = [];
  }

  /** All chunks in their order, some merged. */
  all(): readonly Buffer[] {
    return this.#merged.length === 0 ? this.#recent : [...this.#merged, ...this.#recent];
  }

  /** All bytes; those of a single chunk are not copied. */
  concat(): Buffer {
    const all = this.all();
    const [first] = all;
    return first?.length === this.#bytes ? first : Buffer.concat(all, this.#bytes);
  }
}
