import { hashWord, homeOf, SegmentedTable, type TableOptions, tailWords } from "./segmented-table.ts";
import { uuidWords } from "./uuid.ts";

/** A slot has the user's number, the words of the id, and a word of the caller. */
const idWord = 1;
const stateWord = idWord + uuidWords;
const width = stateWord + 1;

/** A table from the ids of users to their numbers, from 1 on, and to a word that says what is known of each. */
export class UserTable extends SegmentedTable {
  constructor(options: TableOptions) {
    super(width, uuidWords, options);
  }

  hashOf(id: Int32Array): number {
    return this.#hash(id[0] as number, id[1] as number, id[2] as number, id[3] as number);
  }

  /**
   * Finds a user by the words of the id, and their hash. Returns the place of the user until the next change; -1 when there is
   * none.
   */
  find(id: Int32Array, hash = this.hashOf(id)): number {
    const a = id[0] as number;
    const b = id[1] as number;
    const c = id[2] as number;
    const d = id[3] as number;
    const words = this.segmentOf(hash);
    this.words = words;
    const end = words.length - tailWords;
    let at = homeOf(words, width, hash);
    for (;;) {
      if (words[at] === 0) return -1;
      if (words[at + 1] === a && words[at + 2] === b && words[at + 3] === c && words[at + 4] === d) return at;
      at += width;
      if (at === end) at = 0;
    }
  }

  /** Adds a user who is not there. Returns the place, as `find` does. */
  add(id: Int32Array, number: number, state: number): number {
    const at = this.take(this.hashOf(id));
    const { words } = this;
    words[at] = number;
    words.set(id, at + idWord);
    words[at + stateWord] = state;
    return at;
  }

  /** The number of the user at the place that was found last. */
  numberAt(at: number): number {
    return this.words[at] as number;
  }

  stateAt(at: number): number {
    return this.words[at + stateWord] as number;
  }

  setStateAt(at: number, state: number): void {
    this.words[at + stateWord] = state;
  }

  protected override hashAt(words: Int32Array, at: number): number {
    return this.#hash(
      words[at + 1] as number,
      words[at + 2] as number,
      words[at + 3] as number,
      words[at + 4] as number,
    );
  }

  #hash(a: number, b: number, c: number, d: number): number {
    const table = this.tabulation;
    return hashWord(table, 0, a) ^ hashWord(table, 1, b) ^ hashWord(table, 2, c) ^ hashWord(table, 3, d);
  }
}
