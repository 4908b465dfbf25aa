import { expect } from "chai";
import { exportJWK, generateKeyPair, type JSONWebKeySet, SignJWT } from "jose";
import { PrivacyError } from "../../../src/domain/errors.ts";
import { remoteKeys } from "../../../src/rpc/auth/token-keys.ts";
import { tokenVerifier } from "../../../src/rpc/auth/tokens.ts";

const rules = { issuer: "i", audience: "a", otherAudience: "b" };
const minute = 60_000;

async function newKey(kid: string) {
  const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
  const token = await new SignJWT()
    .setProtectedHeader({ alg: "ES256", kid })
    .setIssuer("i")
    .setAudience("a")
    .setSubject(kid)
    .setExpirationTime("1 hour")
    .sign(privateKey);
  return { jwk: { ...(await exportJWK(publicKey)), kid, alg: "ES256" }, token };
}

/** A key server with a clock of its own, which can be away. */
function keyServer() {
  const server = {
    keys: [] as JSONWebKeySet["keys"],
    away: false,
    fetches: 0,
    now: 0,
    /** Answers in place of the key set. */
    answer: undefined as Response | undefined,
  };
  const keys = remoteKeys(new URL("http://127.0.0.1/keys"), {
    now: () => server.now,
    fetch: async () => {
      server.fetches++;
      if (server.away) throw new TypeError("fetch failed");
      return server.answer ?? Response.json({ keys: server.keys });
    },
  });
  const verify = tokenVerifier({ kind: "published", ...keys }, rules);
  const answer = async (token: string) => {
    try {
      return (await verify(token)).sub;
    } catch (failure) {
      return failure instanceof PrivacyError ? failure.reason : failure;
    }
  };
  return { server, answer };
}

describe("published keys", () => {
  it("fetches once for many tokens, and again when a key is unknown", async () => {
    const { server, answer } = keyServer();
    const [a, b] = [await newKey("a"), await newKey("b")];
    server.keys = [a.jwk];
    expect(await Promise.all([answer(a.token), answer(a.token)])).to.eql(["a", "a"]);
    expect(server.fetches).to.equal(1);
    server.keys = [b.jwk];
    server.now += minute;
    expect(await answer(b.token)).to.equal("b");
    expect(server.fetches).to.equal(2);
  });

  it("asks at most once in 30 seconds, however many unknown keys come", async () => {
    const { server, answer } = keyServer();
    server.keys = [(await newKey("known")).jwk];
    const stranger = await newKey("stranger");
    for (let i = 0; i < 50; i++) expect(await answer(stranger.token)).to.equal("TOKEN_INVALID");
    expect(server.fetches).to.equal(1);
    server.now += minute;
    for (let i = 0; i < 50; i++) expect(await answer(stranger.token)).to.equal("TOKEN_INVALID");
    expect(server.fetches).to.equal(2);
  });

  it("trap 7: keeps the last good set while the key server is away, long past its age", async () => {
    const { server, answer } = keyServer();
    const known = await newKey("known");
    server.keys = [known.jwk];
    expect(await answer(known.token)).to.equal("known");
    server.away = true;
    for (let i = 0; i < 40; i++) {
      server.now += minute;
      expect(await answer(known.token)).to.equal("known");
    }
  });

  it("trap 7: calls an unknown key UNAVAILABLE during an outage, not a bad token", async () => {
    const { server, answer } = keyServer();
    const known = await newKey("known");
    const stranger = await newKey("stranger");
    server.keys = [known.jwk];
    await answer(known.token);
    server.away = true;
    server.now += minute;
    for (let i = 0; i < 10; i++) expect(await answer(stranger.token)).to.equal("UNAVAILABLE");
    expect(server.fetches).to.equal(2);
    server.away = false;
    server.keys = [known.jwk, stranger.jwk];
    server.now += minute;
    expect(await answer(stranger.token)).to.equal("stranger");
  });

  it("drops a key that is no longer published once the set is renewed", async () => {
    const { server, answer } = keyServer();
    const [old, next] = [await newKey("old"), await newKey("next")];
    server.keys = [old.jwk];
    expect(await answer(old.token)).to.equal("old");
    server.keys = [next.jwk];
    server.now += 11 * minute;
    await answer(old.token);
    expect(await answer(next.token)).to.equal("next");
    expect(await answer(old.token)).to.equal("TOKEN_INVALID");
  });

  it("is UNAVAILABLE when the first fetch fails", async () => {
    const { server, answer } = keyServer();
    server.away = true;
    expect(await answer((await newKey("a")).token)).to.equal("UNAVAILABLE");
  });

  it("reads no more of a set than a set can have, and keeps the last good one", async () => {
    const { server, answer } = keyServer();
    const known = await newKey("known");
    server.keys = [known.jwk];
    expect(await answer(known.token)).to.equal("known");
    let chunks = 0;
    const endless = new ReadableStream({
      pull: (controller) => {
        chunks++;
        controller.enqueue(new Uint8Array(64 * 1024));
      },
    });
    server.answer = new Response(endless);
    server.now += 11 * minute;
    expect(await answer((await newKey("stranger")).token)).to.equal("UNAVAILABLE");
    expect(await answer(known.token)).to.equal("known");
    expect(chunks).to.be.within(1, 20);
  });

  it("are asked for again at their age by tokens that were verified before", async () => {
    const { server, answer } = keyServer();
    const [old, next] = [await newKey("old"), await newKey("next")];
    server.keys = [old.jwk];
    for (let i = 0; i < 3; i++) expect(await answer(old.token)).to.equal("old");
    server.keys = [next.jwk];
    server.now += 10 * minute;
    expect(await answer(old.token)).to.equal("old");
    expect(server.fetches).to.equal(1);
    server.now += 1;
    expect(await answer(old.token)).to.equal("old");
    expect(server.fetches).to.equal(2);
    expect(await answer(next.token)).to.equal("next");
    expect(await answer(old.token)).to.equal("TOKEN_INVALID");
  });

  it("vouch for no token once another set has come", async () => {
    const { server, answer } = keyServer();
    const [old, next] = [await newKey("old"), await newKey("next")];
    server.keys = [old.jwk];
    expect(await answer(old.token)).to.equal("old");
    server.keys = [next.jwk];
    server.now += minute;
    expect(await answer(next.token)).to.equal("next");
    expect(await answer(old.token)).to.equal("TOKEN_INVALID");
  });
});
