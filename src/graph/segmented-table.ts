export interface TableOptions {
  /** The entries of a segment from which on it is split: they bound how long one change can take. */
  readonly segmentEntries: number;
  /** Fills an array with random bits. */
  readonly randomize: (words: Int32Array<ArrayBuffer>) => void;
}

const valuesOfByte = 256;
const bytesOfWord = 4;

const least = 8;
/** The shares of taken slots: the highest, that of a segment after a change of its size, and the lowest. */
const highestLoad = 0.8;
const usualLoad = 0.72;
const lowestLoad = 0.4;
/** The first bits of a hash choose the segment, the others the slot. */
const hashBits = 32;
const maxDepth = 17;
const slotBits = hashBits - maxDepth;
const slotMask = (1 << slotBits) - 1;
/** The most entries of the directory for each segment: hashes that have many first bits in common do not let it grow. */
const maxDirectoryShare = 4;

/** What one word adds to the hash of a key; `place` is the index of the word in the key. */
export function hashWord(tabulation: Int32Array, place: number, word: number): number {
  const at = place * bytesOfWord * valuesOfByte;
  return (
    (tabulation[at + (word & 255)] as number) ^
    (tabulation[at + valuesOfByte + ((word >>> 8) & 255)] as number) ^
    (tabulation[at + 2 * valuesOfByte + ((word >>> 16) & 255)] as number) ^
    (tabulation[at + 3 * valuesOfByte + (word >>> 24)] as number)
  );
}

/** Where a sweep ends: after the highest hash. */
export const sweepEnd = 2 ** hashBits;

/** The last words of a segment: how many slots are taken, and how many first bits all its hashes have in common. */
export const tailWords = 2;
const countOf = (words: Int32Array) => words[words.length - 2] as number;
const depthOf = (words: Int32Array) => words[words.length - 1] as number;
const addToCount = (words: Int32Array, change: number) => {
  words[words.length - 2] = countOf(words) + change;
};

/**
 * An open-addressing table that grows without long pauses: it consists of segments, found by the first bits of the hash
 * (extendible hashing), and a change moves the entries of one segment at most. Segments grow by an eighth, so that few
 * slots are empty, and nothing is marked as deleted: the entries after a removed one move up.
 *
 * A segment is one array of slots with linear probing. A slot whose first word is 0 is empty.
 *
 * The hash is a simple tabulation: the exclusive or of one random word for each byte of the key. With linear probing it
 * takes expected constant time whatever the keys are, provided that who chooses them does not know the random words
 * (Patrascu and Thorup, "The power of simple tabulation hashing").
 */
export abstract class SegmentedTable {
  /** The segment in which the last search ended, or to which the last entry was added. */
  words: Int32Array;

  readonly #width: number;
  readonly #segmentEntries: number;
  /** The segment of each value of the first bits. */
  #directory: Int32Array[];
  /** What a hash is shifted by to the right to get these bits. */
  #shift = hashBits - 1;
  #segments = 2;
  #bytes = 0;
  /** What `touch` has read, so that it must read it. */
  #touched = 0;

  /** The random words of the hash: see `hashWord`. */
  protected readonly tabulation: Int32Array;

  /** Makes a table whose slots have `width` words, for keys of `keyWords`. */
  constructor(width: number, keyWords: number, { segmentEntries, randomize }: TableOptions) {
    const tabulation = new Int32Array(keyWords * bytesOfWord * valuesOfByte);
    randomize(tabulation);
    this.tabulation = tabulation;
    this.#width = width;
    this.#segmentEntries = segmentEntries;
    this.#directory = [this.#allocate(least, 1), this.#allocate(least, 1)];
    this.words = this.segmentOf(0);
  }

  /** The hash of the entry whose slot begins at a word. */
  protected abstract hashAt(words: Int32Array, at: number): number;

  /** The size of all segments and of the hash. */
  get bytes(): number {
    return this.#bytes + this.tabulation.byteLength;
  }

  protected segmentOf(hash: number): Int32Array {
    return this.#directory[hash >>> this.#shift] as Int32Array;
  }

  /** Has the processor fetch the memory in which a search for a hash begins, without waiting for it. */
  touch(hash: number): void {
    const words = this.segmentOf(hash);
    this.#touched ^= words[homeOf(words, this.#width, hash)] as number;
  }

