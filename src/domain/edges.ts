import { allScopes } from "./changes.ts";
import type { User, UserId } from "./users.ts";

/** A record that one user blocks or mutes another, as its owner sees it. */
export interface EdgeRecord {
  /** UUID of the record. */
  readonly id: string;
  /** The other user, without pictures when that user hides them from everyone. */
  readonly user: User;
  /** Microseconds since 1970-01-01T00:00:00Z: the stored precision, on which the order of lists rests. */
  readonly createdAt: bigint;
  /** When the record ends, in microseconds since 1970: from then on it does not exist. Null: never. */
  readonly expiresAt: bigint | null;
  /** What a mute covers, a bit each of `muteScopes`; `allScopes` for everything, and for a block. */
  readonly scopes: number;
}

/** When a block or mute ends, and what it covers. */
export type EdgeTerms = Pick<EdgeRecord, "expiresAt" | "scopes">;

/** What a user changes in a block or mute; what is undefined stays. */
export type EdgeTermsChange = Partial<EdgeTerms>;

/** The terms of a block or mute for which a user chooses none: it covers everything and does not end. */
export const defaultTerms: EdgeTerms = { expiresAt: null, scopes: allScopes };

/** A position in a list of edge records, newest first: the next page begins after this record. */
export interface ListPosition {
  readonly createdAt: bigint;
  readonly id: string;
}

/** Every edge between two users: the terms of their blocks and mutes, null where there is none. */
export interface Relationship {
  readonly following: boolean;
  readonly followedBy: boolean;
  readonly blocking: EdgeTerms | null;
  readonly blockedBy: EdgeTerms | null;
  readonly muting: EdgeTerms | null;
  readonly mutedBy: EdgeTerms | null;
}

/** When a follow, block or mute was made, with its terms; a follow has the default terms. */
export type DatedTerms = EdgeTerms & Pick<EdgeRecord, "createdAt">;

/** The edges from one user to another, null where there is none. */
export interface OwnRelationship {
  /** The other user. */
  readonly user: UserId;
  readonly following: DatedTerms | null;
  readonly blocking: DatedTerms | null;
  readonly muting: DatedTerms | null;
}
