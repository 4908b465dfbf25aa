import type { Audience, PrivacySetting } from "./settings.ts";
import type { UserId } from "./users.ts";

/** Who or what made a change: see `ChangeCause` of the definition. */
export type ChangeCause = "user" | "service" | "import" | "block" | "expiry" | "erasure";

/** What a change is about. */
export const changeKinds = ["block", "mute", "follow", "setting", "exception", "user"] as const;
export type ChangeKind = (typeof changeKinds)[number];

/** What is common to all changes. */
interface ChangeBase {
  /** Grows with every change of the same key; 0 in a snapshot. */
  readonly version: bigint;
  /** Null in a snapshot, and for a change by hand. */
  readonly cause: ChangeCause | null;
  /** When its transaction began, in microseconds since 1970; null in a snapshot. */
  readonly changedAt: bigint | null;
}

/** A block, a mute or a follow: that it holds from now on, or no longer does. */
export interface EdgeChange extends ChangeBase {
  readonly kind: "block" | "mute" | "follow";
  readonly owner: UserId;
  readonly target: UserId;
  /** Null when it no longer holds. */
  readonly edge: {
    /** In microseconds since 1970. */
    readonly createdAt: bigint;
    /** In microseconds since 1970; null for one that does not end by itself. */
    readonly expiresAt: bigint | null;
    /** What a mute covers, a bit each: see `muteScopes`. -1: everything. */
    readonly scopes: number;
  } | null;
}

/** The audience of a setting; null when the choice was removed. */
interface SettingChange extends ChangeBase {
  readonly kind: "setting";
  readonly owner: UserId;
  readonly setting: PrivacySetting;
  readonly audience: Audience | null;
}

/** An entry of an exception list. */
interface ExceptionChange extends ChangeBase {
  readonly kind: "exception";
  readonly owner: UserId;
  readonly setting: PrivacySetting;
  readonly target: UserId;
  readonly present: boolean;
}

/** A user is known from now on, or erased with everything that names the user. */
interface UserChange extends ChangeBase {
  readonly kind: "user";
  readonly owner: UserId;
  readonly present: boolean;
}

/** What holds for one key from now on. To apply one twice is to apply it once. */
export type Change = EdgeChange | SettingChange | ExceptionChange | UserChange;

/** The bits of what a mute covers. A mute of everything has the value -1, with the bits of later scopes too. */
export const muteScopes = { content: 1, notifications: 2 } as const;
export const allScopes = -1;
