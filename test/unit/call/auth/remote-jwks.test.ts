import { generateKeyPairSync } from "node:crypto";
import { expect } from "chai";
import { exportJWK, generateKeyPair, type JSONWebKeySet, type JWK, SignJWT } from "jose";
import { pino } from "pino";
import { RemoteJwks } from "../../../../src/call/auth/remote-jwks.ts";
import { tokenVerifier } from "../../../../src/call/auth/tokens.ts";
import { PrivacyError } from "../../../../src/domain/errors.ts";

const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;
const rules = {
  issuer: "i",
  audience: "a",
  otherAudience: "other",
  subjectClaim: "sub",
  scopeClaim: "scope",
  clockToleranceSeconds: 0,
};

const weakKey = generateKeyPairSync("rsa", { modulusLength: 1_024 }).publicKey.export({ format: "jwk" });

/** A pair of keys: what is published of it, and a token whose subject is its name. */
async function newKey(name: string, { alg = "ES256", kid = name as string | undefined } = {}) {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  const named = kid === undefined ? {} : { kid };
  const sign = (header: { alg?: string; kid?: string } = {}) =>
    new SignJWT()
      .setProtectedHeader({ alg, ...named, ...header })
      .setIssuer("i")
      .setAudience("a")
      .setSubject(name)
      .setExpirationTime("1 week")
      .sign(privateKey);
  const jwk: JWK = { ...(await exportJWK(publicKey)), ...named, alg };
  return { jwk, privateJwk: { ...(await exportJWK(privateKey)), ...named }, token: await sign(), sign };
}

/** A key server with a clock of its own, which can be away. */
async function keyServer(published: readonly { jwk: JWK }[], maxStaleMs = 24 * hour) {
  const lines: string[] = [];
  const pauses: { ms: number; end: () => void }[] = [];
  const availability: boolean[] = [];
  const server = {
    keys: published.map(({ jwk }) => jwk) as unknown[],
    away: false,
    fetches: 0,
    now: 1e12,
    /** Answers in place of the key set. */
    answer: undefined as (() => Response | Promise<Response>) | undefined,
    lines,
    pauses,
    availability,
    publish: (...keys: { jwk: JWK }[]) => {
      server.keys = keys.map(({ jwk }) => jwk);
    },
    /** Lets the time of the background work pass, and waits until it rests again. */
    async pass() {
      const pause = pauses.at(-1);
      server.now += pause?.ms ?? 0;
      pause?.end();
      for (const count = pauses.length; pauses.length === count; )
        await new Promise((resolve) => setImmediate(resolve));
    },
  };
  const keys = new RemoteJwks(new URL("http://127.0.0.1/keys"), {
    maxStaleMs,
    log: pino({ level: "info" }, { write: (line) => lines.push(line) }),
    onAvailable: (available) => availability.push(available),
    now: () => server.now,
    pause: (ms) => new Promise<void>((end) => pauses.push({ ms, end })),
    fetch: async () => {
      server.fetches++;
      if (server.away) throw new TypeError("fetch failed");
      if (server.answer !== undefined) return server.answer();
      return Response.json({ keys: server.keys } as JSONWebKeySet);
    },
  });
  const verify = tokenVerifier({ kind: "published", keys }, rules);
  const answer = async (token: string) => {
    try {
      return (await verify(token)).subject;
    } catch (failure) {
      return failure instanceof PrivacyError ? failure.reason : failure;
    }
  };
  return { server, keys, answer };
}

/** Waits until the first fetch has come to its end. */
async function started(published: readonly { jwk: JWK }[], maxStaleMs?: number) {
  const started = await keyServer(published, maxStaleMs);
  while (started.server.pauses.length === 0) await new Promise((resolve) => setImmediate(resolve));
  return started;
}

