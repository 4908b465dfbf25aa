import { create, toBinary } from "@bufbuild/protobuf";
import {
  BlockUserRequestSchema,
  MuteUserRequestSchema,
  PrivacyControlService,
} from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { grpcRequest, openGrpcSession } from "../../support/grpc-session.ts";
import type { Target } from "../support/pair-client.ts";

/** A gRPC call that leaves its deadline to the server. */
export interface TimedCall {
  /** Resolves to the `grpc-status`, and to how long it took; NaN when the call ended without one. */
  readonly answer: Promise<{ readonly status: number; readonly ms: number }>;
  /** Resets the call's stream. */
  reset(): void;
}

/** A client that enforces no deadline: Connect's own ends a late call before the service does. */
export interface TimedClient {
  /** Returns what blocks or mutes a user, each time that it is called. */
  prepare(change: "block" | "mute", user: string, other: string, timeoutMs?: number): () => TimedCall;
  close(): void;
}

const changes = {
  block: { method: PrivacyControlService.method.blockUser, schema: BlockUserRequestSchema },
  mute: { method: PrivacyControlService.method.muteUser, schema: MuteUserRequestSchema },
};

export async function openTimedClient({ internalUrl, token }: Target): Promise<TimedClient> {
  const session = await openGrpcSession(internalUrl, token);
  return {
    prepare(change, user, other, timeoutMs) {
      const { method, schema } = changes[change];
      const deadline = timeoutMs === undefined ? [] : [["grpc-timeout", `${timeoutMs}m`] as const];
      const message = toBinary(schema, create(schema, { userId: other }));
      const request = grpcRequest(method, message, [["x-acting-user", user], ...deadline]);
      return () => {
        const { promise, resolve } = Promise.withResolvers<{ status: number; ms: number }>();
        const reset = session.call(request, ({ status, sentAt }) => {
          resolve({ status: status === "" ? Number.NaN : Number(status), ms: performance.now() - sentAt });
        });
        return { answer: promise, reset };
      };
    },
    close: () => session.close(),
  };
}
