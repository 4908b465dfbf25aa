import { create, toBinary } from "@bufbuild/protobuf";
import {
  BlockUserRequestSchema,
  MuteUserRequestSchema,
  PrivacyControlService,
} from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { envelope } from "../../bench/load/exchanges.ts";
import { dataFrames } from "../../bench/load/frames.ts";
import { type GrpcCall, GrpcClient } from "./fast-grpc-client.ts";
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
  /** Returns what blocks or mutes a user, each time that it is called. */
  prepare(change: "block" | "mute", user: string, other: string, timeoutMs?: number): () => BareCall;
  close(): void;
}

const changes = {
  block: { method: PrivacyControlService.method.blockUser, schema: BlockUserRequestSchema },
  mute: { method: PrivacyControlService.method.muteUser, schema: MuteUserRequestSchema },
};

export async function openBareClient({ internalUrl, token }: Target): Promise<BareClient> {
  const client = await GrpcClient.open(internalUrl, token, 1);
  return {
    prepare(change, user, other, timeoutMs) {
      const { method, schema } = changes[change];
      const deadline = timeoutMs === undefined ? [] : [["grpc-timeout", `${timeoutMs}m`] as const];
      const call: GrpcCall = {
        path: `/${method.parent.typeName}/${method.name}`,
        fields: [["x-acting-user", user], ...deadline],
        frames: dataFrames(envelope(toBinary(schema, create(schema, { userId: other })))),
      };
      return () => {
        const { promise, resolve } = Promise.withResolvers<{ status: number; ms: number }>();
        const began = performance.now();
        const reset = client.call(call, ({ status }) => {
          resolve({ status: status === "" ? Number.NaN : Number(status), ms: performance.now() - began });
        });
        return { answer: promise, reset };
      };
    },
    close: () => client.close(),
  };
}
