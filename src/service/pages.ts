import type { ListPosition } from "../domain/edges.ts";
import type { UserId } from "../domain/users.ts";
import type { PageTokens } from "./page-tokens.ts";

const defaultPageSize = 50;
const maxPageSize = 1_000;

interface PageRequest {
  readonly pageSize: number;
  readonly pageToken: string;
}

/** Reads one page of a user's list by the rules of AIP-158: 50 records when no size is asked for, 1,000 at most. */
export async function readPage<Row extends ListPosition>(
  tokens: PageTokens,
  list: string,
  owner: UserId,
  { pageSize, pageToken }: PageRequest,
  read: (limit: number, after: ListPosition | undefined) => Promise<Row[]>,
): Promise<{ records: Row[]; nextPageToken: string }> {
  const size = pageSize === 0 ? defaultPageSize : Math.min(pageSize, maxPageSize);
  // One more than asked for tells whether a next page exists.
  const found = await read(size + 1, tokens.read(list, owner, pageToken));
  const records = found.slice(0, size);
  const last = records.at(-1);
  const more = found.length > size && last !== undefined;
  return { records, nextPageToken: more ? tokens.write(list, owner, last) : "" };
}
