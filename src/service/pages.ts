import { createHmac, timingSafeEqual } from "node:crypto";
import type { ListPosition } from "../domain/edges.ts";
import { PrivacyError } from "../domain/errors.ts";
import { formatUuid, type UserId } from "../domain/users.ts";

const positionBytes = 24;
const signatureBytes = 16;

/**
 * Page tokens (AIP-158): a position in a list, signed, and bound to the user and the list that they were made for. They
 * name a position, not a row, so they survive the row's deletion.
 */
export class PageTokens {
  readonly #key: Uint8Array;

  /** `key`: the secret that all instances of the service share. */
  constructor(key: Uint8Array) {
    this.#key = key;
  }

  /** Makes the token of the page that comes after a position. */
  write(list: string, owner: UserId, { createdAt, id }: ListPosition): string {
    const position = Buffer.alloc(positionBytes);
    position.writeBigInt64BE(createdAt);
    position.write(id.replaceAll("-", ""), 8, "hex");
    return Buffer.concat([position, this.#sign(list, owner, position)]).toString("base64url");
  }

  /** Reads a token; undefined for the empty one of a first page. Throws `INVALID_PAGE_TOKEN` for any other's. */
  read(list: string, owner: UserId, token: string): ListPosition | undefined {
    if (token === "") return undefined;
    const bytes = Buffer.from(token, "base64url");
    const position = bytes.subarray(0, positionBytes);
    const signature = bytes.subarray(positionBytes);
    // Node's decoder ignores characters that are not base64url: only the canonical encoding is accepted.
    const canonical =
      bytes.length === positionBytes + signatureBytes && bytes.toString("base64url") === token;
    if (!canonical || !timingSafeEqual(signature, this.#sign(list, owner, position))) {
      throw new PrivacyError("INVALID_PAGE_TOKEN");
    }
    const id = formatUuid(position.toString("hex", 8));
    return { createdAt: position.readBigInt64BE(), id };
  }

  #sign(list: string, owner: UserId, position: Uint8Array): Uint8Array {
    const mac = createHmac("sha256", this.#key).update(`${list}\n${owner}\n`).update(position);
    return mac.digest().subarray(0, signatureBytes);
  }
}

/** How many records a page has. */
export interface PageSizes {
  /** When no size is asked for. */
  readonly usual: number;
  readonly max: number;
}

const recordPages: PageSizes = { usual: 50, max: 1_000 };

/** The size of a page by the rules of AIP-158: more than the most is the most. */
export function sizeOfPage(requested: number, { usual, max }: PageSizes): number {
  return requested === 0 ? usual : Math.min(requested, max);
}

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
  const size = sizeOfPage(pageSize, recordPages);
  // One more than requested, to know whether there is a next page.
  const found = await read(size + 1, tokens.read(list, owner, pageToken));
  const records = found.slice(0, size);
  const last = records.at(-1);
  const more = found.length > size && last !== undefined;
  return { records, nextPageToken: more ? tokens.write(list, owner, last) : "" };
}
