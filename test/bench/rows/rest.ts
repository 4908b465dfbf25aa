import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type pg from "pg";
import { audiences, privacySettings } from "../../../src/domain/settings.ts";
import { type Size, writers } from "../data/sizes.ts";
import { idSql, specialUsers, userId } from "../data/users.ts";
import type { Comparison, Contender } from "../harness/comparison.ts";
import { untilQuiet } from "../harness/database.ts";
import { restLoad } from "../harness/loads.ts";
import type { Server } from "../harness/processes.ts";
import type { Setting } from "../setting.ts";

/** A line of `rest.lua`. */
export interface Line {
  readonly method: string;
  readonly path: string;
  readonly user: string;
  readonly body?: string;
}

const base = "/api/v1/e-social/privacy-control";
const requests = { name: "requests", perCall: 1 };
const pageSize = 50;
const maxReaders = 1_000;
const writersAtOnce = 16;

/**
 * The REST calls, against the same written by hand for Fastify and pg: bare, and in production, which verifies tokens,
 * validates and logs. Unblock and PATCH of the bare peer and of the one with autocommit are single statements; the
 * others run every change in the same transaction as this service.
 */
export async function restRows(setting: Setting, client: pg.Client, size: Size): Promise<Comparison[]> {
  const { ours, fastify, fastifyTransactions, fastifyAutocommit, httpEmpty } = setting.servers;
  const { firstWriter } = specialUsers(size);
  const { rows } = await client.query<{ id: string }>(
    `select blocker_id as id from blocks group by 1 having count(*) > ${pageSize + 10} limit ${maxReaders}`,
  );
  const readers = rows.map(
    ({ id }): Line => ({ method: "GET", path: `${base}/blocked?page_size=${pageSize}`, user: id }),
  );
  // The writers of the middle third: the first third makes blocks that stay.
  const third = writers / 3;
  const writer = (n: number) => userId(firstWriter + third + (n % third));
  const blocks = Array.from({ length: third * 2 }, (_, n): Line[] => {
    const target = userId((n * 7_919) % size.users);
    return [
      { method: "POST", path: `${base}/block/${target}`, user: writer(n) },
      { method: "DELETE", path: `${base}/unblock/${target}`, user: writer(n) },
    ];
  }).flat();
  const settings = Array.from({ length: third * 20 }, (_, n): Line => {
    const setting = privacySettings[n % privacySettings.length];
    const value = audiences[n % audiences.length];
    return {
      method: "PATCH",
      path: "/users/me/privacy",
      user: writer(n),
      body: JSON.stringify({ setting, value }),
    };
  });
  const unblockAll = async () => {
    await untilQuiet(client);
    await client.query(
      `delete from blocks where blocker_id in (
        select ${idSql("n")} from generate_series(${firstWriter + third}, ${firstWriter + 2 * third - 1}) n)`,
    );
  };

  const list = await restLoads(setting, "list", readers, {
    needle: '"createdAt"',
    connections: 64,
    paired: false,
  });
  const change = await restLoads(setting, "blocks", blocks, {
    needle: '"success":true',
    connections: writersAtOnce,
    paired: true,
  });
  const patch = await restLoads(setting, "settings", settings, {
    needle: '"status":true',
    connections: writersAtOnce,
    paired: false,
  });
  const empty = await restLoads(setting, "empty", readers, {
    needle: '"success":true',
    connections: 64,
    paired: false,
  });
  const goal = { atLeast: 1 };
  const bare = "bare Fastify + pg";
  const production = "Fastify + pg in production";
  const autocommit = `${production}, autocommit`;
  const blockAndUnblock = (name: string, server: Server): Contender => ({
    ...change(name, server),
    prepare: unblockAll,
  });
  const titled = (id: string, title: string) => ({ id, title, figure: "rate", unit: requests }) as const;
  return [
    {
      ...titled("rest-list", `GET /blocked?page_size=${pageSize}, 64 in flight`),
      ours: list("ours", ours),
      peers: [
        { contender: list(production, fastifyTransactions), goal },
        { contender: list(bare, fastify) },
        { contender: empty("empty HTTP/1.1 server", httpEmpty) },
      ],
    },
    {
      ...titled("rest-block", `POST block, DELETE unblock, ${writersAtOnce} in flight`),
      ours: blockAndUnblock("ours", ours),
      peers: [
        { contender: blockAndUnblock(production, fastifyTransactions), goal },
        { contender: blockAndUnblock(autocommit, fastifyAutocommit) },
        { contender: blockAndUnblock(bare, fastify) },
      ],
    },
    {
      ...titled("rest-setting", `PATCH a setting, ${writersAtOnce} in flight`),
      ours: patch("ours", ours),
      peers: [
        { contender: patch(production, fastifyTransactions), goal },
        { contender: patch(autocommit, fastifyAutocommit) },
        { contender: patch(bare, fastify) },
      ],
    },
  ];
}

/** Makes contenders that answer the same REST requests. */
export async function restLoads(
  { folder, userToken }: Pick<Setting, "folder" | "userToken">,
  name: string,
  lines: readonly Line[],
  how: { needle: string; connections: number; paired: boolean },
) {
  const requestsFile = join(folder, `requests-${name}`);
  const tokens = new Map<string, string>();
  for (const { user } of lines) if (!tokens.has(user)) tokens.set(user, await userToken(user));
  writeFileSync(
    requestsFile,
    lines
      .map(
        ({ method, path, user, body = "" }) => `${[method, path, user, tokens.get(user), body].join("\t")}\n`,
      )
      .join(""),
  );
  return (name: string, server: Server): Contender => ({
    name,
    server,
    run: (ms) => restLoad({ ...how, url: `http://127.0.0.1:${server.ports.http}`, requestsFile, ms }),
  });
}
