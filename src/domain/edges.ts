import type { User } from "./users.ts";

/** A record that one user blocks or mutes another, as its owner sees it. */
export interface EdgeRecord {
  /** UUID of the record. */
  readonly id: string;
  /** The other user, without pictures when that user shows them to nobody. */
  readonly user: User;
  /** Microseconds since 1970-01-01T00:00:00Z: the stored precision, on which the order of lists rests. */
  readonly createdAt: bigint;
}

/** A place in a list of edge records, newest first: the record that the next page comes after. */
export interface ListPosition {
  readonly createdAt: bigint;
  readonly id: string;
}

/** Every fact between a user and another. */
export interface Relationship {
  readonly following: boolean;
  readonly followedBy: boolean;
  readonly blocking: boolean;
  readonly blockedBy: boolean;
  readonly muting: boolean;
  readonly mutedBy: boolean;
}
