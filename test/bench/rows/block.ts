import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import type pg from "pg";
import {
  BlockUserRequestSchema,
  PrivacyControlService,
} from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { type Size, writers } from "../data/sizes.ts";
import { idSql, specialUsers, userId } from "../data/users.ts";
import type { Comparison, Contender } from "../harness/comparison.ts";
import type { BenchDatabase } from "../harness/database.ts";
import { grpcLoad, transactionLoad } from "../harness/loads.ts";
import type { Server } from "../harness/processes.ts";
import { type Call, packCalls } from "../load/exchanges.ts";
import { blockStatements, type Role } from "../peers/recorded-statements.ts";
import type { Setting } from "../setting.ts";

const clients = 16;
/** More than a load can make in its time: the rest stays unused. */
const callsPerSecond = 12_000;

interface BlockOptions {
  readonly name: string;
  readonly server: Server;
  /** A connection to the database of the server. */
  readonly client: pg.Client;
  readonly size: Size;
}

/** Blocks that did not exist before, by `BlockUser`; all that are acknowledged must be in the table. */
export function newBlocks(
  { folder, serviceToken }: Pick<Setting, "folder" | "serviceToken">,
  { name, server, client, size }: BlockOptions,
): Contender {
  const { firstWriter } = specialUsers(size);
  const third = writers / 3;
  const callsFile = join(folder, `blocks-${server.pid}`);
  let made = 0;
  const nextCalls = (count: number) =>
    Array.from({ length: count }, (): Call => {
      const n = made++;
      const target = userId((Math.floor(n / third) * 7_919) % size.users);
      const request = toBinary(BlockUserRequestSchema, create(BlockUserRequestSchema, { userId: target }));
      return { actor: userId(firstWriter + (n % third)), request, reply: undefined };
    });
  const stored = async () => {
    const { rows } = await client.query<{ count: number }>(
      `select count(*)::int as count from blocks where blocker_id in (
        select ${idSql("n")} from generate_series(${firstWriter}, ${firstWriter + third - 1}) n)`,
    );
    return rows[0]?.count ?? 0;
  };
  return {
    name,
    server,
    async run(ms) {
      writeFileSync(callsFile, packCalls(nextCalls((callsPerSecond * ms) / 1_000)));
      const before = await stored();
      const result = await grpcLoad({
        url: `http://127.0.0.1:${server.ports.grpc}`,
        path: `/${PrivacyControlService.typeName}/BlockUser`,
        headers: { authorization: `Bearer ${serviceToken}` },
        callsFile,
        once: true,
        sessions: 4,
        streams: clients / 4,
        rampMs: 0,
        ms,
      });
      const added = (await stored()) - before;
      if (added === result.total) return result;
      return { ...result, wrong: 1, example: `${result.total} blocks were acknowledged, ${added} stored` };
    },
  };
}

/** New blocks, against the database's own load generator with the same statements. */
export async function blockRows(
  setting: Setting,
  { client, url }: BenchDatabase,
  size: Size,
): Promise<Comparison[]> {
  const { firstWriter } = specialUsers(size);
  const third = writers / 3;
  const scriptFile = join(setting.folder, "block.sql");
  writeFileSync(scriptFile, await blockScript(url, firstWriter + third * 2, third, size.users));
  const ours = newBlocks(setting, { name: "ours", server: setting.servers.ours, client, size });
  const pgbench: Contender = {
    name: "pgbench, same statements",
    server: undefined,
    run: (ms) => transactionLoad({ url, scriptFile, clients, ms }),
  };
  return [
    {
      id: "block",
      title: `BlockUser, ${clients} in flight`,
      figure: "rate",
      unit: { name: "blocks", perCall: 1 },
      ours,
      peers: [{ contender: pgbench, goal: { atLeast: 0.6 } }],
    },
  ];
}

/** The transaction of a block as pgbench runs it: random ones of some users block random users. */
async function blockScript(url: string, firstWriter: number, count: number, users: number): Promise<string> {
  const expressions: Partial<Record<Role, string>> = {
    actor: idSql(":actor"),
    target: idSql(":target"),
    pair: `(least(${idSql(":actor")}, ${idSql(":target")}) || ':' || greatest(${idSql(":actor")}, ${idSql(":target")}))`,
  };
  const statements = (await blockStatements(url)).map(({ text, parameters }) =>
    text
      .replaceAll(/\$(\d+)/g, (name, n) => {
        const parameter = parameters[Number(n) - 1];
        if (typeof parameter === "string") return expressions[parameter] ?? name;
        return `(${parameter?.value ?? "null"})`;
      })
      .replaceAll(/\s+/g, " "),
  );
  return [
    `\\set actor random(${firstWriter}, ${firstWriter + count - 1})`,
    `\\set target random(0, ${users - 1})`,
    ...statements.map((statement) => `${statement};`),
    "",
  ].join("\n");
}
