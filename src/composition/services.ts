import type { Logger } from "pino";
import { AccessService } from "../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { ChangeService } from "../../gen/nexgate/privacy/v1/change_service_pb.ts";
import { GraphService } from "../../gen/nexgate/privacy/v1/graph_service_pb.ts";
import { PrivacyControlService } from "../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { type Service, service } from "../call/service.ts";
import type { Metrics } from "../metrics/metrics.ts";
import { accessHandlers } from "../service/access.ts";
import { blockHandlers } from "../service/blocks.ts";
import type { ChangeFeed } from "../service/change-feed.ts";
import { changeHandlers } from "../service/changes.ts";
import { CheckBatcher, checkBatchLimits } from "../service/check-batcher.ts";
import { ConsistencyTokens } from "../service/consistency-tokens.ts";
import { ConsistentReads } from "../service/consistent-reads.ts";
import { GraphDecisions, TableDecisions } from "../service/decisions.ts";
import { exceptionHandlers } from "../service/exceptions.ts";
import { explanationHandlers } from "../service/explanations.ts";
import { exportHandlers } from "../service/exports.ts";
import { followHandlers } from "../service/follows.ts";
import { hiddenUserHandlers } from "../service/hidden.ts";
import { importHandlers } from "../service/imports.ts";
import { muteHandlers } from "../service/mutes.ts";
import { PageTokens } from "../service/pages.ts";
import { previewHandlers } from "../service/preview.ts";
import type { RelationshipIndex } from "../service/relationship-index.ts";
import { relationshipHandlers } from "../service/relationships.ts";
import { settingHandlers } from "../service/settings.ts";
import { userHandlers } from "../service/users.ts";
import type { FactsOfState, FactsQuery } from "../store/access.ts";
import type { Database } from "../store/database.ts";
import type { ImportName } from "../store/imports.ts";
import type { Tracing } from "../tracing/tracing.ts";

/** The names of the services in `grpc.health.v1`. */
export const serviceNames = [PrivacyControlService, GraphService, AccessService, ChangeService].map(
  ({ typeName }) => typeName,
);

interface ServicesOptions {
  readonly database: Database;
  /** What follows the change log. */
  readonly feed: ChangeFeed;
  /** The relationship graph; undefined when the tables decide. */
  readonly graph: RelationshipIndex | undefined;
  /** Signs page tokens; the keys of consistency tokens and of cursors are derived from it. */
  readonly signingKey: Uint8Array;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly tracing: Tracing | undefined;
  /** Aborts when imports, exports and watchers are to end. */
  readonly stopping: AbortSignal;
}

/** Makes the services: the one for users, and those for other services. */
export function createServices({
  database,
  feed,
  graph,
  signingKey,
  log,
  metrics,
  tracing,
  stopping,
}: ServicesOptions): {
  privacyControl: Service;
  graph: Service;
  access: Service;
  changes: Service;
} {
  const tokens = new PageTokens(signingKey);
  const consistency = new ConsistencyTokens(signingKey);
  const facts = new CheckBatcher<FactsQuery, FactsOfState>(
    (queries, signal) => database.relationshipFacts.read(queries, signal),
    checkBatchLimits,
    { onSend: metrics.sentChecks, tracer: tracing?.statements },
  );
  const reads = new ConsistentReads({
    tokens: consistency,
    reader: database.consistency,
    onUnmet: metrics.missedWrite,
  });
  const tables = new TableDecisions(facts);
  metrics.showChecks(facts);
  metrics.showChanges(feed);
  const onProgress = ({ id }: ImportName, progress: object) =>
    log.info({ importId: id, ...progress }, "import");
  return {
    privacyControl: service(PrivacyControlService, {
      ...blockHandlers(database.blocks, tokens, consistency),
      ...muteHandlers(database.mutes, tokens, consistency),
      ...settingHandlers(database.settings, consistency),
      ...exceptionHandlers(database.exceptions, tokens, consistency),
      ...relationshipHandlers(database.relationships),
      ...previewHandlers(database.previews),
    }),
    graph: service(GraphService, {
      ...userHandlers(database.users, consistency),
      ...followHandlers(database.follows, consistency),
      ...importHandlers(database.imports, consistency, onProgress, stopping),
      ...exportHandlers(database.exports, stopping),
    }),
    access: service(
      AccessService,
      {
        ...accessHandlers(graph === undefined ? tables : new GraphDecisions(graph, tables), reads),
        ...explanationHandlers(database.explainedFacts, reads),
        ...hiddenUserHandlers(database.hiddenUsers, tokens),
      },
      { isOverloaded: () => facts.isFull },
    ),
    changes: service(ChangeService, changeHandlers({ feed, signingKey, consistency, stopping }), {
      isWaiting: true,
      // A message goes to many watchers, and would be compressed for each of them.
      compresses: false,
    }),
  };
}
