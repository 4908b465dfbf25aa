import type { Change, EdgeChange } from "../../../src/domain/changes.ts";
import { allScopes } from "../../../src/domain/changes.ts";
import type { Audience, PrivacySetting } from "../../../src/domain/settings.ts";
import { formatUuid, type UserId } from "../../../src/domain/users.ts";

const base = { version: 0n, cause: null, changedAt: null };

/** The id of the user with a number, or a letter. */
export function idOf(user: number | string): UserId {
  const number = typeof user === "number" ? user : (user.codePointAt(0) ?? 0);
  return formatUuid(number.toString(16).padStart(32, "f0")) as UserId;
}

/** The bytes of an id, after some others. */
export function bytesOf(id: UserId, offset = 0): Uint8Array {
  return new Uint8Array(
    Buffer.concat([Buffer.alloc(offset, 0xee), Buffer.from(id.replaceAll("-", ""), "hex")]),
  );
}

/** Random bits that depend on a seed alone. */
export function seeded(seed: number): (words: Int32Array) => void {
  let state = seed | 1;
  return (words) => {
    for (let index = 0; index < words.length; index++) {
      state = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x6d2b79f5;
      words[index] = Math.imul(state ^ (state >>> 12), 0x297a2d39);
    }
  };
}

/** Hashes that are all the same. */
export const colliding = (words: Int32Array) => {
  words.fill(0);
};

export const changes = {
  user: (owner: UserId, present = true): Change => ({ ...base, kind: "user", owner, present }),
  edge: (
    kind: EdgeChange["kind"],
    owner: UserId,
    target: UserId,
    { expiresAt = null, scopes = allScopes }: { expiresAt?: bigint | null; scopes?: number } = {},
  ): Change => ({ ...base, kind, owner, target, edge: { createdAt: 0n, expiresAt, scopes } }),
  noEdge: (kind: EdgeChange["kind"], owner: UserId, target: UserId): Change => ({
    ...base,
    kind,
    owner,
    target,
    edge: null,
  }),
  setting: (owner: UserId, setting: PrivacySetting, audience: Audience | null): Change => ({
    ...base,
    kind: "setting",
    owner,
    setting,
    audience,
  }),
  exception: (owner: UserId, setting: PrivacySetting, target: UserId, present = true): Change => ({
    ...base,
    kind: "exception",
    owner,
    setting,
    target,
    present,
  }),
};