describe("published keys", () => {
  it("are fetched at the start, once for many tokens", async () => {
    const a = await newKey("a");
    const { server, answer } = await keyServer([a]);
    expect(server.fetches).to.equal(1);
    expect(await Promise.all([answer(a.token), answer(a.token)])).to.eql(["a", "a"]);
    expect(server.fetches).to.equal(1);
  });

  it("are fetched again for a key that is unknown, 30 seconds after the last time at the soonest", async () => {
    const [a, b] = [await newKey("a"), await newKey("b")];
    const { server, answer } = await started([a]);
    server.publish(a, b);
    server.now += 30 * second - 1;
    expect(await answer(b.token)).to.equal("TOKEN_INVALID");
    server.now += 1;
    expect(await answer(b.token)).to.equal("b");
    expect(server.fetches).to.equal(2);
  });

  it("are fetched once in 30 seconds at most, however many unknown keys come", async () => {
    const { server, answer } = await started([await newKey("known")]);
    const stranger = await newKey("stranger");
    for (let round = 1; round <= 3; round++) {
      const tokens = await Promise.all(Array.from({ length: 50 }, (_, i) => stranger.sign({ kid: `${i}` })));
      for (const result of await Promise.all(tokens.map(answer))) expect(result).to.equal("TOKEN_INVALID");
      expect(server.fetches).to.equal(round);
      server.now += 30 * second;
    }
  });

  describe("that are withdrawn", () => {
    it("are noticed in the background within five minutes, without a call", async () => {
      const [old, next] = [await newKey("old"), await newKey("next")];
      const { server, answer } = await started([old]);
      expect(await answer(old.token)).to.equal("old");
      server.publish(next);
      expect(server.pauses[0]?.ms).to.be.within(3 * minute, 5 * minute);
      await server.pass();
      expect(server.fetches).to.equal(2);
      expect(await answer(old.token)).to.equal("TOKEN_INVALID");
      expect(await answer(next.token)).to.equal("next");
    });

    it("are refused at the first call after the process was suspended", async () => {
      const [old, next] = [await newKey("old"), await newKey("next")];
      const { server, answer } = await started([old]);
      expect(await answer(old.token)).to.equal("old");
      server.publish(next);
      server.now += 6 * minute + 1;
      const answers = await Promise.all([answer(old.token), answer(old.token), answer(next.token)]);
      expect(answers).to.eql(["TOKEN_INVALID", "TOKEN_INVALID", "next"]);
      expect(server.fetches).to.equal(2);
    });

    it("are refused at the first call after the clock was set back", async () => {
      const [old, next] = [await newKey("old"), await newKey("next")];
      const { server, answer } = await started([old]);
      server.publish(next);
      server.now -= 1;
      expect(await answer(old.token)).to.equal("TOKEN_INVALID");
    });

    it("are refused for tokens that were verified before, as soon as another set has come", async () => {
      const [old, next] = [await newKey("old"), await newKey("next")];
      const { server, answer } = await started([old]);
      expect(await answer(old.token)).to.equal("old");
      server.publish(next);
      server.now += minute;
      expect(await answer(next.token)).to.equal("next");
      expect(await answer(old.token)).to.equal("TOKEN_INVALID");
    });
  });

  it("stay the same set when the same answer comes again, so that no token is verified anew", async () => {
    const a = await newKey("a");
    const { server, keys } = await started([a]);
    const version = keys.version();
    await server.pass();
    expect(server.fetches).to.equal(2);
    expect([keys.version(), keys.isCurrent(version)]).to.eql([version, true]);
    server.publish(a, await newKey("b"));
    await server.pass();
    expect(keys.isCurrent(version)).to.equal(false);
  });

  describe("while the key server is away", () => {
    it("trap 7: are used for as long as a set may be stale, and not longer", async () => {
      const known = await newKey("known");
      const { server, answer, keys } = await started([known], 10 * hour);
      server.away = true;
      const from = server.now;
      for (; server.now - from < 10 * hour; server.now += 5 * minute) {
        expect(await answer(known.token)).to.equal("known");
        await server.pass();
      }
      server.now = from + 10 * hour;
      expect([await answer(known.token), keys.available()]).to.eql(["known", true]);
      server.now += 1;
      expect([await answer(known.token), keys.available()]).to.eql(["UNAVAILABLE", false]);
      await server.pass();
      expect(server.availability).to.eql([false, true, false]);
      server.away = false;
      await server.pass();
      expect(await answer(known.token)).to.equal("known");
      expect(server.availability).to.eql([false, true, false, true]);
    });

    it("keep no call waiting", async () => {
      const known = await newKey("known");
      const { server, answer } = await started([known]);
      const never = Promise.withResolvers<Response>();
      server.answer = () => never.promise;
      server.now += 4 * minute;
      server.pauses[0]?.end();
      while (server.fetches < 2) await new Promise((resolve) => setImmediate(resolve));
      expect(await answer(known.token)).to.equal("known");
      never.reject(new Error("too late"));
    });

    it("trap 7: leave a token of an unknown key UNAVAILABLE, not refused", async () => {
      const [known, stranger] = [await newKey("known"), await newKey("stranger")];
      const { server, answer } = await started([known]);
      server.away = true;
      server.now += minute;
      for (let i = 0; i < 10; i++) expect(await answer(stranger.token)).to.equal("UNAVAILABLE");
      expect(server.fetches).to.equal(2);
      server.away = false;
      server.publish(known, stranger);
      server.now += minute;
      expect(await answer(stranger.token)).to.equal("stranger");
    });

    it("are reported in the log once, and once more when it is back", async () => {
      const { server } = await started([await newKey("known")]);
      server.away = true;
      for (let i = 0; i < 3; i++) await server.pass();
      server.away = false;
      for (let i = 0; i < 3; i++) await server.pass();
      const told = server.lines.map((line) => JSON.parse(line).msg);
      expect(told).to.eql(["the key set cannot be fetched", "the key set is fetched again"]);
    });
  });

  it("are fetched again with a backoff while there are none, and calls are UNAVAILABLE until then", async () => {
    const a = await newKey("a");
    const starting = await keyServer([]);
    starting.server.answer = () => Promise.reject(new TypeError("fetch failed"));
    expect(await starting.answer(a.token)).to.equal("UNAVAILABLE");
    for (let i = 0; i < 8; i++) {
      expect(await starting.answer(a.token)).to.equal("UNAVAILABLE");
      await starting.server.pass();
    }
    const pauses = starting.server.pauses.map(({ ms }) => ms);
    for (const [i, ms] of pauses.entries()) {
      const least = Math.min(250 * 2 ** i, 5_000);
      expect(ms).to.be.within(least, (least * 4) / 3);
    }
    expect(starting.server.availability).to.eql([false]);
    starting.server.publish(a);
    starting.server.answer = undefined;
    await starting.server.pass();
    expect(await starting.answer(a.token)).to.equal("a");
    expect(starting.server.availability).to.eql([false, true]);
  });

  it("are fetched no more once they are disposed of", async () => {
    const { server, keys } = await started([await newKey("a")]);
    let aborted = false;
    const real = new RemoteJwks(new URL("http://127.0.0.1/keys"), {
      maxStaleMs: hour,
      log: pino({ level: "silent" }),
      fetch: async (_url, init) => {
        const { promise, reject } = Promise.withResolvers<Response>();
        init?.signal?.addEventListener("abort", () => {
          aborted = true;
          reject(init.signal?.reason);
        });
        return promise;
      },
    });
    real[Symbol.dispose]();
    keys[Symbol.dispose]();
    expect(aborted).to.equal(true);
    expect(server.fetches).to.equal(1);
  });

  describe("are kept when an answer is of no use:", () => {
    const answers: [string, () => Response | Promise<Response>][] = [
      ["an empty set", () => Response.json({ keys: [] })],
      ["no set", () => Response.json({})],
      ["null", () => Response.json(null)],
      ["keys that are no list", () => Response.json({ keys: { 0: {} } })],
      ["no JSON", () => new Response("<html>")],
      ["an error", () => Response.json({ keys: [] }, { status: 500 })],
      ["members that are no keys", () => Response.json({ keys: [null, 1, "a", [], {}] })],
      ["a weak key", () => Response.json({ keys: [weakKey] })],
      ["a shared secret", () => Response.json({ keys: [{ kty: "oct", k: "c2VjcmV0", alg: "HS256" }] })],
      ["a point on no curve", () => Response.json({ keys: [{ kty: "EC", crv: "P-256", x: "AA", y: "AA" }] })],
      [
        "a key of an unknown kind",
        () => Response.json({ keys: [{ kty: "AKP", alg: "ML-DSA-44", pub: "AA" }] }),
      ],
    ];
    for (const [what, answerInstead] of answers)
      it(what, async () => {
        const known = await newKey("known");
        const { server, answer } = await started([known]);
        server.answer = answerInstead;
        await server.pass();
        expect(server.fetches).to.equal(2);
        expect(await answer(known.token)).to.equal("known");
        server.now += minute;
        expect(await answer((await newKey("stranger")).token)).to.equal("UNAVAILABLE");
      });

    it("one larger than a set can be, of which no more is read", async () => {
      const known = await newKey("known");
      const { server, answer } = await started([known]);
      let chunks = 0;
      const endless = new ReadableStream({
        pull: (controller) => {
          chunks++;
          controller.enqueue(new Uint8Array(64 * 1024));
        },
      });
      server.answer = () => new Response(endless);
      await server.pass();
      expect(await answer(known.token)).to.equal("known");
      expect(chunks).to.be.within(1, 20);
    });
  });

  describe("are tried when they fit:", () => {
    it("each key without a kid, whatever kid the token names", async () => {
      const keys = await Promise.all(
        ["a", "b", "c"].map((name) => newKey(name, { kid: undefined as never })),
      );
      const published = keys.map(({ jwk: { kid: _, ...jwk } }) => ({ jwk }));
      const { answer } = await started(published);
      for (const [i, name] of ["a", "b", "c"].entries()) {
        expect(await answer((await keys[i]?.sign({ kid: "another" })) ?? "")).to.equal(name);
      }
    });

    it("all of them for a token without a kid", async () => {
      const keys = await Promise.all(["a", "b", "c"].map((name) => newKey(name)));
      const { answer } = await started(keys);
      for (const [i, name] of ["a", "b", "c"].entries())
        expect(await answer((await keys[i]?.sign({ kid: undefined as never })) ?? "")).to.equal(name);
    });

    it("each of those that share a kid", async () => {
      const keys = [await newKey("a", { kid: "same" }), await newKey("b", { kid: "same" })];
      const { answer } = await started(keys);
      expect(await answer(keys[0]?.token ?? "")).to.equal("a");
      expect(await answer(keys[1]?.token ?? "")).to.equal("b");
    });

    it("not one that another kid names", async () => {
      const [a, b] = [await newKey("a"), await newKey("b")];
      const { answer } = await started([a, b]);
      expect(await answer(await a.sign({ kid: "b" }))).to.equal("TOKEN_INVALID");
    });

    const misfits: [string, (jwk: JWK, privateJwk: JWK) => JWK][] = [
      ["for encryption", (jwk) => ({ ...jwk, use: "enc" })],
      ["for signing only", (jwk) => ({ ...jwk, key_ops: ["sign"] })],
      ["for another algorithm", (jwk) => ({ ...jwk, alg: "ES384" })],
      ["that is private", (_, privateJwk) => privateJwk],
    ];
    for (const [what, misfit] of misfits)
      it(`not one ${what}, and the others of the set are`, async () => {
        const [odd, good] = [await newKey("odd"), await newKey("good")];
        const { answer } = await started([{ jwk: misfit(odd.jwk, odd.privateJwk) }, good]);
        expect(await answer(odd.token)).to.equal("TOKEN_INVALID");
        expect(await answer(good.token)).to.equal("good");
      });

    for (const published of ["EdDSA", "Ed25519", undefined])
      it(`one for ${published ?? "any algorithm"} of Ed25519, by each name of the algorithm`, async () => {
        const key = await newKey("a", { alg: "Ed25519" });
        const { alg: _, ...jwk } = key.jwk;
        const { answer } = await started([{ jwk: { ...jwk, ...(published && { alg: published }) } }]);
        for (const alg of ["EdDSA", "Ed25519"]) expect(await answer(await key.sign({ alg }))).to.equal("a");
      });

    it("16 at most for one token", async () => {
      const keys = await Promise.all(Array.from({ length: 17 }, (_, i) => newKey(`${i}`)));
      const { answer } = await started(keys);
      const without = (i: number) => keys[i]?.sign({ kid: undefined as never }) ?? "";
      expect(await answer(await without(15))).to.equal("15");
      expect(await answer(await without(16))).to.equal("TOKEN_INVALID");
      expect(await answer(keys[16]?.token ?? "")).to.equal("16");
    });

    it("and the set is fetched again when none without a kid has signed the token", async () => {
      const anonymous = async (name: string) => {
        const { jwk, sign } = await newKey(name);
        const { kid: _, ...rest } = jwk;
        return { jwk: rest, token: await sign({ kid: undefined as never }) };
      };
      const [old, next] = [await anonymous("old"), await anonymous("next")];
      const { server, answer } = await started([old]);
      server.publish(next);
      server.now += minute;
      expect(await answer(next.token)).to.equal("next");
      expect(await answer(old.token)).to.equal("TOKEN_INVALID");
      expect(server.fetches).to.equal(2);
    });
  });
});
