import type pg from "pg";
import { AccessService } from "../../../gen/nexgate/privacy/v1/access_service_pb.ts";
import { PageTokens } from "../../../src/service/pages.ts";
import { candidates, checkCalls, mixedChecks } from "../data/questions.ts";
import type { Size } from "../data/sizes.ts";
import { specialUsers, userId } from "../data/users.ts";
import type { Comparison, Contender } from "../harness/comparison.ts";
import type { Server } from "../harness/processes.ts";
import { grpcContenders } from "./contenders.ts";
import { type Line, restLoads } from "./rest.ts";

/** What a growing amount of data may cost: a fifth. */
const goal = { atMost: 1.2 };
const one = { sessions: 1, streams: 1 };
const path = `/${AccessService.typeName}/CheckAccess`;
const pageSize = 50;
const mixedCount = 6_000;
const times = { figure: "p50", unit: { name: "calls", perCall: 1 } } as const;

interface GrowthSetting {
  readonly folder: string;
  readonly serviceToken: string;
  readonly userToken: (id: string) => Promise<string>;
}

/** A service and the database that it runs on. */
interface Grown {
  readonly server: Server;
  readonly client: pg.Client;
  readonly size: Size;
}

/** The same work amid few and many data, each time one call after the other. */
export async function growthRows(setting: GrowthSetting, large: Grown, small: Grown): Promise<Comparison[]> {
  const check = grpcContenders(setting);
  const viewers = specialUsers(large.size).viewers.map((number) => userId(number));
  const sets = await candidates(large.client, viewers, large.size.users);
  const byViewer = sets.map((checks, i) =>
    check(
      named(large.size.viewers[i] ?? 0, "blocks"),
      large.server,
      { path, calls: checkCalls(checks) },
      one,
    ),
  );
  const byTable = await Promise.all(
    [small, large].map(async ({ server, client, size }) => {
      const calls = checkCalls(await mixedChecks(client, size.users, mixedCount));
      return check(named(edgesOf(size), "edges"), server, { path, calls }, one);
    }),
  );
  const pages = await pageContenders(setting, large);
  return [
    ...compared("viewer", "CheckAccess of a viewer with", byViewer),
    ...compared("tables", "CheckAccess in tables of", byTable),
    ...compared("pages", `GET /blocked?page_size=${pageSize},`, pages),
  ];
}

/** The last contender against each of the others. */
function compared(id: string, title: string, contenders: readonly Contender[]): Comparison[] {
  const [most, ...less] = contenders.toReversed();
  if (most === undefined) return [];
  const peers = less.toReversed().map((contender) => ({ contender, goal }));
  return [{ id, title: `${title} ${most.name}`, ...times, ours: most, peers }];
}

async function pageContenders(setting: GrowthSetting, { server, client, size }: Grown): Promise<Contender[]> {
  const user = userId(specialUsers(size).longest);
  const { rows: keys } = await client.query<{ key: Buffer }>("select key from signing_keys");
  const tokens = new PageTokens(keys[0]?.key ?? Buffer.of());
  const lastPage = size.longest / pageSize;
  const { rows } = await client.query<{ id: string; micros: string }>(
    `select id, (extract(epoch from created_at) * 1000000)::bigint as micros from blocks
     where blocker_id = $1 order by created_at desc, id desc offset $2 limit 1`,
    [user, (lastPage - 1) * pageSize - 1],
  );
  const before = { id: rows[0]?.id ?? "", createdAt: BigInt(rows[0]?.micros ?? 0) };
  const list = `/api/v1/e-social/privacy-control/blocked?page_size=${pageSize}`;
  const page = async (number: number, path: string) => {
    const lines: Line[] = [{ method: "GET", path, user }];
    const load = await restLoads(setting, `page-${number}`, lines, {
      needle: '"createdAt"',
      connections: 1,
      paired: false,
    });
    return load(`page ${number.toLocaleString("en")}`, server);
  };
  const deep = `${list}&page_token=${tokens.write("blocks", user as never, before)}`;
  return [await page(1, list), await page(lastPage, deep)];
}

function named(count: number, what: string): string {
  return `${count.toLocaleString("en")} ${what}`;
}

function edgesOf({ blocks, mutes, follows, viewers, longest }: Size): number {
  return viewers.reduce((sum: number, count) => sum + count, blocks + mutes + follows + longest);
}
