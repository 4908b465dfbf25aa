const queueChunk = 1_024;
const rangeShift = 17;
const bitsOfChunk = 1 << rangeShift;

/**
 * Gives users their numbers, from 1 on. The number of an erased user is given out again only when nothing names it any
 * more: after a sweep that began later has ended.
 */
export class UserNumbers {
  #highest = 0;
  /** Retired numbers, oldest first. */
  readonly #chunks: Int32Array[] = [];
  /** How many were ever taken from the queue and put into it; the former is of the first chunk. */
  #taken = 0;
  #retired = 0;
  /** How many of those ever retired were so before the sweep, and before the last sweep that has ended. */
  #sweptNow = 0;
  #swept = 0;
  /** A bit for each number that is in the queue, by ranges of numbers; undefined where there was never one. */
  readonly #bits: (Int32Array | undefined)[] = [];

  /** The size of the arrays. */
  get bytes(): number {
    const chunks = this.#chunks.length * queueChunk * Int32Array.BYTES_PER_ELEMENT;
    return chunks + this.#bits.reduce((sum, bits) => sum + (bits?.byteLength ?? 0), 0);
  }

  /** Whether there are retired numbers that no sweep has dealt with yet. */
  get needsSweep(): boolean {
    return this.#swept < this.#retired;
  }

  /** A number that nothing names. */
  next(): number {
    if (this.#taken === this.#swept) return ++this.#highest;
    const number = (this.#chunks[0] as Int32Array)[this.#taken % queueChunk] as number;
    this.#taken++;
    if (this.#taken % queueChunk === 0) this.#chunks.shift();
    const bits = this.#bits[number >>> rangeShift] as Int32Array;
    bits[(number % bitsOfChunk) >> 5] = (bits[(number % bitsOfChunk) >> 5] as number) & ~(1 << (number & 31));
    return number;
  }

  retire(number: number): void {
    if (this.#retired % queueChunk === 0) this.#chunks.push(new Int32Array(queueChunk));
    (this.#chunks.at(-1) as Int32Array)[this.#retired % queueChunk] = number;
    this.#retired++;
    const range = number >>> rangeShift;
    this.#bits[range] ??= new Int32Array(bitsOfChunk / 32);
    const bits = this.#bits[range] as Int32Array;
    bits[(number % bitsOfChunk) >> 5] = (bits[(number % bitsOfChunk) >> 5] as number) | (1 << (number & 31));
  }

  isRetired(number: number): boolean {
    const bits = this.#bits[number >>> rangeShift];
    return bits !== undefined && ((bits[(number % bitsOfChunk) >> 5] as number) & (1 << (number & 31))) !== 0;
  }

  /** A sweep begins, which removes whatever names a retired number. */
  beginSweep(): void {
    this.#sweptNow = this.#retired;
  }

  endSweep(): void {
    this.#swept = this.#sweptNow;
  }
}
