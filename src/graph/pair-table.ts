import { hashWord, homeOf, SegmentedTable, type TableOptions, tailWords } from "./segmented-table.ts";

const keyWords = 2;

/** A table by two numbers of users, from 1 on. The words after these two are the caller's. */
export class PairTable extends SegmentedTable {
  readonly #width: number;

  /** Makes a table with some words for each pair. */
  constructor(valueWords: number, options: TableOptions) {
    super(keyWords + valueWords, keyWords, options);
    this.#width = keyWords + valueWords;
  }

  /** Finds a pair. Returns the first word of its values, in `words`; -1 when it is not there. */
  find(first: number, second: number): number {
    const hash = this.hashOf(first, second);
    const words = this.segmentOf(hash);
    this.words = words;
    const width = this.#width;
    const end = words.length - tailWords;
    let at = homeOf(words, width, hash);
    for (;;) {
      const found = words[at];
      if (found === first && words[at + 1] === second) return at + keyWords;
      if (found === 0) return -1;
      at += width;
      if (at === end) at = 0;
    }
  }

  /** Finds a pair, or adds it with values of 0. Returns the first word of its values, in `words`. */
  findOrAdd(first: number, second: number): number {
    const found = this.find(first, second);
    if (found >= 0) return found;
    const at = this.take(this.hashOf(first, second));
    const { words } = this;
    words[at] = first;
    words[at + 1] = second;
    return at + keyWords;
  }

  /** Removes a pair, if it is there. */
  delete(first: number, second: number): void {
    const at = this.find(first, second);
    if (at >= 0) this.removeAt(at - keyWords);
  }

  protected override hashAt(words: Int32Array, at: number): number {
    return this.hashOf(words[at] as number, words[at + 1] as number);
  }

  hashOf(first: number, second: number): number {
    return hashWord(this.tabulation, 0, first) ^ hashWord(this.tabulation, 1, second);
  }
}
