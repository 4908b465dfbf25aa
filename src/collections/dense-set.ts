/** A member of a dense set. It keeps its index there; -1 while it is in none. */
export interface DenseSetMember {
  denseIndex: number;
}

/**
 * A set without order for members that come and go thousands of times a second: an array in which the last member takes
 * the index of one that leaves. See docs/decisions/0019-dense-sets-for-calls-in-flight.md for why no `Set` is used.
 */
export class DenseSet<Member extends DenseSetMember> implements Iterable<Member> {
  readonly #members: Member[] = [];

  get size(): number {
    return this.#members.length;
  }

  /** Adds a member, once. */
  add(member: Member): void {
    member.denseIndex = this.#members.push(member) - 1;
  }

  /** Takes a member out, if it is there. */
  delete(member: Member): void {
    if (member.denseIndex < 0) return;
    const last = this.#members.pop() as Member;
    if (last !== member) {
      this.#members[member.denseIndex] = last;
      last.denseIndex = member.denseIndex;
    }
    member.denseIndex = -1;
  }

  /** The members at the time of the call: members may come and go meanwhile. */
  [Symbol.iterator](): Iterator<Member> {
    return this.#members.slice()[Symbol.iterator]();
  }
}
