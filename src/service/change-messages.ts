import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import {
  ChangeCause,
  ChangeKind,
  type Change as ChangeMessage,
  ChangeSchema,
  type EdgeChangeSchema,
  type WatchChangesResponse,
  WatchChangesResponseSchema,
} from "../../gen/nexgate/privacy/v1/change_service_pb.ts";
import * as domain from "../domain/changes.ts";
import { type ChangeCursors, type KindMask, maskOf } from "./change-cursor.ts";
import type { FollowerProgress, Part } from "./change-follower.ts";
import type { Page } from "./change-ring.ts";
import { fromAudience, fromMicros, fromScopes, fromSetting, upper } from "./proto-mapping.ts";

const kindNames = new Map<ChangeKind, domain.ChangeKind>(
  domain.changeKinds.map((name) => [ChangeKind[`${upper(name)}`], name]),
);

/** Reads a kind of a validated request. */
export function toChangeKind(value: ChangeKind): domain.ChangeKind {
  const name = kindNames.get(value);
  if (name === undefined) throw new Error(`ChangeKind ${value} has no name`);
  return name;
}

/** Whether a follower of some kinds gets a change. An erasure concerns every kind: it says that edges and settings are gone. */
export function isWanted(change: domain.Change, kinds: KindMask): boolean {
  return (kinds & maskOf(change.kind)) !== 0 || (change.kind === "user" && !change.present);
}

/** The `Change` message of a change. */
function fromChange(change: domain.Change): ChangeMessage {
  const { version, cause, changedAt } = change;
  return create(ChangeSchema, {
    version,
    cause: cause === null ? ChangeCause.UNSPECIFIED : ChangeCause[upper(cause)],
    ...(changedAt !== null && { changedAt: fromMicros(changedAt) }),
    change: toCase(change),
  });
}

function toCase(change: domain.Change): NonNullable<MessageInitShape<typeof ChangeSchema>["change"]> {
  const { owner } = change;
  switch (change.kind) {
    case "user":
      return { case: change.present ? "userAdded" : "userErased", value: { userId: owner } };
    case "setting": {
      const { setting, audience } = change;
      const value = { userId: owner, setting: fromSetting(setting) };
      return {
        case: "setting",
        value: audience === null ? value : { ...value, audience: fromAudience(audience) },
      };
    }
    case "exception": {
      const { setting, target, present } = change;
      return {
        case: "exception",
        value: { userId: owner, setting: fromSetting(setting), exceptedId: target, present },
      };
    }
    default:
      return { case: change.kind, value: fromEdge(change) };
  }
}

function fromEdge({ owner, target, edge }: domain.EdgeChange): MessageInitShape<typeof EdgeChangeSchema> {
  const key = { ownerId: owner, targetId: target };
  if (edge === null) return { ...key, present: false };
  const { createdAt, expiresAt, scopes } = edge;
  return {
    ...key,
    present: true,
    createdAt: fromMicros(createdAt),
    ...(expiresAt !== null && { expiresAt: fromMicros(expiresAt) }),
    scopes: fromScopes(scopes),
  };
}

/**
 * Makes the messages for those who follow the log. Those of a page are made and encoded once for all who follow the same
 * kinds: it is what a thousand watchers cost most.
 */
export class ChangeMessages {
  readonly #cursors: ChangeCursors;
  readonly #shared = new WeakMap<Page, Map<KindMask, WatchChangesResponse | undefined>>();

  constructor(cursors: ChangeCursors) {
    this.#cursors = cursors;
  }

  /** The message of a part for a follower whose progress is after it; undefined when none of its changes is wanted. */
  ofPart(part: Part, progress: FollowerProgress, isJson: boolean): WatchChangesResponse | undefined {
    const { page } = part;
    const make = () => this.#make(part, progress);
    // A follower's `through` goes back only with the clock: that of a page may be earlier.
    if (isJson || page === undefined || page.through !== progress.through) return make();
    const byKinds = this.#shared.get(page) ?? new Map<KindMask, WatchChangesResponse | undefined>();
    this.#shared.set(page, byKinds);
    const { kinds } = progress.cursor;
    if (!byKinds.has(kinds)) {
      const message = make();
      byKinds.set(kinds, message && encodedOnce(message));
    }
    return byKinds.get(kinds);
  }

  /** Makes the message of some changes. */
  write(changes: readonly domain.Change[], progress: FollowerProgress): WatchChangesResponse {
    const { cursor, complete, through } = progress;
    return create(WatchChangesResponseSchema, {
      changes: changes.map(fromChange),
      cursor: this.#cursors.write(cursor),
      complete,
      ...(through !== undefined && { through: fromMicros(through) }),
    });
  }

  #make({ changes }: Part, progress: FollowerProgress): WatchChangesResponse | undefined {
    const wanted = changes.filter((change) => isWanted(change, progress.cursor.kinds));
    return wanted.length === 0 ? undefined : this.write(wanted, progress);
  }
}

/** Makes a message that equals another one as soon as both are encoded. Its changes are encoded already. */
function encodedOnce(message: WatchChangesResponse): WatchChangesResponse {
  const { changes, $typeName, ...progress } = message;
  const bytes = toBinary(WatchChangesResponseSchema, create(WatchChangesResponseSchema, { changes }));
  const encoded = create(WatchChangesResponseSchema, progress);
  // A field that a message does not know is written as it is. The first byte is the tag of `changes`.
  const { number } = WatchChangesResponseSchema.field.changes;
  encoded.$unknown = [{ no: number, wireType: WireType.LengthDelimited, data: bytes.subarray(1) }];
  return encoded;
}
