import Fastify, { type FastifyRequest } from "fastify";
import pg from "pg";
import {
  base,
  blockSchema,
  globe,
  listSchema,
  nextPage,
  pageSql,
  toBlock,
  unblockSql,
  updateSql,
} from "./fastify-shapes.ts";
import { blockStatements, pairName } from "./recorded-statements.ts";
import { announce, argument } from "./serve.ts";
import { runTransaction } from "./transaction.ts";

// The bare REST calls, written by hand for Fastify and pg, with statements prepared by name and replies by compiled
// schemas. The user is read from a header: no token is verified, nothing is validated, nothing is logged.
const url = argument(0);
const pool = new pg.Pool({ connectionString: url, max: 16, options: "-c random_page_cost=1" });
const blockTransaction = await blockStatements(url);

interface Target {
  readonly Params: { readonly id: string };
}

const actorOf = ({ headers }: FastifyRequest) => String(headers["x-user-id"]);

const app = Fastify();

app.get<{ Querystring: { page_size: number } }>(
  `${base}/blocked`,
  { schema: { response: { 200: listSchema } } },
  async (request, reply) => {
    const size = Number(request.query.page_size);
    const values = [actorOf(request), size + 1];
    const { rows } = await pool.query({ name: "page", text: pageSql, values });
    if (rows.length > size) reply.header("link", nextPage(rows[size - 1], size));
    return globe("Blocked users retrieved successfully", rows.slice(0, size).map(toBlock));
  },
);

app.post<Target>(`${base}/block/:id`, { schema: { response: { 200: blockSchema } } }, async (request) => {
  const [actor, target] = [actorOf(request), request.params.id];
  const values = { actor, target, pair: pairName(actor, target) };
  const added = await runTransaction(pool, "block", blockTransaction, values);
  if (added === undefined || added.record_id === null) throw new Error("blocked already");
  return globe("User blocked successfully", toBlock(added));
});

app.delete<Target>(`${base}/unblock/:id`, async (request) => {
  await pool.query({ name: "unblock", text: unblockSql, values: [actorOf(request), request.params.id] });
  return globe("User unblocked successfully", null);
});

app.patch<{ Body: { setting: string; value: string } }>("/users/me/privacy", async (request) => {
  const { setting, value } = request.body;
  await pool.query({ name: "update", text: updateSql, values: [actorOf(request), setting, value] });
  return { status: true, code: 200, message: "Privacy settings updated successfully" };
});

announce({ http: Number(new URL(await app.listen({ port: 0, host: "127.0.0.1" })).port) });
