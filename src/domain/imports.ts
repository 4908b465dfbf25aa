import type { Audience, PrivacySetting } from "./settings.ts";
import type { User, UserId } from "./users.ts";

/** A follow, a block or a mute of `target` by `owner`, from another system. */
export interface ImportedEdge {
  readonly owner: UserId;
  readonly target: UserId;
  /** Microseconds since 1970-01-01T00:00:00Z, null for now. */
  readonly createdAt: bigint | null;
  /** When a block or mute ends by itself, in microseconds since 1970; never by default. */
  readonly expiresAt?: bigint | null;
  /** What a mute covers, a bit each: see `muteScopes`. Everything by default. */
  readonly scopes?: number;
}

/** A user of an import. A field that is left out keeps its stored value; for a new user it is empty. */
export type ImportedUser = Pick<User, "id" | "userName"> & Partial<User>;

/** The audience of a setting. */
export interface ImportedSetting {
  readonly owner: UserId;
  readonly setting: PrivacySetting;
  readonly audience: Audience;
}

/** An entry of an exception list: `target` is on the list of `owner`. */
export interface ImportedException {
  readonly owner: UserId;
  readonly setting: PrivacySetting;
  readonly target: UserId;
  /** Microseconds since 1970-01-01T00:00:00Z, null for now. */
  readonly createdAt: bigint | null;
}

/** What an import can store, and what an export reads. */
export type StoredRecord =
  | { readonly kind: "user"; readonly user: ImportedUser }
  | { readonly kind: "follow" | "block" | "mute"; readonly edge: ImportedEdge }
  | { readonly kind: "setting"; readonly setting: ImportedSetting }
  | { readonly kind: "exception"; readonly exception: ImportedException };

/** One record of an import. */
export type ImportRecord = StoredRecord | { readonly kind: "malformed"; readonly description: string };

/** Why a record of an import is not stored. */
export const skipReasons = [
  "MALFORMED",
  "SELF",
  "UNKNOWN_USER",
  "FOLLOW_ACROSS_BLOCK",
  "EXPIRED",
  "TOO_MANY_EXCEPTIONS",
] as const;
export type SkipReason = (typeof skipReasons)[number];

/** A record that was not stored. */
export interface SkippedRecord {
  /** The number of the record in the import, from 0. */
  readonly record: number;
  readonly reason: SkipReason;
  /** The invalid fields, by their JSON names, and the reason. */
  readonly description: string;
}

/** The progress of an import. */
export interface ImportProgress {
  /** How many records were processed: the number of the next one. */
  readonly records: number;
  /** Those that were stored. */
  readonly stored: number;
  /** Those that were stored already. */
  readonly unchanged: number;
  /** Those that were not stored, by reason. */
  readonly skipped: Readonly<Record<SkipReason, number>>;
}
