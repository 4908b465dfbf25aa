import Fastify, { type FastifyRequest } from "fastify";
import pg from "pg";
import { blockStatements, pairName } from "./block-statements.ts";
import { blockSchema, globe, listSchema, pageSql, toBlock, unblockSql, updateSql } from "./fastify-shapes.ts";
import { announce, argument } from "./serve.ts";

// The REST calls as a service would answer them that was written by hand for Fastify and pg, with statements prepared
// by name and replies by compiled schemas. The user is read off a header: no token is verified, nothing is logged.
const url = argument(0);
const pool = new pg.Pool({ connectionString: url, max: 16, options: "-c random_page_cost=1" });
const blockTransaction = await blockStatements(url);
const base = "/api/v1/e-social/privacy-control";

interface Target {
  readonly Params: { readonly id: string };
}

const actorOf = ({ headers }: FastifyRequest) => String(headers["x-user-id"]);

async function block(actor: string, target: string) {
  const values = { actor, target, pair: pairName(actor, target) };
  const client = await pool.connect();
  try {
    let added: pg.QueryResultRow = {};
    for (const { text, roles } of blockTransaction) {
      const { rows } =
        roles.length === 0
          ? await client.query(text)
          : await client.query({ name: text.slice(0, 60), text, values: roles.map((role) => values[role]) });
      if (rows.length > 0) added = rows[0];
    }
    if (added.record_id === null) throw new Error("blocked already");
    return added;
  } finally {
    client.release();
  }
}

const app = Fastify();

app.get<{ Querystring: { page_size: number } }>(
  `${base}/blocked`,
  { schema: { response: { 200: listSchema } } },
  async (request, reply) => {
    const size = Number(request.query.page_size);
    const values = [actorOf(request), size + 1];
    const { rows } = await pool.query({ name: "page", text: pageSql, values });
    if (rows.length > size) {
      const { micros, record_id } = rows[size - 1];
      const token = Buffer.from(`${micros},${record_id}`).toString("base64url");
      reply.header("link", `<${base}/blocked?page_size=${size}&page_token=${token}>; rel="next"`);
    }
    return globe("Blocked users retrieved successfully", rows.slice(0, size).map(toBlock));
  },
);

app.post<Target>(`${base}/block/:id`, { schema: { response: { 200: blockSchema } } }, async (request) =>
  globe("User blocked successfully", toBlock(await block(actorOf(request), request.params.id))),
);

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
