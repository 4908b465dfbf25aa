import { formatUuid, type UserId } from "../../../src/domain/users.ts";

/** The bytes of an id. */
export const idBytes = 16;
/** A moment of the middle of 2026, in microseconds since 1970. */
export const drawnNow = 1_780_000_000_000_000;

const kinds = ["block", "mute", "follow", "follow", "follow"] as const;

/** A number below `limit` that depends on two others alone (a round of Murmur's finalizer for each). */
export function draw(index: number, purpose: number, limit: number): number {
  let hash = Math.imul(index ^ Math.imul(purpose + 1, 0x9e3779b1), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  hash = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
  return ((hash ^ (hash >>> 15)) >>> 0) % limit;
}

/** Edges between random users, by number: the same in each process. There is a user for every five. */
export class DrawnEdges {
  readonly count: number;
  readonly users: number;
  /** The bytes of the ids of all users. */
  readonly ids: Uint8Array<ArrayBuffer>;

  constructor(count: number) {
    this.count = count;
    this.users = count / 5;
    this.ids = new Uint8Array(this.users * idBytes);
    new Uint32Array(this.ids.buffer).forEach((_, index, words) => {
      words[index] = draw(index, 0, 2 ** 32);
    });
  }

  /** The id of a user, as one piece of memory, like a text that was read from a message. */
  idOf(user: number): UserId {
    const id = formatUuid(Buffer.from(this.ids.buffer, user * idBytes, idBytes).toString("hex"));
    return Buffer.from(id).toString("latin1") as UserId;
  }

  kindOf(edge: number): (typeof kinds)[number] {
    return kinds[draw(edge, 1, kinds.length)] as (typeof kinds)[number];
  }

  ownerOf(edge: number): number {
    return draw(edge, 2, this.users);
  }

  targetOf(edge: number): number {
    return draw(edge, 3, this.users);
  }

  /** When an edge ends, in microseconds since 1970; `Infinity` for never. One block or mute in twenty has an expiry. */
  endOf(edge: number): number {
    if (this.kindOf(edge) === "follow" || draw(edge, 4, 20) !== 0) return Number.POSITIVE_INFINITY;
    return drawnNow + draw(edge, 5, 1e9);
  }
}
