import { allScopes, type EdgeChange } from "../domain/changes.ts";
import type { EdgeTerms } from "../domain/edges.ts";
import { privacySettings } from "../domain/settings.ts";
import { PairTable } from "./pair-table.ts";
import type { TableOptions } from "./segmented-table.ts";

export type EdgeKind = EdgeChange["kind"];

/** The bits of what one user has with regard to another. */
export const edgeBits: Readonly<Record<EdgeKind, number>> = { block: 1, mute: 2, follow: 4 };
const allEdges = edgeBits.block | edgeBits.mute | edgeBits.follow;
/** The bit of the first setting's exception; those of the others follow. */
export const firstException = 8;
/** The bits of a block and of a mute with terms of their own: one that ends, or that does not cover everything. */
const termsBits = { block: firstException << privacySettings.length, mute: 0 };
termsBits.mute = termsBits.block << 1;
/** The bits of one direction: the others have those of the reverse direction. */
const directionBits = 16;
const direction = (1 << directionBits) - 1;

/** The words of terms: when the edge ends, in two halves, and what it covers. */
const termsWords = 3;
const half = 2 ** 32;
/** What `endAt` says of an edge that does not end. */
const noEnd = 2 ** 64;
/** When an edge ends that does not end by itself. */
export const never = Number.POSITIVE_INFINITY;

/**
 * All edges and exceptions between users, by their numbers. One entry for each two users has a bit for each edge and
 * exception of either; what few edges have, their end and scopes, is in tables of its own.
 */
export class Edges {
  readonly #pairs: PairTable;
  readonly #terms: { readonly block: PairTable; readonly mute: PairTable };
  #count = 0;

  constructor(options: TableOptions) {
    this.#pairs = new PairTable(1, options);
    this.#terms = { block: new PairTable(termsWords, options), mute: new PairTable(termsWords, options) };
  }

