import { setTimeout } from "node:timers/promises";
import { create, type DescMethod, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  AccessService,
  BatchCheckAccessRequestSchema,
  CheckAccessRequestSchema,
  CheckAccessResponseSchema,
  Effect,
  FilterUsersRequestSchema,
  Interaction,
} from "../../../gen/nexgate/privacy/v1/access_service_pb.ts";
import {
  type GrpcAnswer,
  type GrpcRequest,
  type GrpcSession,
  grpcRequest,
} from "../../support/grpc-session.ts";
import { blockedEach, callers, knownTo } from "./population.ts";

/** A call with the answer that it has in calm. */
export interface Decision extends GrpcRequest {
  readonly expected: Buffer;
}

/** Pairs of a `BatchCheckAccess`, and candidates of a `FilterUsers`. */
const pairs = 100;
const candidates = 300;
/** For a call in calm. */
const mostTries = 50;
const pauseMs = 100;
/** How many different calls there are of each kind. */
const distinct = 100;

const { method } = AccessService;

/** The decisions that feeds and messaging ask for. Part of them are about blocked users. */
export async function decisions(session: GrpcSession) {
  const all = {
    check: calls(method.checkAccess, (n) =>
      toBinary(CheckAccessRequestSchema, check(n, n, Interaction.SEND_MESSAGE)),
    ),
    batch: calls(method.batchCheckAccess, (n) => {
      const checks = Array.from({ length: pairs }, (_, k) => check(n, k, Interaction.VIEW_CONTENT));
      return toBinary(BatchCheckAccessRequestSchema, create(BatchCheckAccessRequestSchema, { checks }));
    }),
    filter: calls(method.filterUsers, (n) => {
      const ownerIds = knownTo(n, candidates);
      const request = { viewer: viewer(n), ownerIds, interaction: Interaction.VIEW_PROFILE };
      return toBinary(FilterUsersRequestSchema, create(FilterUsersRequestSchema, request));
    }),
  };
  // One after the other: all at once would be rejected.
  const decided = async (calls: readonly GrpcRequest[]) => {
    const found: Decision[] = [];
    for (const call of calls) found.push(await inCalm(session, call));
    return found;
  };
  const found = {
    check: await decided(all.check),
    batch: await decided(all.batch),
    filter: await decided(all.filter),
  };
  const denials = found.check.filter(
    ({ expected }) => fromBinary(CheckAccessResponseSchema, expected.subarray(5)).effect === Effect.DENY,
  );
  if (denials.length !== blockedEach) throw new Error("not every blocked user is denied");
  return found;
}

function calls(method: DescMethod, request: (n: number) => Uint8Array): GrpcRequest[] {
  return Array.from({ length: distinct }, (_, n) => grpcRequest(method, request(n)));
}

const viewer = (n: number) => ({ case: "viewerId" as const, value: callers[n] as string });

/** Asks about the `k`th user whom a caller knows. */
function check(n: number, k: number, interaction: Interaction) {
  const ownerId = knownTo(n, k + 1)[k] as string;
  return create(CheckAccessRequestSchema, { viewer: viewer(n), ownerId, interaction });
}

/** Repeats a call that is unavailable: others may use the machine. */
async function inCalm(session: GrpcSession, request: GrpcRequest): Promise<Decision> {
  let status = "";
  for (let tries = 0; tries < mostTries; tries++) {
    const answer = await new Promise<GrpcAnswer>((resolve) => session.call(request, resolve));
    status = answer.status;
    if (status === "0" && answer.reply !== undefined) return { ...request, expected: answer.reply };
    await setTimeout(pauseMs);
  }
  throw new Error(`a decision was answered ${status} in calm`);
}
