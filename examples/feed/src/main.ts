import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { PrivacyReplica } from "@nexgate/privacy-control-client/replica";
import { Feed } from "./feed.ts";
import { Posts } from "./posts.ts";
import { feedServer } from "./server.ts";
import { viewersOf } from "./viewers.ts";

const env = process.env;
/** How long requests may take that have begun when the process is to end. */
const stopGraceMs = 5_000;
const maxStalenessMs = Number(env.FEED_MAX_STALENESS_MS ?? 2_000);

/** One JSON object a line. */
const write = (level: string) => (fields: object, message: string) => {
  const shown = JSON.stringify({ level, message, ...fields }, (_, value) =>
    value instanceof Error ? String(value) : value,
  );
  process.stdout.write(`${shown}\n`);
};
const log = { info: write("info"), warn: write("warn") };

const replica = new PrivacyReplica({
  // A connection that is dead without a sign is noticed by the pings.
  transport: createGrpcTransport({ baseUrl: required("PRIVACY_CONTROL_URL"), pingIntervalMs: 10_000 }),
  token: () => required("PRIVACY_CONTROL_TOKEN"),
  maxStalenessMs,
  log,
});
const posts = new Posts(env.FEED_DATABASE ?? ":memory:");
const server = feedServer({
  feed: new Feed(posts, replica),
  viewerOf: viewersOf({
    jwksUrl: env.JWKS_URL,
    secret: env.JWKS_URL === undefined ? required("JWT_SECRET") : undefined,
    issuer: env.JWT_ISSUER ?? "privacy-control",
    audience: env.JWT_AUDIENCE ?? "privacy-control",
  }),
  isReady: () => replica.metrics.ageMs <= maxStalenessMs,
  logFailure: (err) => log.warn({ err }, "a request failed"),
});

for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, stop);

server.listen(Number(env.PORT ?? 0), env.HOST ?? "127.0.0.1");
await once(server, "listening");
const { address, port } = server.address() as AddressInfo;
log.info({ url: `http://${address}:${port}` }, "listening");

/** Answers what has been asked, and ends the process. */
async function stop(): Promise<void> {
  const closed = once(server, "close");
  server.close();
  server.closeIdleConnections();
  setTimeout(() => server.closeAllConnections(), stopGraceMs).unref();
  await closed;
  await replica.close();
  posts.close();
}

/** A variable that must be set. */
function required(name: string): string {
  const value = env[name];
  if (value) return value;
  process.stderr.write(`${name} is not set: see README.md\n`);
  process.exit(1);
}
