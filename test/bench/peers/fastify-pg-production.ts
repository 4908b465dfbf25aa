import { randomUUID } from "node:crypto";
import Fastify, { type FastifyError, LogController } from "fastify";
import { jwtVerify } from "jose";
import pg from "pg";
import { audiences, privacySettings } from "../../../src/domain/settings.ts";
import {
  base,
  blockSchema,
  emptySchema,
  globe,
  listSchema,
  nextPage,
  pageSql,
  toBlock,
  unblockSql,
  updateSql,
} from "./fastify-shapes.ts";
import { blockStatements, pairName, settingStatements, unblockStatements } from "./recorded-statements.ts";
import { announce, argument } from "./serve.ts";
import { runTransaction } from "./transaction.ts";

// The REST calls as a service in production answers them, written by hand for Fastify and pg: tokens verified by jose
// and remembered, requests validated by compiled schemas, one log line and a request id for every call, time limits for
// locks and statements. With "transactions" every change runs in the same transaction as in this service, so that a
// change without an answer takes no effect after a later one; with "autocommit" unblock and PATCH are one statement each.
const url = argument(0);
const inTransactions = argument(1) === "transactions";
const { JWT_SECRET = "", JWT_ISSUER = "", JWT_AUDIENCE = "privacy-control" } = process.env;

const pool = new pg.Pool({
  connectionString: url,
  max: 16,
  options: "-c random_page_cost=1 -c lock_timeout=1000 -c statement_timeout=5000",
});
const transactions = {
  block: await blockStatements(url),
  unblock: await unblockStatements(url),
  setting: await settingStatements(url),
};

interface Target {
  readonly Params: { readonly id: string };
}

declare module "fastify" {
  interface FastifyRequest {
    actor: string;
  }
}

const app = Fastify({
  logger: { level: "info", formatters: { level: (label) => ({ level: label }) } },
  // One line for each request, from the hook below.
  logController: new LogController({ disableRequestLogging: true }),
  requestIdHeader: "x-request-id",
  genReqId: () => randomUUID(),
  ajv: { customOptions: { removeAdditional: false } },
});

const secret = new TextEncoder().encode(JWT_SECRET);
const maxTokens = 10_000;
/** The users of verified tokens, each until the token expires. */
const verified = new Map<string, { readonly actor: string; readonly expiresAt: number }>();

async function actorOf(authorization = ""): Promise<string> {
  const token = authorization.replace(/^bearer /i, "");
  const known = verified.get(token);
  if (known !== undefined && Date.now() < known.expiresAt) return known.actor;
  const { payload } = await jwtVerify(token, secret, {
    issuer: JWT_ISSUER,
    audience: JWT_AUDIENCE,
    algorithms: ["HS256"],
    requiredClaims: ["exp", "sub"],
  });
  const actor = String(payload.sub);
  if (verified.size >= maxTokens) verified.clear();
  verified.set(token, { actor, expiresAt: Number(payload.exp) * 1_000 });
  return actor;
}

app.decorateRequest("actor", "");
app.addHook("onRequest", async (request, reply) => {
  reply.header("x-request-id", request.id);
  try {
    request.actor = await actorOf(request.headers.authorization);
  } catch {
    throw failure(401, "Invalid or expired token");
  }
});
app.addHook("onResponse", async ({ log, method, routeOptions }, { statusCode, elapsedTime }) => {
  log.info({ method, route: routeOptions.url, status: statusCode, ms: elapsedTime }, "request");
});
app.setErrorHandler<FastifyError>((error, { log }, reply) => {
  const { statusCode = 500 } = error;
  if (statusCode >= 500) log.error({ err: error }, "request failed");
  const message = statusCode >= 500 ? "Internal server error" : error.message;
  return reply.status(statusCode).send({ success: false, httpStatus: String(statusCode), message });
});

const params = {
  type: "object",
  properties: { id: { type: "string", format: "uuid" } },
  required: ["id"],
} as const;
const noQuery = { type: "object", additionalProperties: false } as const;
const pageQuery = {
  type: "object",
  properties: {
    page_size: { type: "integer", minimum: 0, maximum: 1_000, default: 50 },
    page_token: { type: "string", maxLength: 100 },
  },
  additionalProperties: false,
} as const;
const change = {
  type: "object",
  properties: {
    setting: { type: "string", enum: privacySettings },
    value: { type: "string", enum: audiences },
  },
  required: ["setting", "value"],
  additionalProperties: false,
} as const;
const plain = {
  type: "object",
  properties: { status: { type: "boolean" }, code: { type: "integer" }, message: { type: "string" } },
} as const;

app.get<{ Querystring: { page_size: number } }>(
  `${base}/blocked`,
  { schema: { querystring: pageQuery, response: { 200: listSchema } } },
  async ({ actor, query }, reply) => {
    const size = query.page_size;
    const { rows } = await pool.query({ name: "page", text: pageSql, values: [actor, size + 1] });
    if (rows.length > size) reply.header("link", nextPage(rows[size - 1], size));
    return globe("Blocked users retrieved successfully", rows.slice(0, size).map(toBlock));
  },
);

app.post<Target>(
  `${base}/block/:id`,
  { schema: { params, querystring: noQuery, response: { 200: blockSchema } } },
  async ({ actor, params: { id } }) => {
    if (id === actor) throw failure(400, "You cannot block yourself");
    const added = await runTransaction(pool, "block", transactions.block, pairOf(actor, id));
    if (added === undefined) throw failure(404, "User not found");
    if (added.record_id === null) throw failure(400, "User is blocked already");
    return globe("User blocked successfully", toBlock(added));
  },
);

app.delete<Target>(
  `${base}/unblock/:id`,
  { schema: { params, querystring: noQuery, response: { 200: emptySchema } } },
  async ({ actor, params: { id } }) => {
    if (inTransactions) await runTransaction(pool, "unblock", transactions.unblock, pairOf(actor, id));
    else await pool.query({ name: "unblock", text: unblockSql, values: [actor, id] });
    return globe("User unblocked successfully", null);
  },
);

app.patch<{ Body: { setting: string; value: string } }>(
  "/users/me/privacy",
  { schema: { querystring: noQuery, body: change, response: { 200: plain } } },
  async ({ actor, body: { setting, value } }) => {
    if (inTransactions) {
      const values = { actor, setting, audience: value };
      const changed = await runTransaction(pool, "setting", transactions.setting, values);
      if (changed === undefined) throw failure(401, "Invalid or expired token");
    } else await pool.query({ name: "update", text: updateSql, values: [actor, setting, value] });
    return { status: true, code: 200, message: "Privacy settings updated successfully" };
  },
);

function pairOf(actor: string, target: string) {
  return { actor, target, pair: pairName(actor, target) };
}

function failure(statusCode: number, message: string): Error {
  return Object.assign(new Error(message), { statusCode });
}

announce({ http: Number(new URL(await app.listen({ port: 0, host: "127.0.0.1" })).port) });
