import { createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import {
  type Change,
  ChangeCause,
  ChangeKind as ChangeKindMessage,
  ChangeService,
} from "../../../gen/nexgate/privacy/v1/change_service_pb.ts";
import {
  AudienceSchema,
  type PrivacySetting,
  PrivacySettingSchema,
} from "../../../gen/nexgate/privacy/v1/resources_pb.ts";
import type { ChangeKind } from "../../../src/domain/changes.ts";
import type { Target } from "../support/pair-client.ts";
import { type KeyedChange, keyOf } from "./copy.ts";

/** What a consumer gets at once. */
export interface Message {
  readonly changes: readonly KeyedChange[];
  readonly cursor: string;
  readonly complete: boolean;
  /** In microseconds since 1970; 0 while it is unset. */
  readonly through: bigint;
}

/** What a consumer asks for: what comes after a cursor, or a snapshot first. */
export interface Question {
  readonly cursor: string | undefined;
  /** All when empty. */
  readonly kinds: readonly ChangeKind[];
}

/** A consumer's access to one instance. */
export interface ChangeClient {
  /** A stream, which ends when the signal aborts or the instance ends it. */
  watch(question: Question, signal: AbortSignal): AsyncIterable<Message>;
  /** The next changes. */
  read(question: Question, waitMs: number, signal: AbortSignal): Promise<Message>;
  close(): void;
}

const heartbeatMs = 200;

/** Opens a client of one instance, over gRPC on a connection of its own; the token is one with the scope `changes.read`. */
export function openChangeClient({ internalUrl, token }: Target): ChangeClient {
  const sessionManager = new Http2SessionManager(internalUrl);
  const client = createClient(ChangeService, createGrpcTransport({ baseUrl: internalUrl, sessionManager }));
  const headers = { authorization: `Bearer ${token}` };
  const requestOf = ({ cursor, kinds }: Question) => ({
    start:
      cursor === undefined
        ? ({ case: "snapshot", value: true } as const)
        : ({ case: "cursor", value: cursor } as const),
    kinds: kinds.map((kind) => kindMessages[kind]),
  });
  return {
    async *watch(question, signal) {
      const request = { ...requestOf(question), heartbeat: durationOf(heartbeatMs) };
      for await (const message of client.watchChanges(request, { headers, signal })) yield messageOf(message);
    },
    async read(question, waitMs, signal) {
      const request = { ...requestOf(question), wait: durationOf(waitMs) };
      return messageOf(await client.readChanges(request, { headers, signal }));
    },
    close: () => sessionManager.abort(),
  };
}

const kindMessages: Readonly<Record<ChangeKind, ChangeKindMessage>> = {
  block: ChangeKindMessage.BLOCK,
  mute: ChangeKindMessage.MUTE,
  follow: ChangeKindMessage.FOLLOW,
  setting: ChangeKindMessage.SETTING,
  exception: ChangeKindMessage.EXCEPTION,
  user: ChangeKindMessage.USER,
};

function durationOf(ms: number) {
  return { seconds: BigInt(Math.floor(ms / 1_000)), nanos: (ms % 1_000) * 1_000_000 };
}

interface MessageFields {
  readonly changes: readonly Change[];
  readonly cursor: string;
  readonly complete: boolean;
  readonly through?: Moment | undefined;
}

interface Moment {
  readonly seconds: bigint;
  readonly nanos: number;
}

function messageOf({ changes, cursor, complete, through }: MessageFields): Message {
  return {
    changes: changes.map(keyedChangeOf),
    cursor,
    complete,
    through: through === undefined ? 0n : microsOf(through),
  };
}

function keyedChangeOf({ version, cause, change: { case: field, value } }: Change): KeyedChange {
  const common = { version, isExpiry: cause === ChangeCause.EXPIRY };
  switch (field) {
    case "block":
    case "mute":
    case "follow": {
      const times = [value.createdAt && microsOf(value.createdAt)];
      if (field !== "follow") times.push(value.expiresAt && microsOf(value.expiresAt));
      const words: unknown[] = times.map((time) => time ?? "never");
      // None stand for all.
      const bits = value.scopes.reduce<number>((sum, scope) => sum + scope, 0);
      if (field === "mute") words.push(bits === 0 ? -1 : bits);
      return {
        kind: field,
        key: keyOf(field, value.ownerId, value.targetId),
        ...common,
        state: value.present ? words.join(" ") : undefined,
      };
    }
    case "setting": {
      const { userId, setting, audience } = value;
      // An audience that is not set has the number 0.
      const state = audience === 0 ? undefined : AudienceSchema.value[audience]?.localName.toLowerCase();
      return { kind: field, key: keyOf(field, userId, settingName(setting)), ...common, state };
    }
    case "exception": {
      const { userId, setting, exceptedId, present } = value;
      const key = keyOf(field, userId, settingName(setting), exceptedId);
      return { kind: field, key, ...common, state: present ? "" : undefined };
    }
    case "userAdded":
    case "userErased": {
      const state = field === "userAdded" ? "" : undefined;
      return { kind: "user", key: keyOf("user", value.userId), ...common, state };
    }
    default:
      throw new Error("a change without content");
  }
}

function settingName(setting: PrivacySetting): string | undefined {
  return PrivacySettingSchema.value[setting]?.localName.toLowerCase();
}

function microsOf({ seconds, nanos }: Moment): bigint {
  return seconds * 1_000_000n + BigInt(Math.floor(nanos / 1_000));
}
