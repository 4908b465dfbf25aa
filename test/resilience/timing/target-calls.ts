import { randomUUID } from "node:crypto";
import type { ClientHttp2Session } from "node:http2";
import { create, type MessageInitShape, toBinary, toJson } from "@bufbuild/protobuf";
import { TimestampSchema, timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type MuteUserRequestSchema,
  PrivacyControlService,
} from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { MuteScope, PrivacySetting } from "../../../gen/nexgate/privacy/v1/resources_pb.ts";
import { exchange as overHttp1 } from "../../property/public-protocols.ts";
import { lengthPrefixed } from "../../support/frames.ts";
import { exchange } from "../../support/raw-http.ts";

/** A public call about a target. */
export interface TargetCall {
  readonly name: string;
  /** The request over REST. */
  rest(target: string): readonly [verb: string, path: string, json?: object];
  /** The path and the message over gRPC. */
  rpc(target: string): readonly [path: string, message: Uint8Array];
  /** Further headers, new for each call. */
  headers?(): Readonly<Record<string, string>>;
}

const control = "/api/v1/e-social/privacy-control";
const { method } = PrivacyControlService;
type EdgeMethod = "blockUser" | "updateBlock" | "unblockUser" | "muteUser" | "updateMute" | "unmuteUser";

const pathOf = (name: string) => `/${PrivacyControlService.typeName}/${name}`;

const inHours = (hours: number) => timestampFromMs(Math.floor(Date.now() / 1_000 + hours * 3_600) * 1_000);

/** A call of a path of the REST API, with the fields of a message. */
function edge(
  name: EdgeMethod,
  verb: string,
  fields?: MessageInitShape<typeof MuteUserRequestSchema>,
): TargetCall {
  const word = name.replace(/User|update/, "").toLowerCase();
  const { input } = method[name];
  const messageOf = (userId: string) => create(input, { ...fields, userId });
  return {
    name: fields === undefined ? name : `${name} with terms`,
    rest: (userId) => {
      const path = `${control}/${word}/${userId}`;
      if (fields === undefined) return [verb, path];
      const { expiresAt, scopes = [] } = fields;
      const body = {
        ...(expiresAt && { expiresAt: toJson(TimestampSchema, create(TimestampSchema, expiresAt)) }),
        ...(scopes.length > 0 && { scopes: ["notifications"] }),
      };
      return [verb, path, body];
    },
    rpc: (userId) => [pathOf(method[name].name), toBinary(input, messageOf(userId))],
  };
}

/** A call that makes a record with an idempotency key that was never used. */
const withKey = (call: TargetCall): TargetCall => ({
  ...call,
  name: `${call.name} and a key`,
  headers: () => ({ "idempotency-key": randomUUID() }),
});

const relationships: TargetCall = {
  name: "listRelationships",
  rest: (userId) => ["GET", `${control}/relationships?userIds=${userId}`],
  rpc: (userId) => {
    const { input, name } = method.listRelationships;
    return [pathOf(name), toBinary(input, create(input, { userIds: [userId] }))];
  },
};

const preview: TargetCall = {
  name: "previewAccess",
  rest: (userId) => ["GET", `/users/me/privacy/preview/${userId}`],
  rpc: (userId) => {
    const { input, name } = method.previewAccess;
    return [pathOf(name), toBinary(input, create(input, { userId }))];
  },
};

const exception = (name: string, field: "addUserIds" | "removeUserIds"): TargetCall => ({
  name,
  rest: (userId) => ["PATCH", "/users/me/privacy/groups/exceptions", { [field]: [userId] }],
  rpc: (userId) => {
    const { input, name } = method.updatePrivacyExceptions;
    return [
      pathOf(name),
      toBinary(input, create(input, { setting: PrivacySetting.GROUPS, [field]: [userId] })),
    ];
  },
});

/** All of them, in an order that leaves things as they were. */
export const targetCalls: readonly TargetCall[] = [
  edge("blockUser", "POST"),
  edge("updateBlock", "PATCH", { expiresAt: inHours(1) }),
  edge("unblockUser", "DELETE"),
  withKey(edge("blockUser", "POST", { expiresAt: inHours(2) })),
  edge("unblockUser", "DELETE"),
  edge("muteUser", "POST"),
  edge("updateMute", "PATCH", { scopes: [MuteScope.NOTIFICATIONS] }),
  edge("unmuteUser", "DELETE"),
  withKey(edge("muteUser", "POST", { expiresAt: inHours(2), scopes: [MuteScope.NOTIFICATIONS] })),
  edge("unmuteUser", "DELETE"),
  relationships,
  preview,
  exception("add an exception", "addUserIds"),
  exception("remove an exception", "removeUserIds"),
];

/** Makes a call; resolves to whether it went well. */
export type MakeCall = (call: TargetCall, token: string, target: string) => Promise<boolean>;

/** The protocols of a public listener over which the calls can be made. */
export function protocolsOf(
  publicUrl: string,
  session: ClientHttp2Session,
): Record<"REST" | "gRPC", MakeCall> {
  return {
    REST: async (call, token, target) => {
      const [verb, path, json] = call.rest(target);
      return (await overHttp1(publicUrl + path, verb, token, json, call.headers?.())).status === 200;
    },
    gRPC: async (call, token, target) => {
      const [path, message] = call.rpc(target);
      const headers = {
        ":path": path,
        "content-type": "application/grpc",
        authorization: `Bearer ${token}`,
        ...call.headers?.(),
      };
      const { trailers } = await exchange(session, { headers, chunks: [lengthPrefixed(message)] });
      return trailers["grpc-status"] === "0";
    },
  };
}
