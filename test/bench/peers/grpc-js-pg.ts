import { type ServerUnaryCall, type sendUnaryData, status } from "@grpc/grpc-js";
import pg from "pg";
import { AccessService } from "../../../gen/nexgate/privacy/v1/access_service_pb.ts";
import type { UserId } from "../../../src/domain/ids.ts";
import { statementsOf } from "../../support/statements.ts";
import { type CheckRequest, decide, type Facts, factsAt, readFacts, ruleOf } from "./access-by-hand.ts";
import { filterByAny } from "./filter-by-any.ts";
import { loadDefinition, serveGrpcJs } from "./grpc-js-server.ts";
import { argument } from "./serve.ts";

// The decisions as a service would make them that was written by hand for grpc-js and pg, with statements prepared by
// name: no token, no validation, no log, no metrics.
const url = argument(0);
const filterKind = argument(1);
const pool = new pg.Pool({ connectionString: url, max: 16, options: "-c random_page_cost=1" });

interface FilterRequest {
  readonly viewerId: string;
  readonly ownerIds: string[];
  readonly interaction: number;
}

const someone = "00000000-0000-4000-8000-000000000000" as UserId;
const kinds = { none: 0, last_seen: 2, profile_picture: 4, status: 6, read_receipts: 8, groups: 10 };
/** The number by which the service's statements know what is asked for. */
const kindOf = ({ interaction }: CheckRequest) => {
  const { mute, setting } = ruleOf(interaction);
  return kinds[(setting ?? "none") as keyof typeof kinds] + (mute === undefined ? 0 : 1);
};

/** The service's statements for many questions, by whether they look for mutes and for settings. */
const own = await Promise.all(
  [0, 1, 2, 3].map(async (wanted) => {
    const pair = { viewer: someone, owner: someone };
    const question = {
      ...pair,
      mute: (wanted & 1) !== 0,
      setting: (wanted & 2) !== 0 ? "groups" : null,
    } as const;
    const [statement] = await statementsOf(url, ({ accessFacts }) => accessFacts.read([question, question]));
    if (statement === undefined) throw new Error("the service sent no statement");
    return { name: `own ${wanted}`, text: statement.sql };
  }),
);

/** Reads the facts of many pairs by the service's own statements. */
async function readMany(checks: readonly CheckRequest[]): Promise<Facts[]> {
  const kinds = Buffer.from(checks.map(kindOf));
  const asked = kinds.reduce((all, kind) => all | kind, 0);
  const { rows } = await pool.query({
    ...(own[(asked & 1) | (asked > 1 ? 2 : 0)] as pg.QueryConfig),
    values: [
      kinds,
      `{${checks.map(({ viewerId }) => viewerId).join(",")}}`,
      `{${checks.map(({ ownerId }) => ownerId).join(",")}}`,
    ],
  });
  return checks.map((_, i) => factsAt(rows[0].facts, i));
}

const decided = (check: CheckRequest, facts: Facts) =>
  decide(check.viewerId, check.ownerId, check.interaction, facts);

async function checkAccess(check: CheckRequest) {
  return decided(check, await readFacts(pool, check));
}

async function batchCheckAccess({ checks }: { readonly checks: CheckRequest[] }) {
  const facts = await readMany(checks);
  return { results: checks.map((check, i) => decided(check, facts[i] as Facts)) };
}

async function filterByOwn({ viewerId, ownerIds, interaction }: FilterRequest) {
  const checks = ownerIds.map((ownerId) => ({ viewerId, ownerId, interaction }));
  const facts = await readMany(checks);
  return {
    ownerIds: ownerIds.filter((_, i) => decided(checks[i] as CheckRequest, facts[i] as Facts).effect === 1),
  };
}

function handler<Request, Reply>(handle: (request: Request) => Promise<Reply>) {
  return ({ request }: ServerUnaryCall<Request, Reply>, answer: sendUnaryData<Reply>) => {
    handle(request).then(
      (reply) => answer(null, reply),
      () => answer({ code: status.INTERNAL }),
    );
  };
}

await serveGrpcJs(loadDefinition(AccessService), {
  CheckAccess: handler(checkAccess),
  BatchCheckAccess: handler(batchCheckAccess),
  FilterUsers: handler(
    filterKind === "any"
      ? ({ viewerId, ownerIds }: FilterRequest) => filterByAny(pool, viewerId, ownerIds)
      : filterByOwn,
  ),
});
