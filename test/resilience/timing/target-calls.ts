import type { ClientHttp2Session } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { PrivacyControlService } from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { PrivacySetting } from "../../../gen/nexgate/privacy/v1/resources_pb.ts";
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
}

const control = "/api/v1/e-social/privacy-control";
const { method } = PrivacyControlService;
type EdgeMethod = "blockUser" | "unblockUser" | "muteUser" | "unmuteUser";

const pathOf = (name: string) => `/${PrivacyControlService.typeName}/${name}`;

const edge = (name: EdgeMethod, verb: string): TargetCall => ({
  name,
  rest: (userId) => [verb, `${control}/${name.replace("User", "")}/${userId}`],
  rpc: (userId) => {
    const { input } = method[name];
    return [pathOf(method[name].name), toBinary(input, create(input, { userId }))];
  },
});

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
  edge("unblockUser", "DELETE"),
  edge("muteUser", "POST"),
  edge("unmuteUser", "DELETE"),
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
      return (await overHttp1(publicUrl + path, verb, token, json)).status === 200;
    },
    gRPC: async (call, token, target) => {
      const [path, message] = call.rpc(target);
      const headers = { ":path": path, "content-type": "application/grpc", authorization: `Bearer ${token}` };
      const { trailers } = await exchange(session, { headers, chunks: [lengthPrefixed(message)] });
      return trailers["grpc-status"] === "0";
    },
  };
}
