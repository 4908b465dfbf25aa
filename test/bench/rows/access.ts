import { create, toBinary } from "@bufbuild/protobuf";
import {
  AccessService,
  CheckAccessResponseSchema,
  Effect,
} from "../../../gen/nexgate/privacy/v1/access_service_pb.ts";
import {
  audiences,
  batchCalls,
  type Check,
  candidates,
  checkCalls,
  filterCall,
  filterViewersCall,
  mixedChecks,
} from "../data/questions.ts";
import type { Size } from "../data/sizes.ts";
import { specialUsers, userId } from "../data/users.ts";
import type { Comparison } from "../harness/comparison.ts";
import type { BenchDatabase } from "../harness/database.ts";
import type { Call } from "../load/exchanges.ts";
import type { Setting } from "../setting.ts";
import { grpcContenders } from "./contenders.ts";

const pathOf = (method: string) => `/${AccessService.typeName}/${method}`;
const calls = { name: "calls", perCall: 1 };
const pairs = { name: "pairs", perCall: 1_000 };
const mixedCount = 24_000;
const batchSize = 100;
const candidateSets = 48;
const maxStalenessSeconds = 2;

const inFlight64 = { sessions: 4, streams: 16 };
const inFlight8 = { sessions: 4, streams: 2 };
const one = { sessions: 1, streams: 1 };

/** What the empty handler answers to every check. */
const allow = toBinary(
  CheckAccessResponseSchema,
  create(CheckAccessResponseSchema, { effect: Effect.ALLOW }),
);

/** The decisions, against the same written by hand, against an empty handler, and against the tables. */
export async function accessRows(
  setting: Setting,
  database: Pick<BenchDatabase, "client" | "cpuSeconds">,
  size: Size,
): Promise<Comparison[]> {
  const checks = await mixedChecks(database.client, size.users, mixedCount);
  return [...checkRows(setting, database, checks), ...(await manyRows(setting, database, size, checks))];
}

/** Single checks. */
function checkRows(
  setting: Setting,
  database: Pick<BenchDatabase, "cpuSeconds">,
  checks: readonly Check[],
): Comparison[] {
  const { ours, oursByTables, grpcJs, grpcJsEmpty } = setting.servers;
  const contender = grpcContenders(setting);
  const check = { path: pathOf("CheckAccess"), calls: checkCalls(checks) };
  const stale = { ...check, calls: checkCalls(checks, maxStalenessSeconds) };
  const toFloor = (work: typeof check) => ({
    ...work,
    calls: work.calls.map((call): Call => ({ ...call, reply: allow })),
  });
  return [
    {
      id: "check-64",
      title: "CheckAccess, 64 in flight",
      figure: "rate",
      unit: calls,
      ours: contender("ours", ours, check, inFlight64),
      peers: [
        { contender: contender("grpc-js + pg", grpcJs, check, inFlight64), goal: { atLeast: 2.6 } },
        {
          contender: contender("empty grpc-js handler", grpcJsEmpty, toFloor(check), inFlight64),
          goal: { atLeast: 0.9 },
        },
      ],
    },
    {
      id: "check-64-stale",
      title: `CheckAccess, ${maxStalenessSeconds} s of staleness accepted, 64 in flight`,
      figure: "rate",
      unit: calls,
      ours: contender("ours", ours, stale, inFlight64),
      peers: [
        {
          contender: contender("empty grpc-js handler", grpcJsEmpty, toFloor(stale), inFlight64),
          goal: { atLeast: 0.95 },
        },
      ],
    },
    {
      id: "check-1",
      title: "CheckAccess, 1 in flight, p50",
      figure: "p50",
      unit: calls,
      ours: contender("ours", ours, check, one),
      peers: [{ contender: contender("grpc-js + pg", grpcJs, check, one), goal: { atMost: 1.15 } }],
    },
    {
      id: "check-64-database",
      title: "PostgreSQL's time for a CheckAccess, 64 in flight",
      figure: "database",
      unit: calls,
      database,
      ours: contender("ours", ours, check, inFlight64),
      peers: [
        {
          contender: contender("ours by the tables", oursByTables, check, inFlight64),
          goal: { atMost: 0.25 },
        },
      ],
    },
    {
      id: "check-64-tables",
      title: "CheckAccess by the tables, 64 in flight",
      figure: "rate",
      unit: calls,
      ours: contender("ours by the tables", oursByTables, check, inFlight64),
      peers: [{ contender: contender("grpc-js + pg", grpcJs, check, inFlight64) }],
    },
  ];
}

/** Many pairs in one call. */
async function manyRows(
  setting: Setting,
  { client }: Pick<BenchDatabase, "client">,
  size: Size,
  checks: readonly Check[],
): Promise<Comparison[]> {
  const { ours, grpcJs, grpcJsByAny } = setting.servers;
  const contender = grpcContenders(setting);
  const users = Array.from({ length: candidateSets }, (_, set) => userId(set * 7));
  const prolific = Array.from({ length: candidateSets }, () => userId(specialUsers(size).viewers[2]));
  const filterCalls = async (viewers: readonly string[]) => ({
    path: pathOf("FilterUsers"),
    calls: (await candidates(client, viewers, size.users)).map(filterCall),
  });
  const usual = await filterCalls(users);
  const most = await filterCalls(prolific);
  const toViewers = {
    path: pathOf("FilterViewers"),
    calls: (await audiences(client, users, size.users)).map(filterViewersCall),
  };
  const batch = { path: pathOf("BatchCheckAccess"), calls: batchCalls(checks, batchSize) };
  return [
    {
      id: "filter-1000",
      title: "FilterUsers, 1,000 candidates",
      figure: "rate",
      unit: pairs,
      ours: contender("ours", ours, usual, inFlight8),
      peers: [
        { contender: contender("grpc-js + pg, our SQL", grpcJs, usual, inFlight8), goal: { atLeast: 6 } },
      ],
    },
    {
      id: "filter-prolific",
      title: `FilterUsers, viewer with ${size.viewers[2].toLocaleString("en")} blocks`,
      figure: "rate",
      unit: pairs,
      ours: contender("ours", ours, most, inFlight8),
      peers: [
        { contender: contender("grpc-js + pg, = ANY", grpcJsByAny, most, inFlight8), goal: { atLeast: 35 } },
      ],
    },
    {
      id: "filter-viewers",
      title: "FilterViewers, 1,000 viewers",
      figure: "rate",
      unit: pairs,
      ours: contender("ours", ours, toViewers, inFlight8),
      peers: [{ contender: contender("grpc-js + pg, our SQL", grpcJs, toViewers, inFlight8) }],
    },
    {
      id: "batch-100",
      title: "BatchCheckAccess, 100 mixed pairs",
      figure: "rate",
      unit: { name: "pairs", perCall: batchSize },
      ours: contender("ours", ours, batch, inFlight8),
      peers: [
        { contender: contender("grpc-js + pg, our SQL", grpcJs, batch, inFlight8), goal: { atLeast: 3 } },
      ],
    },
  ];
}
