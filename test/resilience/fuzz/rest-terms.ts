import fc from "fast-check";

const time = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: -60, max: 20 * 365 * 86_400 }).map(fromNow) },
  fc.constantFrom(
    "2026-02-30T00:00:00Z",
    "2026-12-31T23:59:60Z",
    "2026-12-24T24:00:00Z",
    "0000-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999999Z",
    "9999-12-31T23:59:59-14:00",
    "2030-01-01T00:00:00.000000001+14:00",
    "infinity",
    "",
  ),
  { weight: 2, arbitrary: fc.constant(null) },
  fc.constantFrom(0, {}, []),
);
const scope = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom("content", "notifications") },
  fc.constantFrom("MUTE_SCOPE_CONTENT", "unspecified", "", null, 1),
);
const scopes = fc.oneof(
  { weight: 3, arbitrary: fc.array(scope, { maxLength: 4 }) },
  { weight: 2, arbitrary: fc.constant(null) },
  fc.constantFrom("content", {}, Array(2_000).fill("content")),
);
const members = {
  expiresAt: time,
  expires_at: time,
  scopes,
  updateMask: fc.constantFrom(null, "expires_at", { paths: ["scopes"] }),
  userId: fc.constantFrom(null, ""),
};

/** Bodies with the members of blocks and mutes, and of changes of them: one, most of the time. */
export const termBodies: fc.Arbitrary<string> = fc
  .oneof(
    { weight: 2, arbitrary: fc.record({ scopes }) },
    { weight: 2, arbitrary: fc.record({ expiresAt: time }) },
    fc.record({ expiresAt: time, scopes }),
    fc.record(members, { requiredKeys: [] }),
  )
  .map((body) => JSON.stringify(body));

function fromNow(seconds: number): string {
  return new Date(Date.now() + seconds * 1_000).toISOString();
}

/** Queries with a list of ids, which may be longer than any that is allowed. */
export function idQueries(users: readonly string[], other: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const name = fc.oneof(
    { weight: 20, arbitrary: fc.constant("userIds") },
    fc.constantFrom("user_ids", "userIds[]"),
  );
  const id = fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...users) }, other);
  return fc
    .array(fc.tuple(name, id), { maxLength: 110, size: "max" })
    .map((pairs) => `?${pairs.map((pair) => pair.join("=")).join("&")}`);
}
