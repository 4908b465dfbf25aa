import { createHmac, timingSafeEqual } from "node:crypto";
import { type ChangeKind, changeKinds } from "../domain/changes.ts";
import { PrivacyError } from "../domain/errors.ts";
import { formatUuid } from "../domain/users.ts";
import type { StatePosition, TickName } from "../store/change-log.ts";

/** A set of kinds of changes, a bit each in the order of `changeKinds`. */
export type KindMask = number;

const maskByKind = new Map<ChangeKind, KindMask>(changeKinds.map((kind, index) => [kind, 1 << index]));
const allKinds: KindMask = (1 << changeKinds.length) - 1;

/** The bit of a kind. */
export function maskOf(kind: ChangeKind): KindMask {
  return maskByKind.get(kind) ?? 0;
}

/** The set of some kinds; of all when none is given. */
export function maskOfAll(kinds: Iterable<ChangeKind>): KindMask {
  let mask = 0;
  for (const kind of kinds) mask |= maskOf(kind);
  return mask === 0 ? allKinds : mask;
}

/** A place in the change log: after a tick, or within the changes between it and a later one. */
export interface LogPosition {
  readonly from: TickName;
  /** After the change of this version among those up to the tick `to`. */
  readonly within?: { readonly to: TickName; readonly version: bigint } | undefined;
}

/** What a follower has received: a place in the log and, while a snapshot is under way, one in the tables. */
export interface ChangeCursor {
  readonly kinds: KindMask;
  readonly log: LogPosition;
  readonly snapshot?: SnapshotProgress | undefined;
}

/** How far a snapshot has come. */
export interface SnapshotProgress {
  /** Where the next page begins; undefined at the beginning of the tables. */
  readonly after: StatePosition | undefined;
  /** The run of the server that the pages are from: see `DatabaseState`. Undefined before the first one. */
  readonly server: bigint | undefined;
  /** All tables were read. */
  readonly ended: boolean;
}

const version = 1;
const macBytes = 16;
const uuidBytes = 16;
/** No run of a server. */
const noServer = 0n;
const flags = { within: 1, snapshot: 2, after: 4, ended: 8 } as const;
/** Keeps cursors and all else that is signed with the secret apart. */
const keyLabel = "nexgate.privacy.v1 change cursor";

/** Cursors of the change log: signed, and bound to the kinds of changes that they were made for. */
export class ChangeCursors {
  readonly #key: Uint8Array;

  /** `key`: the secret that all instances of the service share. */
  constructor(key: Uint8Array) {
    this.#key = createHmac("sha256", key).update(keyLabel).digest();
  }

  /** Makes a cursor. */
  write(cursor: ChangeCursor): string {
    const body = Buffer.concat(partsOf(cursor));
    return Buffer.concat([body, this.#sign(body)]).toString("base64url");
  }

  /** Reads a cursor. Throws `INVALID_CURSOR` for one that `write` did not make, and for one of other kinds. */
  read(text: string, kinds: KindMask): ChangeCursor {
    const bytes = Buffer.from(text, "base64url");
    const body = bytes.subarray(0, -macBytes);
    const mac = bytes.subarray(body.length);
    // Node's decoder ignores characters that are not base64url: only the canonical encoding is accepted.
    const canonical = mac.length === macBytes && bytes.toString("base64url") === text;
    if (!canonical || !timingSafeEqual(mac, this.#sign(body))) throw new PrivacyError("INVALID_CURSOR");
    const cursor = parse(body);
    if (cursor?.kinds !== kinds) throw new PrivacyError("INVALID_CURSOR");
    return cursor;
  }

  #sign(body: Uint8Array): Uint8Array {
    return createHmac("sha256", this.#key).update(body).digest().subarray(0, macBytes);
  }
}

function partsOf({ kinds, log: { from, within }, snapshot }: ChangeCursor): Uint8Array[] {
  const after = snapshot?.after;
  const phase =
    (within === undefined ? 0 : flags.within) |
    (snapshot === undefined ? 0 : flags.snapshot) |
    (after === undefined ? 0 : flags.after) |
    (snapshot?.ended ? flags.ended : 0);
  return [
    Buffer.of(version, kinds, phase),
    ...tickParts(from),
    ...(within === undefined ? [] : [...tickParts(within.to), int64(within.version)]),
    ...(snapshot === undefined ? [] : [int64(snapshot.server ?? noServer)]),
    ...(after === undefined ? [] : [Buffer.of(after.table, after.key.length), ...after.key.map(text)]),
  ];
}

function tickParts({ id, nonce }: TickName): Uint8Array[] {
  return [int64(id), Buffer.from(nonce.replaceAll("-", ""), "hex")];
}

function int64(value: bigint): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(value);
  return bytes;
}

function text(value: string): Uint8Array {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.of(bytes.length), bytes]);
}

/** Reads a body that this service has signed: undefined when it was of another version. */
function parse(body: Buffer): ChangeCursor | undefined {
  let at = 3;
  const [format, kinds = 0, phase = 0] = body;
  if (format !== version) return undefined;
  const take = (length: number) => {
    at += length;
    return body.subarray(at - length, at);
  };
  const takeInt64 = () => take(8).readBigInt64BE();
  const takeTick = () => ({ id: takeInt64(), nonce: formatUuid(take(uuidBytes).toString("hex")) });
  const takeByte = () => take(1).readUInt8();
  const takeState = () => {
    const table = takeByte();
    return { table, key: Array.from({ length: takeByte() }, () => take(takeByte()).toString()) };
  };
  const from = takeTick();
  const within = phase & flags.within ? { to: takeTick(), version: takeInt64() } : undefined;
  const server = phase & flags.snapshot ? takeInt64() : noServer;
  const after = phase & flags.after ? takeState() : undefined;
  const ended = (phase & flags.ended) !== 0;
  const snapshot =
    phase & flags.snapshot ? { after, server: server === noServer ? undefined : server, ended } : undefined;
  return { kinds, log: { from, within }, snapshot };
}
