import { randomUUID } from "node:crypto";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { Interaction } from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { PrivacyControlService } from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { Audience, MuteScope, PrivacySetting } from "../../gen/nexgate/privacy/v1/resources_pb.ts";
import type { AnsweredQuestion, VectorFacts } from "../../scripts/decision-vectors.ts";
import type { UserId } from "../../src/domain/users.ts";
import type { TestService } from "./service.ts";

type Pair = Omit<StoredVector, "vector">;

const groupSize = 20;

/** A vector whose facts a service has, and the users that they are of. */
export interface StoredVector {
  readonly vector: AnsweredQuestion;
  readonly viewer: UserId;
  readonly owner: UserId;
}

/** Stores the facts of vectors in a service by its API, for decisions at a time in microseconds since 1970. */
export async function storeVectors(
  service: TestService,
  vectors: readonly AnsweredQuestion[],
  decidedAt: bigint,
): Promise<StoredVector[]> {
  const store = await storeIn(service, decidedAt);
  const keyOf = ({ viewer, facts }: AnsweredQuestion) => JSON.stringify([viewer, facts]);
  // The facts of one pair serve the vectors of all interactions.
  const different = new Map(vectors.map((vector) => [keyOf(vector), vector]));
  const pairs = await inGroups([...different.values()], store);
  const pairOf = new Map([...different.keys()].map((key, i) => [key, pairs[i] as Pair]));
  return vectors.map((vector) => ({ vector, ...(pairOf.get(keyOf(vector)) as Pair) }));
}

/** Does something for each of many, for some at once: for all at once were more calls than a service takes. */
export async function inGroups<Of, Result>(
  all: readonly Of[],
  work: (one: Of) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  for (let start = 0; start < all.length; start += groupSize)
    results.push(...(await Promise.all(all.slice(start, start + groupSize).map(work))));
  return results;
}

/** The request of `CheckAccess` that a vector asks. */
export function checkOf({ vector, viewer, owner }: StoredVector) {
  return {
    viewer: viewerOf({ vector, viewer, owner }),
    ownerId: owner,
    interaction: Interaction[vector.interaction],
  };
}

/** The viewer of the request. */
export function viewerOf({ vector, viewer, owner }: StoredVector) {
  if (vector.viewer === "signed_out") return { case: "signedOut" as const, value: true };
  return { case: "viewerId" as const, value: vector.viewer === "self" ? owner : viewer };
}

async function storeIn(service: TestService, decidedAt: bigint) {
  const control = createClient(PrivacyControlService, createGrpcTransport({ baseUrl: service.internalUrl }));
  const options = await service.acting();
  const as = (id: string) => ({ headers: { ...options.headers, "x-acting-user": id } });

  return async ({ facts }: { facts: VectorFacts }): Promise<Pair> => {
    const [viewer, owner] = [randomUUID() as UserId, randomUUID() as UserId];
    const known = [...(facts.viewer_unknown ? [] : [viewer]), ...(facts.owner_unknown ? [] : [owner])];
    if (known.length > 0)
      await service.graph.upsertUsers({ users: known.map((id) => ({ id, userName: "someone" })) }, options);

    const block = (by: UserId, userId: UserId, terms: VectorFacts["blocking"]) =>
      terms && control.blockUser({ userId, ...termsOf(terms, decidedAt) }, as(by));
    const mute = (by: UserId, userId: UserId, terms: VectorFacts["muting"]) =>
      terms && control.muteUser({ userId, ...termsOf(terms, decidedAt) }, as(by));
    const follow = (followerId: UserId, followeeId: UserId, follows: true | undefined) =>
      follows && service.graph.followUser({ followerId, followeeId }, options);
    await Promise.all([
      block(viewer, owner, facts.blocking),
      block(owner, viewer, facts.blocked_by),
      mute(viewer, owner, facts.muting),
      mute(owner, viewer, facts.muted_by),
      follow(viewer, owner, facts.following),
      follow(owner, viewer, facts.contact),
      ...Object.entries(facts.settings ?? {}).map(([setting, audience]) =>
        control.updatePrivacySetting(
          { setting: enumValue(PrivacySetting, setting), value: enumValue(Audience, audience) },
          as(owner),
        ),
      ),
      ...(facts.exceptions ?? []).map((setting) =>
        control.updatePrivacyExceptions(
          { setting: enumValue(PrivacySetting, setting), addUserIds: [viewer] },
          as(owner),
        ),
      ),
    ]);
    return { viewer, owner };
  };
}

function termsOf(
  { expires_in_micros: micros, scopes = [] }: NonNullable<VectorFacts["muting"]>,
  now: bigint,
) {
  return {
    scopes: scopes.map((scope) => enumValue(MuteScope, scope)),
    ...(micros !== undefined && { expiresAt: fromMicros(now + BigInt(micros)) }),
  };
}

/** The value of an enum that a vector names in lower case. */
function enumValue<Value>(values: Record<string, Value | string>, name: string): Value {
  return values[name.toUpperCase()] as Value;
}

function fromMicros(micros: bigint) {
  return { seconds: micros / 1_000_000n, nanos: Number(micros % 1_000_000n) * 1_000 };
}
