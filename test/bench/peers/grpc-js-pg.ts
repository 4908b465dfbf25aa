import { type ServerUnaryCall, type sendUnaryData, status } from "@grpc/grpc-js";
import pg from "pg";
import { AccessService } from "../../../gen/nexgate/privacy/v1/access_service_pb.ts";
import type { UserId } from "../../../src/domain/users.ts";
import { statementsOf } from "../../support/statements.ts";
import { type CheckRequest, decide, type Facts, readFacts, ruleOf } from "./access-by-hand.ts";
import { filterByAny } from "./filter-by-any.ts";
import { loadDefinition, serveGrpcJs } from "./grpc-js-server.ts";
import { listHidden } from "./hidden-by-union.ts";
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

interface FilterViewersRequest {
  readonly ownerId: string;
  readonly viewerIds: string[];
  readonly interaction: number;
}

interface ListRequest {
  readonly viewerId: string;
  readonly pageSize: number;
  readonly pageToken: string;
}

const someone = "00000000-0000-4000-8000-000000000000" as UserId;

/** The service's statement for many pairs. */
const [{ sql: ownSql } = { sql: "" }] = await statementsOf(url, ({ relationshipFacts }) => {
  const query = { viewer: someone, owner: someone, muteScope: 1, setting: "groups" } as const;
  return relationshipFacts.read([query, query]);
});
if (ownSql === "") throw new Error("the service sent no statement");

/** Reads the facts of many pairs by the service's own statement. */
async function readMany(checks: readonly CheckRequest[]): Promise<Facts[]> {
  const rules = checks.map(({ interaction }) => ruleOf(interaction));
  const { rows } = await pool.query({
    name: "own",
    text: ownSql,
    values: [
      checks.map(({ viewerId }) => viewerId),
      checks.map(({ ownerId }) => ownerId),
      rules.map(({ muteScope = 0 }) => muteScope),
      rules.map(({ setting }) => setting ?? null),
    ],
  });
  return rows;
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

/** For each check, whether its answer is to allow. */
async function allowed(checks: readonly CheckRequest[]): Promise<boolean[]> {
  const facts = await readMany(checks);
  return checks.map((check, i) => decided(check, facts[i] as Facts).effect === 1);
}

async function filterByOwn({ viewerId, ownerIds, interaction }: FilterRequest) {
  const kept = await allowed(ownerIds.map((ownerId) => ({ viewerId, ownerId, interaction })));
  return { ownerIds: ownerIds.filter((_, i) => kept[i]) };
}

async function filterViewers({ ownerId, viewerIds, interaction }: FilterViewersRequest) {
  const kept = await allowed(viewerIds.map((viewerId) => ({ viewerId, ownerId, interaction })));
  return { viewerIds: viewerIds.filter((_, i) => kept[i]) };
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
  FilterViewers: handler(filterViewers),
  ListHiddenUsers: handler(({ viewerId, pageSize, pageToken }: ListRequest) =>
    listHidden(pool, viewerId, pageSize, pageToken),
  ),
});
