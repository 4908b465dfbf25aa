/** A member of a roster, which keeps `place`; -1 as long as it has none. */
export interface Placed {
  place: number;
}

/**
 * What comes and goes thousands of times a second, in no order. A long-lived `Set` needs a new table every few dozen
 * times, and the old ones keep what stood in them until a full collection; to collect is the largest part of what a
 * call costs (17 to 28% of its profile).
 */
export class Roster<Member extends Placed> implements Iterable<Member> {
  readonly #members: Member[] = [];

  get size(): number {
    return this.#members.length;
  }

  /** Adds a member, once. */
  add(member: Member): void {
    member.place = this.#members.push(member) - 1;
  }

  /** Takes a member out, if it is there. */
  delete(member: Member): void {
    if (member.place < 0) return;
    const last = this.#members.pop() as Member;
    if (last !== member) {
      this.#members[member.place] = last;
      last.place = member.place;
    }
    member.place = -1;
  }

  /** The members of now, whatever happens to them meanwhile. */
  [Symbol.iterator](): Iterator<Member> {
    return this.#members.slice()[Symbol.iterator]();
  }
}
