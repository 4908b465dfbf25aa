import { createHash } from "node:crypto";
import { formatUuid } from "../../../src/domain/users.ts";
import { type Size, writers } from "./sizes.ts";

/** The SQL expression for the id of a user by number: spread like random ids, so that indexes gain nothing by order. */
export const idSql = (number: string) => `md5('user' || (${number}))::uuid`;

/** The id of a user by number. */
export function userId(number: number): string {
  const hash = createHash("md5").update(`user${number}`).digest("hex");
  return formatUuid(hash);
}

/** The numbers of the users with unusually many edges. */
export function specialUsers({ users }: Size) {
  const firstWriter = users + 4;
  return {
    viewers: [users, users + 1, users + 2] as const,
    longest: users + 3,
    firstWriter,
    count: firstWriter + writers,
  };
}
