import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import pg from "pg";
import { addUsers } from "../changes/api-writers.ts";
import type { Instance } from "../support/instance.ts";
import type { Pair } from "./consumer-process.ts";

const pauseMs = 400;
/** So many users follow each other anew in each transaction: their changes are several pages. */
const fillers = 12;

const insertBlock = `insert into blocks (blocker_id, blocked_id, id, created_at, expires_at)
  values ($1, $2, gen_random_uuid(), now(), 'infinity') on conflict do nothing`;
const deleteBlock = "delete from blocks where blocker_id = $1 and blocked_id = $2";
const unfollow = "delete from follows where follower_id = any ($1::uuid[])";
const follow = `insert into follows
  select a, b, now() from unnest($1::uuid[]) a cross join unnest($1::uuid[]) b where a <> b`;

/**
 * Two pairs that are blocked at all times. Of one, the first blocks the second in one transaction and no longer in the
 * next, the second the first the other way round, and many changes lie between the two.
 */
export class Swaps {
  readonly guarded: readonly Pair[];
  readonly #url: string;
  readonly #fillers: readonly string[];
  count = 0;

  private constructor(url: string, guarded: readonly Pair[], fillerIds: readonly string[]) {
    this.#url = url;
    this.guarded = guarded;
    this.#fillers = fillerIds;
  }

  static async open(instance: Instance, url: string): Promise<Swaps> {
    const newId = () => randomUUID();
    const guarded: Pair[] = [
      [newId(), newId()],
      [newId(), newId()],
    ];
    const fillerIds = Array.from({ length: fillers }, newId);
    await addUsers(instance, [...guarded.flat(), ...fillerIds]);
    const swaps = new Swaps(url, guarded, fillerIds);
    await swaps.#withClient(async (client) => {
      for (const pair of guarded) await client.query(insertBlock, [...pair]);
    });
    return swaps;
  }

  async run(over: AbortSignal): Promise<void> {
    while (!over.aborted) {
      // The server may be away.
      await this.#withClient((client) => this.#swap(client)).catch(() => {});
      await setTimeout(pauseMs);
    }
  }

  async #swap(client: pg.Client): Promise<void> {
    const [, [first, second] = ["", ""]] = this.guarded;
    await client.query("begin");
    const { rowCount } = await client.query(deleteBlock, [first, second]);
    const [from, to] = rowCount === 1 ? [second, first] : [first, second];
    await client.query(deleteBlock, [to, from]);
    await client.query(unfollow, [this.#fillers]);
    await client.query(follow, [this.#fillers]);
    await client.query(insertBlock, [from, to]);
    await client.query("commit");
    this.count++;
  }

  async #withClient(work: (client: pg.Client) => Promise<void>): Promise<void> {
    const client = new pg.Client({ connectionString: this.#url, statement_timeout: 5_000 });
    client.on("error", () => {});
    await client.connect();
    await work(client).finally(() => client.end().catch(() => {}));
  }
}