  /** Takes the slot of a new entry, all zero. Returns its first word, in `words`; the caller sets its key at once. */
  protected take(hash: number): number {
    const width = this.#width;
    let words = this.segmentOf(hash);
    for (;;) {
      const capacity = capacityOf(words, width);
      if (countOf(words) + 1 <= capacity * highestLoad) break;
      if (countOf(words) >= this.#segmentEntries && this.#canSplit(words)) this.#split(words, hash);
      else this.#resize(words, hash, capacity + (capacity >> 3));
      words = this.segmentOf(hash);
    }
    addToCount(words, 1);
    this.words = words;
    return freeSlot(words, width, hash);
  }

  /** Removes the entry of `words` whose slot begins at a word. */
  removeAt(at: number): void {
    const { words } = this;
    const hash = this.hashAt(words, at);
    this.#close(words, at);
    this.#shrink(words, hash);
  }

  /**
   * Removes those entries of the segment of a hash that `isGone` is true for. Returns the first hash after the segment,
   * `sweepEnd` after the last one: whatever is split or added meanwhile, calls from hash 0 on see every entry.
   */
  sweep(hash: number, isGone: (words: Int32Array, at: number) => boolean): number {
    const words = this.segmentOf(hash);
    const hashes = 2 ** (hashBits - depthOf(words));
    const end = words.length - tailWords;
    let at = 0;
    while (at < end) {
      // Where one was removed there is another one now, or none.
      if (words[at] !== 0 && isGone(words, at)) this.#close(words, at);
      else at += this.#width;
    }
    this.#shrink(words, hash);
    return (Math.floor(hash / hashes) + 1) * hashes;
  }

  /** Empties a slot, and moves up the entries after it that would not be found any more. */
  #close(words: Int32Array, at: number): void {
    const width = this.#width;
    const end = words.length - tailWords;
    let hole = at;
    let next = at;
    for (;;) {
      next += width;
      if (next === end) next = 0;
      if (words[next] === 0) break;
      const home = homeOf(words, width, this.hashAt(words, next));
      const fromHome = next >= home ? next - home : next - home + end;
      const fromHole = next >= hole ? next - hole : next - hole + end;
      if (fromHome < fromHole) continue;
      words.copyWithin(hole, next, next + width);
      hole = next;
    }
    words.fill(0, hole, hole + width);
    addToCount(words, -1);
  }

  #shrink(words: Int32Array, hash: number): void {
    const capacity = capacityOf(words, this.#width);
    const count = countOf(words);
    if (count < capacity * lowestLoad && capacity > least) this.#resize(words, hash, capacityFor(count));
  }

  #canSplit(words: Int32Array): boolean {
    const depth = depthOf(words);
    if (depth < hashBits - this.#shift) return true;
    return depth < maxDepth && this.#directory.length < maxDirectoryShare * this.#segments;
  }

  /** Replaces a segment, of which `hash` is, by two: the next bit of a hash says which. */
  #split(words: Int32Array, hash: number): void {
    const depth = depthOf(words);
    if (depth === hashBits - this.#shift) this.#deepen();
    const nextBit = hashBits - 1 - depth;
    const bitMask = 1 << nextBit;
    let ones = 0;
    for (let at = 0; at < words.length - tailWords; at += this.#width)
      if (words[at] !== 0) ones += (this.hashAt(words, at) >>> nextBit) & 1;
    this.#place(this.#allocate(capacityFor(countOf(words) - ones), depth + 1), hash & ~bitMask);
    this.#place(this.#allocate(capacityFor(ones), depth + 1), hash | bitMask);
    this.#segments++;
    this.#move(words);
  }

  /** Gives the segment of a hash another capacity. */
  #resize(words: Int32Array, hash: number, capacity: number): void {
    this.#place(this.#allocate(capacity, depthOf(words)), hash);
    this.#move(words);
  }

  /** Puts the entries of a segment that was replaced where they belong now. */
  #move(words: Int32Array): void {
    const width = this.#width;
    this.#bytes -= words.byteLength;
    for (let at = 0; at < words.length - tailWords; at += width) {
      if (words[at] === 0) continue;
      const hash = this.hashAt(words, at);
      const target = this.segmentOf(hash);
      const to = freeSlot(target, width, hash);
      for (let word = 0; word < width; word++) target[to + word] = words[at + word] as number;
      addToCount(target, 1);
    }
  }

  /** Makes a segment the one of all hashes that have its first bits in common with one. */
  #place(words: Int32Array, hash: number): void {
    const depth = depthOf(words);
    const places = this.#directory.length / 2 ** depth;
    const first = (hash >>> (hashBits - depth)) * places;
    this.#directory.fill(words, first, first + places);
  }

  /** Doubles the directory. */
  #deepen(): void {
    const deeper = new Array<Int32Array>(this.#directory.length * 2);
    for (const [place, words] of this.#directory.entries()) deeper.fill(words, place * 2, place * 2 + 2);
    this.#directory = deeper;
    this.#shift--;
  }

  #allocate(capacity: number, depth: number): Int32Array {
    const words = new Int32Array(capacity * this.#width + tailWords);
    words[words.length - 1] = depth;
    this.#bytes += words.byteLength;
    return words;
  }
}

function capacityOf(words: Int32Array, width: number): number {
  return ((words.length - tailWords) / width) | 0;
}

function capacityFor(count: number): number {
  return Math.max(least, Math.ceil(count / usualLoad));
}

/** The first word of the slot in which the search for a hash begins. */
export function homeOf(words: Int32Array, width: number, hash: number): number {
  return (((hash & slotMask) * capacityOf(words, width)) >>> slotBits) * width;
}

/** The first word of the slot for a new entry. */
function freeSlot(words: Int32Array, width: number, hash: number): number {
  let at = homeOf(words, width, hash);
  while (words[at] !== 0) {
    at += width;
    if (at === words.length - tailWords) at = 0;
  }
  return at;
}