  /** Blocks, mutes and follows. Those of erased users count until a sweep has removed them. */
  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#pairs.bytes + this.#terms.block.bytes + this.#terms.mute.bytes;
  }

  /** The hash of two users, for `touch`. */
  hashOf(user: number, other: number): number {
    return this.#pairs.hashOf(Math.min(user, other), Math.max(user, other));
  }

  /** Has the processor fetch the memory that `between` reads first about two users. */
  touch(hash: number): void {
    this.#pairs.touch(hash);
  }

  /** Everything between two users: the lower 16 bits are those of `user` with regard to `other`, the upper the reverse. */
  between(user: number, other: number): number {
    const at = this.#pairs.find(Math.min(user, other), Math.max(user, other));
    if (at < 0) return 0;
    const bits = this.#pairs.words[at] as number;
    return user < other ? bits : (bits >>> directionBits) | (bits << directionBits);
  }

  /** Whether a block holds at a time, given the bits of its direction. */
  isBlocking(bits: number, owner: number, target: number, nowMicros: number): boolean {
    if ((bits & edgeBits.block) === 0) return false;
    if ((bits & termsBits.block) === 0) return true;
    const at = this.#terms.block.find(owner, target);
    return endAt(this.#terms.block.words, at) > nowMicros;
  }

  /** Whether a mute holds at a time and covers one of some scopes, given the bits of its direction. */
  isMuting(bits: number, owner: number, target: number, nowMicros: number, scopes: number): boolean {
    if ((bits & edgeBits.mute) === 0 || scopes === 0) return false;
    if ((bits & termsBits.mute) === 0) return true;
    const at = this.#terms.mute.find(owner, target);
    const { words } = this.#terms.mute;
    return ((words[at + 2] as number) & scopes) !== 0 && endAt(words, at) > nowMicros;
  }

  /** The terms of an edge; undefined when it does not hold. */
  terms(kind: EdgeKind, owner: number, target: number): EdgeTerms | undefined {
    const bits = this.between(owner, target);
    if ((bits & edgeBits[kind]) === 0) return undefined;
    if (kind === "follow" || (bits & termsBits[kind]) === 0) return { expiresAt: null, scopes: allScopes };
    const at = this.#terms[kind].find(owner, target);
    const { words } = this.#terms[kind];
    const end = endAt(words, at);
    return { expiresAt: end >= noEnd ? null : BigInt(end), scopes: words[at + 2] as number };
  }

  /** Whether a user is an exception of the setting with an index. */
  isException(setting: number, owner: number, target: number): boolean {
    return (this.between(owner, target) & (firstException << setting)) !== 0;
  }

  /** Records that an edge holds, with its end in microseconds since 1970 (`never`) and its scopes. */
  set(kind: EdgeKind, owner: number, target: number, expiresAt: number, scopes: number): void {
    if (kind === "follow") {
      this.#change(owner, target, 0, edgeBits.follow);
    } else if (expiresAt === never && scopes === allScopes) {
      const before = this.#change(owner, target, termsBits[kind], edgeBits[kind]);
      if ((before & termsBits[kind]) !== 0) this.#terms[kind].delete(owner, target);
    } else {
      this.#change(owner, target, 0, edgeBits[kind] | termsBits[kind]);
      const at = this.#terms[kind].findOrAdd(owner, target);
      const { words } = this.#terms[kind];
      const end = Math.max(0, expiresAt);
      // Every bit set is a time that never comes.
      words[at] = end === never ? -1 : (end % half) | 0;
      words[at + 1] = end === never ? -1 : (end / half) | 0;
      words[at + 2] = scopes;
    }
  }

  /** Records that an edge does not hold. */
  delete(kind: EdgeKind, owner: number, target: number): void {
    if (kind === "follow") {
      this.#change(owner, target, edgeBits.follow, 0);
      return;
    }
    const before = this.#change(owner, target, edgeBits[kind] | termsBits[kind], 0);
    if ((before & termsBits[kind]) !== 0) this.#terms[kind].delete(owner, target);
  }

  /** Records whether a user is an exception of the setting with an index. */
  setException(setting: number, owner: number, target: number, present: boolean): void {
    const bit = firstException << setting;
    this.#change(owner, target, bit, present ? bit : 0);
  }

  /**
   * Removes a part of what names a retired user. Returns where the next part begins, a number below `sweepEnd`: calls from
   * 0 on remove all of it.
   */
  sweep(from: number, isRetired: (user: number) => boolean): number {
    return this.#pairs.sweep(from, (words, at) => {
      const first = words[at] as number;
      const second = words[at + 1] as number;
      if (!isRetired(first) && !isRetired(second)) return false;
      const bits = words[at + 2] as number;
      this.#deleteTerms(bits, first, second);
      this.#deleteTerms(bits >>> directionBits, second, first);
      this.#count -= edgesIn(bits) + edgesIn(bits >>> directionBits);
      return true;
    });
  }

  #deleteTerms(bits: number, owner: number, target: number): void {
    if ((bits & termsBits.block) !== 0) this.#terms.block.delete(owner, target);
    if ((bits & termsBits.mute) !== 0) this.#terms.mute.delete(owner, target);
  }

  /** Clears and sets bits of one direction. Returns those before. */
  #change(owner: number, target: number, clear: number, set: number): number {
    const pairs = this.#pairs;
    const first = Math.min(owner, target);
    const second = Math.max(owner, target);
    const shift = owner < target ? 0 : directionBits;
    const at = set === 0 ? pairs.find(first, second) : pairs.findOrAdd(first, second);
    if (at < 0) return 0;
    const { words } = pairs;
    const old = words[at] as number;
    const bits = (old & ~(clear << shift)) | (set << shift);
    words[at] = bits;
    const before = (old >>> shift) & direction;
    this.#count += edgesIn(bits >>> shift) - edgesIn(before);
    if (bits === 0) pairs.removeAt(at - 2);
    return before;
  }
}

/** The number of blocks, mutes and follows in the bits of one direction. */
function edgesIn(bits: number): number {
  const edges = bits & allEdges;
  return (edges & 1) + ((edges >> 1) & 1) + (edges >> 2);
}

/** When the edge ends whose terms begin at a word, in microseconds since 1970. */
function endAt(words: Int32Array, at: number): number {
  return ((words[at + 1] as number) >>> 0) * half + ((words[at] as number) >>> 0);
}
