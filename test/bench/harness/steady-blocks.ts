import { setTimeout as pause } from "node:timers/promises";
import pg from "pg";
import { type Size, writers } from "../data/sizes.ts";
import { specialUsers, userId } from "../data/users.ts";
import { blockStatements, pairName } from "../peers/recorded-statements.ts";
import { runTransaction } from "../peers/transaction.ts";
import { cpuSecondsOf } from "./machine.ts";

const connections = 4;

/** Blocks that are made at an even rate until it is disposed of, by the service's own transactions. */
export interface SteadyBlocks extends AsyncDisposable {
  /** How many have been made. */
  made(): number;
  /** Processor seconds that the database has used for them. */
  cpuSeconds(): number;
}

/** Makes blocks that did not exist before. Rejects, when it is disposed of, with what went wrong. */
export async function startBlocks(url: string, size: Size, perSecond: number): Promise<SteadyBlocks> {
  const statements = await blockStatements(url);
  const pool = new pg.Pool({ connectionString: url, max: connections });
  const backends = new Set<number>();
  // Not part of the types: the process id of the server's end of the connection.
  pool.on("connect", (client) => backends.add((client as unknown as { processID: number }).processID));
  const { firstWriter } = specialUsers(size);
  const startedAt = performance.now();
  let begun = 0;
  let made = 0;
  let isOver = false;
  const write = async () => {
    while (!isOver) {
      const n = begun++;
      const dueIn = startedAt + (n * 1_000) / perSecond - performance.now();
      if (dueIn > 0) await pause(dueIn);
      const actor = userId(firstWriter + (n % writers));
      const target = userId((Math.floor(n / writers) * 7_919) % size.users);
      const row = await runTransaction(pool, "block", statements, {
        actor,
        target,
        pair: pairName(actor, target),
      });
      if (row?.record_id == null) throw new Error(`the block of ${target} by ${actor} was not made`);
      made++;
    }
  };
  const writing = Promise.all(Array.from({ length: connections }, write));
  writing.catch(() => {});
  return {
    made: () => made,
    cpuSeconds: () => [...backends].reduce((sum, pid) => sum + cpuSecondsOf(pid), 0),
    async [Symbol.asyncDispose]() {
      isOver = true;
      await writing.finally(() => pool.end());
    },
  };
}
