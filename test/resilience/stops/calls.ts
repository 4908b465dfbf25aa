import { create, type DescMessage, type MessageInitShape, toBinary, toJsonString } from "@bufbuild/protobuf";
import { AccessService, Interaction } from "../../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { GraphService } from "../../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { PrivacyControlService } from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { lengthPrefixed } from "../../support/frames.ts";

/** A request as either HTTP version sends it. */
export interface Call {
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: Uint8Array;
}

/** An edge that a call writes. */
export interface Write {
  readonly kind: "mute" | "follow";
  readonly owner: string;
  readonly target: string;
}

/** How a client calls, as one user. */
export interface Dialect {
  readonly name: string;
  readonly listener: "public" | "internal";
  readonly http: 1 | 2;
  readonly writes: Write["kind"];
  write(owner: string, target: string): Call;
  read(owner: string, target: string): Call;
}

type Method = { readonly parent: { readonly typeName: string }; readonly name: string };
const pathOf = ({ parent, name }: Method) => `/${parent.typeName}/${name}`;

const rest = (method: string, path: string): Call => ({ method, path, headers: {}, body: new Uint8Array() });

function grpc<Input extends DescMessage>(
  method: Method & { readonly input: Input },
  message: MessageInitShape<Input>,
): Call {
  const headers = { "content-type": "application/grpc", te: "trailers" };
  const body = lengthPrefixed(toBinary(method.input, create(method.input, message)));
  return { method: "POST", path: pathOf(method), headers, body };
}

function connect<Input extends DescMessage>(
  method: Method & { readonly input: Input },
  message: MessageInitShape<Input>,
): Call {
  const headers = { "content-type": "application/json" };
  const body = Buffer.from(toJsonString(method.input, create(method.input, message)));
  return { method: "POST", path: pathOf(method), headers, body };
}

const { muteUser, getPrivacySettings } = PrivacyControlService.method;
const { followUser, getRelationship } = GraphService.method;
const { checkAccess } = AccessService.method;

const restCalls = {
  writes: "mute",
  write: (_owner: string, target: string) => rest("POST", `/api/v1/e-social/privacy-control/mute/${target}`),
  read: () => rest("GET", "/users/me/privacy"),
} as const;

/** Every protocol of the service, over the versions of HTTP on which it is served. */
export const dialects: readonly Dialect[] = [
  { name: "REST, HTTP/1.1", listener: "public", http: 1, ...restCalls },
  { name: "REST, HTTP/2", listener: "public", http: 2, ...restCalls },
  {
    name: "Connect, HTTP/1.1",
    listener: "internal",
    http: 1,
    writes: "follow",
    write: (owner, target) => connect(followUser, { followerId: owner, followeeId: target }),
    read: (owner, target) => connect(getRelationship, { userId: owner, otherUserId: target }),
  },
  {
    name: "Connect, HTTP/2",
    listener: "public",
    http: 2,
    writes: "mute",
    write: (_owner, target) => connect(muteUser, { userId: target }),
    read: () => connect(getPrivacySettings, {}),
  },
  {
    name: "gRPC",
    listener: "internal",
    http: 2,
    writes: "follow",
    write: (owner, target) => grpc(followUser, { followerId: owner, followeeId: target }),
    read: (owner, target) =>
      grpc(checkAccess, {
        viewer: { case: "viewerId", value: owner },
        ownerId: target,
        interaction: Interaction.VIEW_STATUS,
      }),
  },
];
