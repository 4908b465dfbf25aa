import { create, toBinary } from "@bufbuild/protobuf";
import type pg from "pg";
import {
  AccessService,
  CheckAccessResponseSchema,
  Effect,
} from "../../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { batchCalls, candidates, checkCalls, filterCall, mixedChecks } from "../data/questions.ts";
import type { Size } from "../data/sizes.ts";
import { specialUsers, userId } from "../data/users.ts";
import type { Comparison } from "../harness/comparison.ts";
import type { Call } from "../load/exchanges.ts";
import type { Setting } from "../setting.ts";
import { grpcContenders } from "./contenders.ts";

const pathOf = (method: string) => `/${AccessService.typeName}/${method}`;
const calls = { name: "calls", perCall: 1 };
const mixedCount = 24_000;
const batchSize = 100;
const candidateSets = 48;

/** What the empty handler answers to every check. */
const allow = toBinary(
  CheckAccessResponseSchema,
  create(CheckAccessResponseSchema, { effect: Effect.ALLOW }),
);

/** The decisions, against the same written by hand, and against an empty handler. */
export async function accessRows(setting: Setting, client: pg.Client, size: Size): Promise<Comparison[]> {
  const { ours, grpcJs, grpcJsByAny, grpcJsEmpty } = setting.servers;
  const contender = grpcContenders(setting);
  const checks = await mixedChecks(client, size.users, mixedCount);
  const check = { path: pathOf("CheckAccess"), calls: checkCalls(checks) };
  const toFloor = { ...check, calls: check.calls.map((call): Call => ({ ...call, reply: allow })) };
  const batch = { path: pathOf("BatchCheckAccess"), calls: batchCalls(checks, batchSize) };
  const usual = await filterCalls(client, size, (set) => userId(set * 7));
  const prolific = userId(specialUsers(size).viewers[2]);
  const most = await filterCalls(client, size, () => prolific);
  const inFlight64 = { sessions: 4, streams: 16 };
  const inFlight8 = { sessions: 4, streams: 2 };
  const one = { sessions: 1, streams: 1 };
  return [
    {
      id: "check-64",
      title: "CheckAccess, 64 in flight",
      figure: "rate",
      unit: calls,
      ours: contender("ours", ours, check, inFlight64),
      peers: [
        { contender: contender("grpc-js + pg", grpcJs, check, inFlight64), goal: { atLeast: 2.2 } },
        {
          contender: contender("empty grpc-js handler", grpcJsEmpty, toFloor, inFlight64),
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
      id: "filter-1000",
      title: "FilterUsers, 1,000 candidates",
      figure: "rate",
      unit: { name: "pairs", perCall: 1_000 },
      ours: contender("ours", ours, usual, inFlight8),
      peers: [
        { contender: contender("grpc-js + pg, our SQL", grpcJs, usual, inFlight8), goal: { atLeast: 1.1 } },
      ],
    },
    {
      id: "filter-prolific",
      title: `FilterUsers, viewer with ${size.viewers[2].toLocaleString("en")} blocks`,
      figure: "rate",
      unit: { name: "pairs", perCall: 1_000 },
      ours: contender("ours", ours, most, inFlight8),
      peers: [
        { contender: contender("grpc-js + pg, = ANY", grpcJsByAny, most, inFlight8), goal: { atLeast: 20 } },
      ],
    },
    {
      id: "batch-100",
      title: "BatchCheckAccess, 100 mixed pairs",
      figure: "rate",
      unit: { name: "pairs", perCall: batchSize },
      ours: contender("ours", ours, batch, inFlight8),
      peers: [
        { contender: contender("grpc-js + pg, our SQL", grpcJs, batch, inFlight8), goal: { atLeast: 1.1 } },
      ],
    },
  ];
}

async function filterCalls(client: pg.Client, size: Size, viewer: (set: number) => string) {
  const viewers = Array.from({ length: candidateSets }, (_, set) => viewer(set));
  const sets = await candidates(client, viewers, size.users);
  return { path: pathOf("FilterUsers"), calls: sets.map(filterCall) };
}
