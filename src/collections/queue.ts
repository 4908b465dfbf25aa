/** A member of a queue, which keeps its neighbours there. */
export interface Queued<Member> {
  before: Member | undefined;
  after: Member | undefined;
}

/**
 * A doubly linked list whose members keep their neighbours: first in, first out, and out from anywhere. A member that is
 * out refers to no other, so that one that the garbage collector finds late keeps no others alive.
 */
export class Queue<Member extends Queued<Member>> {
  #first: Member | undefined;
  #last: Member | undefined;
  #size = 0;

  get first(): Member | undefined {
    return this.#first;
  }

  get size(): number {
    return this.#size;
  }

  /** Adds a member, once, as the last. */
  add(member: Member): void {
    member.before = this.#last;
    if (this.#last === undefined) this.#first = member;
    else this.#last.after = member;
    this.#last = member;
    this.#size += 1;
  }

  /** Takes a member out, if it is there. */
  delete(member: Member): void {
    const { before, after } = member;
    if (before === undefined && this.#first !== member) return;
    if (before === undefined) this.#first = after;
    else before.after = after;
    if (after === undefined) this.#last = before;
    else after.before = before;
    member.before = undefined;
    member.after = undefined;
    this.#size -= 1;
  }
}
