import pg from "pg";
import type { FreezingProxy } from "../../support/freezing-proxy.ts";
import { pick } from "../changes/api-writers.ts";
import { killServer } from "../support/server-faults.ts";
import type { Stage } from "./replica-run.ts";

/** A fault, which ends when `last` resolves. */
type Fault = (stage: Stage, last: () => Promise<void>) => Promise<void>;

export const faults = {
  "connections cut": async ({ proxies }, last) => {
    for (const proxy of proxies) proxy.cut();
    await last();
  },
  "connections frozen": async ({ proxies }, last) => {
    for (const proxy of proxies) proxy.freeze();
    await last();
    for (const proxy of proxies) proxy.thaw();
  },
  "connections dead": async ({ proxies }, last) => {
    for (const proxy of proxies) proxy.abandon();
    await last();
  },
  "processes frozen": async ({ consumers }, last) => {
    for (const consumer of consumers) consumer.freeze();
    await last();
    for (const consumer of consumers) consumer.thaw();
  },
  "a service killed": async ({ instances, random }, last) => {
    const instance = pick(instances, random);
    await instance.kill();
    await last();
    await instance.start();
  },
  "cursors expired": async ({ server, instances }, last) => {
    // An instance that runs knows ticks that are not stored any more.
    for (const instance of instances) await instance.kill();
    await last();
    await inDatabase(server.url, "delete from ticks where id < (select max(id) from ticks)");
    // Nobody has been at this one.
    await inDatabase(server.url, "update ticks set id = id + 1");
    for (const instance of instances) await instance.start();
  },
  "an instance without its database": async ({ databases, instances }, last) => {
    const [database] = databases as [FreezingProxy];
    database.freeze();
    await last();
    database.thaw();
    for (const instance of instances) await instance.untilReady();
  },
  "PostgreSQL killed": async ({ server, instances }, last) => {
    await killServer(server);
    await last();
    await server.restart();
    for (const instance of instances) await instance.untilReady();
  },
} satisfies Record<string, Fault>;

export type FaultName = keyof typeof faults;
export const faultNames = Object.keys(faults) as FaultName[];

async function inDatabase(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(statement).finally(() => client.end());
}
