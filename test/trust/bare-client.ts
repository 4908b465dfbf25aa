import { connect, constants } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  BlockUserRequestSchema,
  MuteUserRequestSchema,
  PrivacyControlService,
} from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import type { Target } from "./pair-client.ts";

/** A gRPC call that leaves its deadline to the server. */
export interface BareCall {
  /** Resolves to the `grpc-status`, and to how long it took; NaN when the call ended without one. */
  readonly answer: Promise<{ readonly status: number; readonly ms: number }>;
  /** Resets the call's stream. */
  reset(): void;
}

/** A client that keeps no time itself: Connect's own would end a late call by itself. */
export interface BareClient {
  /** Blocks or mutes a user. */
  start(change: "block" | "mute", user: string, other: string, timeoutMs?: number): BareCall;
  close(): void;
}

const changes = {
  block: { method: PrivacyControlService.method.blockUser, schema: BlockUserRequestSchema },
  mute: { method: PrivacyControlService.method.muteUser, schema: MuteUserRequestSchema },
};

export function openBareClient({ url, token }: Target): BareClient {
  const session = connect(url);
  return {
    start(change, user, other, timeoutMs) {
      const { method, schema } = changes[change];
      const began = performance.now();
      const stream = session.request({
        ":method": "POST",
        ":path": `/${method.parent.typeName}/${method.name}`,
        "content-type": "application/grpc",
        te: "trailers",
        authorization: `Bearer ${token}`,
        "x-acting-user": user,
        ...(timeoutMs === undefined ? {} : { "grpc-timeout": `${timeoutMs}m` }),
      });
      const { promise, resolve } = Promise.withResolvers<{ status: number; ms: number }>();
      let status = Number.NaN;
      stream.on("trailers", (trailers) => {
        status = Number(trailers["grpc-status"] ?? Number.NaN);
      });
      stream.on("error", () => {});
      stream.on("close", () => resolve({ status, ms: performance.now() - began }));
      stream.resume();
      stream.end(framed(toBinary(schema, create(schema, { userId: other }))));
      return { answer: promise, reset: () => stream.close(constants.NGHTTP2_CANCEL) };
    },
    close: () => session.destroy(),
  };
}

function framed(message: Uint8Array): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}
