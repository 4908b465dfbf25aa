import { randomUUID } from "node:crypto";
import type { UserId } from "../../../src/domain/users.ts";
import type { Database } from "../../../src/store/database.ts";

/** Adds users to a database, a thousand at once. */
export async function addUsers(database: Database, count: number): Promise<UserId[]> {
  const ids = Array.from({ length: count }, () => randomUUID() as UserId);
  const described = { firstName: "", lastName: "", profilePictureUrls: [], isVerified: false };
  for (let from = 0; from < count; from += 1_000) {
    const some = ids.slice(from, from + 1_000);
    await database.users.upsert(some.map((id) => ({ id, userName: "someone", ...described })));
  }
  return ids;
}
