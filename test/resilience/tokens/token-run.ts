import { randomUUID } from "node:crypto";
import { type Asking, openAsking } from "../support/ask.ts";
import { minting, startInstance } from "../support/instance.ts";
import type { MutantName } from "../support/mutants.ts";
import { Problems, type Report } from "../support/report.ts";
import { register } from "../support/users.ts";
import { badSubjects } from "./bad-claims.ts";
import { type Claims, hostileTokens } from "./hostile-tokens.ts";
import { newKey, startKeyServer } from "./key-server.ts";
import { outage } from "./outage.ts";
import { type Signer, token } from "./sign.ts";

interface TokenRunOptions {
  readonly databaseUrl: string | undefined;
  readonly mutant?: MutantName | undefined;
  /** How many unknown key ids are tried. */
  readonly keyIds: number;
}

/** Of both listeners, with a secret and with published keys. */
const leastTokens = 4 * 60;
const unauthenticated = 16;
const unavailable = 14;
/** How often a call is made that says nothing of its token: it found no database in time. */
const mostTries = 5;

/** Makes a call until it comes to something else than being unavailable. */
async function whenAvailable(call: () => Promise<number>, unavailable: number): Promise<number> {
  let answer = await call();
  for (let tries = 1; answer === unavailable && tries < mostTries; tries++) answer = await call();
  return answer;
}

/** Tries every hostile token on both listeners, with a shared secret and with published keys, and key ids at random. */
export async function tokenRun({ databaseUrl, mutant, keyIds }: TokenRunOptions): Promise<Report> {
  const problems = new Problems();
  const user = randomUUID();
  const exp = Math.floor(Date.now() / 1000) + 7 * 24 * 3600;
  const claims: Record<"public" | "internal", Claims> = {
    public: { iss: minting.issuer, exp, sub: user, aud: minting.audience },
    internal: {
      iss: minting.issuer,
      exp,
      sub: "tests",
      aud: minting.serviceAudience,
      scope: "users.act graph.write",
    },
  };
  let tokens = 0;

  async function tryAll(ask: Asking, signer: Signer): Promise<void> {
    const kid = typeof signer === "string" ? "a" : signer.kid;
    const stranger = await newKey(kid, "ES256");
    const good = { public: token(signer, claims.public), internal: token(signer, claims.internal) };
    const overRest = await whenAvailable(() => ask.rest(`Bearer ${good.public}`), 503);
    if (overRest !== 200) problems.add("a good token is refused", `over REST: ${overRest}`);
    const overGrpc = await whenAvailable(() => ask.internal(good.internal, user), unavailable);
    if (overGrpc !== 0) problems.add("a good token is refused", `over gRPC: ${overGrpc}`);
    const hostile = {
      public: {
        ...hostileTokens(signer, stranger, claims.public),
        ...Object.fromEntries(badSubjects(claims.public).map(([what, bad]) => [what, token(signer, bad)])),
        "a service's token": token(signer, claims.internal),
      },
      internal: {
        ...hostileTokens(signer, stranger, claims.internal),
        "a user's token": token(signer, claims.public),
      },
    };
    tokens += Object.keys(hostile.public).length + Object.keys(hostile.internal).length;
    const expect = async (what: string, answer: Promise<number>, wanted: number) => {
      const got = await answer;
      if (got !== wanted) problems.add("not refused", `${what}: ${got}`);
    };
    for (const [what, bad] of Object.entries(hostile.public)) {
      for (const value of bad.includes(" ") ? [bad] : [bad, `Bearer ${bad}`]) {
        await Promise.all([
          expect(`${what}, REST`, ask.rest(value), 401),
          expect(`${what}, public gRPC`, ask.public(value), unauthenticated),
        ]);
      }
    }
    for (const [what, bad] of Object.entries(hostile.internal))
      await expect(`${what}, internal gRPC`, ask.internal(bad, user), unauthenticated);
  }

  {
    await using instance = await startInstance({ database: databaseUrl, mutant });
    await register(instance.internalUrl, await instance.serviceToken(), [user]);
    using ask = openAsking(instance);
    await tryAll(ask, minting.secret);
    problems.inspect(instance);
  }

  const key = await newKey("a", "ES256");
  await using server = await startKeyServer([key, await newKey("r", "RS256")]);
  const environment = { JWKS_URL: server.url };
  await using instance = await startInstance({
    database: databaseUrl,
    mutant,
    environment,
    preload: "clock.ts",
  });
  using ask = openAsking(instance);
  await tryAll(ask, key);
  const figures = await outage({ instance, ask, server, key, claims: claims.public, keyIds, problems });
  if (instance.ended() !== undefined) problems.add("the service ended", String(instance.ended()));
  return problems.report([{ name: "hostile tokens", value: tokens, atLeast: leastTokens }, ...figures]);
}
