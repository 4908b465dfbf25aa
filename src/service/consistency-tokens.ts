import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import type { HandlerContext } from "@connectrpc/connect";
import type { ConsistencyToken } from "../domain/consistency.ts";
import { PrivacyError } from "../domain/errors.ts";
import { consistencyTokenHeader } from "../domain/wire-names.ts";

const cipher = "aes-256-gcm";
const keyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;
/** All tokens are of one length, so that it tells nothing. */
const contentBytes = 48;
const tokenBytes = nonceBytes + contentBytes + tagBytes;
const listStart = 17;
const kinds = ["write", "state"] as const;
/** A varint of 64 bits has at most so many bytes. */
const maxVarintBytes = 10;
/** How many tokens of states are kept: as many as there are statements at once, and some more. */
const maxWritten = 16;

/**
 * Consistency tokens as callers get them: encrypted, since transaction ids tell how much others change, and authenticated.
 *
 * The list of running transactions is cut where it does not fit, the newest first. The token then asks for those too, which is
 * stricter.
 */
export class ConsistencyTokens {
  readonly #key: Uint8Array;
  /** The tokens of the last states: the calls that share a statement share its token. */
  readonly #written = new Map<ConsistencyToken, string>();

  /** `key`: the secret that all instances of the service share. */
  constructor(key: Uint8Array) {
    this.#key = new Uint8Array(hkdfSync("sha256", key, "", consistencyTokenHeader, keyBytes));
  }

  /** Sends the token of a write with the response of its call. */
  send(context: HandlerContext, token: ConsistencyToken): void {
    context.responseHeader.set(consistencyTokenHeader, this.#encrypt(token));
  }

  /** The text of a token. It is made once as long as the same object is asked for. */
  write(token: ConsistencyToken): string {
    let text = this.#written.get(token);
    if (text === undefined) {
      text = this.#encrypt(token);
      if (this.#written.size === maxWritten) this.#written.clear();
      this.#written.set(token, text);
    }
    return text;
  }

  #encrypt(token: ConsistencyToken): string {
    const nonce = randomBytes(nonceBytes);
    const encryption = createCipheriv(cipher, this.#key, nonce);
    const content = encryption.update(toContent(token));
    encryption.final();
    return Buffer.concat([nonce, content, encryption.getAuthTag()]).toString("base64url");
  }

  /** Reads a token. Throws `INVALID_CONSISTENCY_TOKEN` for any text that `write` has not made. */
  read(text: string): ConsistencyToken {
    const bytes = Buffer.from(text, "base64url");
    // Node's decoder ignores characters that are not base64url: only the canonical encoding is accepted.
    if (bytes.length !== tokenBytes || bytes.toString("base64url") !== text)
      throw new PrivacyError("INVALID_CONSISTENCY_TOKEN");
    const decryption = createDecipheriv(cipher, this.#key, bytes.subarray(0, nonceBytes));
    decryption.setAuthTag(bytes.subarray(nonceBytes + contentBytes));
    const content = decryption.update(bytes.subarray(nonceBytes, nonceBytes + contentBytes));
    try {
      decryption.final();
    } catch (cause) {
      throw new PrivacyError("INVALID_CONSISTENCY_TOKEN", { cause });
    }
    return fromContent(content);
  }
}

/** Kind, server and transaction id, then the time of a write, or the running transactions of a state. */
function toContent(token: ConsistencyToken): Buffer {
  const content = Buffer.alloc(contentBytes);
  content.writeUInt8(kinds.indexOf(token.kind));
  content.writeBigInt64BE(token.server, 1);
  if (token.kind === "write") {
    content.writeBigUInt64BE(token.xid, 9);
    content.writeBigInt64BE(token.at, listStart);
    return content;
  }
  const { next, running } = token.snapshot;
  content.writeBigUInt64BE(next, 9);
  // Each by its distance from the one before, the oldest by that from `next`: none is 0, which ends the list.
  let end = listStart;
  let before: bigint | undefined;
  for (const xid of running) {
    const varint = varintOf(before === undefined ? next - xid : xid - before);
    if (end + varint.length > contentBytes) break;
    end += varint.copy(content, end);
    before = xid;
  }
  return content;
}

function fromContent(content: Buffer): ConsistencyToken {
  const kind = kinds[content.readUInt8()];
  const server = content.readBigInt64BE(1);
  const xid = content.readBigUInt64BE(9);
  if (kind === "write") return { kind, server, xid, at: content.readBigInt64BE(listStart) };
  if (kind !== "state") throw new PrivacyError("INVALID_CONSISTENCY_TOKEN");
  const running: bigint[] = [];
  for (let at = listStart; at < contentBytes && content[at] !== 0; ) {
    const { value, bytes } = readVarint(content, at);
    const before = running.at(-1);
    running.push(before === undefined ? xid - value : before + value);
    at += bytes;
  }
  return { kind, server, snapshot: { next: xid, running } };
}

/** Seven bits a byte, the lowest first; the highest bit says that another byte follows. */
function varintOf(value: bigint): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; ) {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest === 0n ? low : low | 0x80);
    if (rest === 0n) return Buffer.from(bytes);
  }
}

function readVarint(content: Buffer, at: number): { value: bigint; bytes: number } {
  let value = 0n;
  for (let bytes = 0; bytes < maxVarintBytes; ) {
    const byte = content.readUInt8(at + bytes);
    value |= BigInt(byte & 0x7f) << BigInt(7 * bytes);
    bytes += 1;
    if (byte < 0x80) return { value, bytes };
  }
  throw new PrivacyError("INVALID_CONSISTENCY_TOKEN");
}
