import { expect } from "chai";
import { errors, exportJWK, generateKeyPair, SignJWT, UnsecuredJWT } from "jose";
import {
  InvalidTokenError,
  type TokenFlaw,
  type TokenKeys,
  tokenVerifier,
} from "../../../../src/call/auth/tokens.ts";
import { PrivacyError } from "../../../../src/domain/errors.ts";

const secret = new TextEncoder().encode("a secret of exactly thirty-two b");
const rules = {
  issuer: "https://accounts.example",
  audience: "users",
  otherAudience: "services",
  subjectClaim: "sub",
  scopeClaim: "scope",
  clockToleranceSeconds: 30,
};
const keys: TokenKeys = { kind: "secret", secret };
const verify = tokenVerifier(keys, rules);
const now = Math.floor(Date.now() / 1000);
/** Longer than any run of the tests. */
const day = 86_400;
const good = { iss: rules.issuer, aud: "users", sub: "someone", exp: now + day };

const signed = (claims: Record<string, unknown>, key: Uint8Array = secret, header: object = {}) =>
  new SignJWT(claims).setProtectedHeader({ alg: "HS256", ...header }).sign(key);

const publishedBy = (key: CryptoKey, onUse = () => {}): TokenKeys => ({
  kind: "published",
  keys: {
    candidates: async () => {
      onUse();
      return { keys: [key], named: true };
    },
    renew: async () => false,
    version: () => 0,
    isCurrent: () => true,
  },
});

async function refusal(authorization: string | null, by = verify): Promise<string> {
  try {
    await by(authorization);
  } catch (failure) {
    if (failure instanceof PrivacyError) return failure.message;
    throw failure;
  }
  return "accepted";
}

describe("tokens", () => {
  it("accepts a good token after Bearer, in any case, and bare", async () => {
    const token = await signed(good);
    for (const header of [`Bearer ${token}`, `bearer ${token}`, `BEARER  ${token}`, token]) {
      expect((await verify(header)).subject).to.equal("someone");
    }
  });

  for (const header of [null, "", "Bearer", "Bearer ", "  "]) {
    it(`asks for a token when the header is ${JSON.stringify(header)}`, async () => {
      expect(await refusal(header)).to.equal("Authentication token is required");
    });
  }

  for (const header of [
    "Bearer x",
    "Bearer a.b",
    "Bearer a.b.c.d",
    "Bearer a.b.c",
    "Basic dXNlcjpwYXNz",
    "Bearer !.!.!",
    "Bearer eyJhbGciOiJIUzI1NiJ9 . .",
  ]) {
    it(`calls ${JSON.stringify(header)} malformed`, async () => {
      expect(await refusal(header)).to.equal("Malformed token");
    });
  }

  const claims: [string, Record<string, unknown>, string][] = [
    ["expired", { ...good, exp: now - 100 }, "Token has expired"],
    ["expired long ago", { ...good, exp: 0 }, "Token has expired"],
    ["without exp", { ...good, exp: undefined }, "Invalid token"],
    ["with exp as text", { ...good, exp: "tomorrow" }, "Invalid token"],
    ["without sub", { ...good, sub: undefined }, "Invalid token"],
    ["with an empty sub", { ...good, sub: "" }, "Invalid token"],
    ["with a sub that is no text", { ...good, sub: 7 }, "Invalid token"],
    ["of another issuer", { ...good, iss: "https://evil.example" }, "Invalid token"],
    ["without an issuer", { ...good, iss: undefined }, "Invalid token"],
    ["for another audience", { ...good, aud: "services" }, "Invalid token"],
    ["for both audiences", { ...good, aud: ["users", "services"] }, "Invalid token"],
    ["without an audience", { ...good, aud: undefined }, "Invalid token"],
    ["not yet valid", { ...good, nbf: now + day }, "Invalid token"],
    ["expired and for another audience", { ...good, exp: now - 100, aud: "services" }, "Invalid token"],
  ];
  for (const [what, payload, message] of claims) {
    it(`answers a token ${what} with "${message}"`, async () => {
      expect(await refusal(await signed(payload))).to.equal(message);
    });
  }

  it("refuses other keys, other algorithms and none", async () => {
    const wrongKey = await signed(good, new TextEncoder().encode("another secret of thirty-two byt"));
    const otherAlgorithm = await new SignJWT(good)
      .setProtectedHeader({ alg: "HS512" })
      .sign(Buffer.alloc(64, 1));
    const { privateKey } = await generateKeyPair("RS256");
    const asymmetric = await new SignJWT(good).setProtectedHeader({ alg: "RS256" }).sign(privateKey);
    const unsigned = new UnsecuredJWT(good).encode();
    const critical = await signed(good, secret, { crit: ["x"], x: 1 }).catch(() => wrongKey);
    for (const token of [wrongKey, otherAlgorithm, asymmetric, unsigned, critical]) {
      expect(await refusal(token)).to.equal("Invalid token");
    }
  });

  for (const alg of ["HS384", "HS512"]) {
    it(`accepts no ${alg}, though the key is right`, async () => {
      const long = new Uint8Array(64).fill(7);
      const strict = tokenVerifier({ kind: "secret", secret: long }, rules);
      expect((await strict(await signed(good, long))).subject).to.equal("someone");
      const token = await new SignJWT(good).setProtectedHeader({ alg }).sign(long);
      const failure = await (async () => strict(token))().catch((reason: unknown) => reason);
      expect(failure).to.be.instanceOf(PrivacyError).with.property("message", "Invalid token");
    });
  }

  it("does not take a published public key for a shared secret", async () => {
    const { publicKey } = await generateKeyPair("RS256", { extractable: true });
    const jwk = await exportJWK(publicKey);
    const published = tokenVerifier(publishedBy(publicKey), rules);
    const forged = await signed(good, new TextEncoder().encode(JSON.stringify(jwk)));
    const failure = await (async () => published(forged))().catch((reason: unknown) => reason);
    expect(failure).to.be.instanceOf(PrivacyError).with.property("message", "Invalid token");
  });

  it("forgives clocks that are apart by the tolerance, and no more", async () => {
    const at = (seconds: number) => tokenVerifier(keys, rules, { now: () => (now + seconds) * 1_000 });
    const expiring = await signed({ ...good, exp: now });
    expect(await refusal(expiring, at(29))).to.equal("accepted");
    expect(await refusal(expiring, at(30))).to.equal("Token has expired");
    const early = await signed({ ...good, nbf: now });
    expect(await refusal(early, at(-30))).to.equal("accepted");
    expect(await refusal(early, at(-31))).to.equal("Invalid token");
    const exact = (seconds: number) =>
      tokenVerifier(keys, { ...rules, clockToleranceSeconds: 0 }, { now: () => (now + seconds) * 1_000 });
    expect(await refusal(expiring, exact(-1))).to.equal("accepted");
    expect(await refusal(expiring, exact(0))).to.equal("Token has expired");
  });

  describe("in claims of other names", () => {
    const elsewhere = tokenVerifier(keys, {
      ...rules,
      subjectClaim: "https://accounts.example/user",
      scopeClaim: "scp",
    });
    const named = { ...good, sub: "ignored", "https://accounts.example/user": "someone" };

    it("has the caller", async () => {
      expect((await elsewhere(await signed(named))).subject).to.equal("someone");
      expect((await elsewhere(await signed({ ...named, sub: undefined }))).subject).to.equal("someone");
      expect(await refusal(await signed(good), elsewhere)).to.equal("Invalid token");
      for (const inherited of ["constructor", "__proto__", "toString"]) {
        const odd = tokenVerifier(keys, { ...rules, subjectClaim: inherited });
        expect(await refusal(await signed(good), odd)).to.equal("Invalid token");
      }
    });

    const scopes: [claim: unknown, scopes: string[]][] = [
      ["a b", ["a", "b"]],
      [
        ["a", "b"],
        ["a", "b"],
      ],
      [["a b"], ["a b"]],
      [["a", 1], []],
      [[["a"]], []],
      [{ a: true }, []],
      [7, []],
      [undefined, []],
    ];
    for (const [claim, expected] of scopes)
      it(`has the scopes ${JSON.stringify(expected)} of ${JSON.stringify(claim)}`, async () => {
        const claims = await elsewhere(await signed({ ...named, scp: claim, scope: "ignored" }));
        expect([...claims.scopes]).to.eql(expected);
      });
  });

  describe("that are refused say for the log", () => {
    const flaw = async (authorization: string | null, by = verify) => {
      try {
        await by(authorization);
      } catch (failure) {
        if (failure instanceof InvalidTokenError) return failure.flaw;
        throw failure;
      }
      return "accepted";
    };
    const claimCases: [TokenFlaw, Record<string, unknown>][] = [
      ["expired", { ...good, exp: now - 100 }],
      ["not yet valid", { ...good, nbf: now + day }],
      ["issuer", { ...good, iss: "https://evil.example" }],
      ["issuer", { ...good, iss: undefined }],
      ["audience", { ...good, aud: "services" }],
      ["audience", { ...good, aud: ["users", "services"] }],
      ["claim", { ...good, exp: undefined }],
      ["claim", { ...good, nbf: "now" }],
      ["claim", { ...good, sub: undefined }],
      ["claim", { ...good, sub: 7 }],
    ];
    for (const [wanted, payload] of claimCases)
      it(`${wanted}: ${JSON.stringify(payload)}`, async () => {
        expect(await flaw(await signed(payload))).to.equal(wanted);
      });

    it("missing, malformed, signature, algorithm, header and key", async () => {
      expect(await flaw(null)).to.equal("missing");
      expect(await flaw("a.b.c")).to.equal("malformed");
      expect(await flaw("nonsense")).to.equal("malformed");
      expect(await flaw(await signed(good, Buffer.alloc(32, 1)))).to.equal("signature");
      const { publicKey, privateKey } = await generateKeyPair("ES256");
      const published = tokenVerifier(publishedBy(publicKey), rules);
      expect(await flaw(await signed(good), published)).to.equal("algorithm");
      const critical = `${Buffer.from('{"alg":"HS256","crit":["x"],"x":1}').toString("base64url")}.e30.AA`;
      expect(await flaw(critical)).to.equal("header");
      const none = publishedBy(publicKey, () => {
        throw new errors.JWKSNoMatchingKey();
      });
      const token = await new SignJWT(good).setProtectedHeader({ alg: "ES256" }).sign(privateKey);
      expect(await flaw(token, tokenVerifier(none, rules))).to.equal("key");
    });
  });

  for (const alg of ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"]) {
    it(`accepts ${alg} when keys are published`, async () => {
      const { publicKey, privateKey } = await generateKeyPair(alg);
      const published = tokenVerifier(publishedBy(publicKey), rules);
      const token = await new SignJWT(good).setProtectedHeader({ alg }).sign(privateKey);
      expect((await published(`Bearer ${token}`)).subject).to.equal("someone");
    });
  }

  describe("that were verified before", () => {
    const clock = { now: Date.now() };
    let verified = 0;
    let check: ReturnType<typeof tokenVerifier>;
    let sign: (claims: object) => Promise<string>;

    before(async () => {
      const { publicKey, privateKey } = await generateKeyPair("EdDSA");
      const counting = publishedBy(publicKey, () => {
        verified++;
      });
      sign = (claims) =>
        new SignJWT({ ...good, ...claims }).setProtectedHeader({ alg: "EdDSA" }).sign(privateKey);
      check = tokenVerifier(counting, rules, { now: () => clock.now, maxCached: 2 });
    });
    beforeEach(() => {
      verified = 0;
      clock.now = Date.now();
    });

    it("are not verified again", async () => {
      const token = await sign({ sub: "often" });
      const claims = [await check(token), await check(`Bearer ${token}`), await check(token)];
      expect(claims.map(({ subject }) => subject)).to.eql(["often", "often", "often"]);
      expect(verified).to.equal(1);
    });

    it("expire as if they had not been", async () => {
      const token = await sign({ sub: "expiring", exp: now + 100 });
      clock.now = (now + 130) * 1_000 - 1;
      expect((await check(token)).subject).to.equal("expiring");
      clock.now += 1;
      expect(await refusal(token, check)).to.equal("Token has expired");
    });

    it("vouch for no other signature of the same claims", async () => {
      const token = await sign({ sub: "forged" });
      await check(token);
      const other = token.slice(0, -10) + (token.endsWith("A".repeat(10)) ? "B" : "A").repeat(10);
      expect(await refusal(other, check)).to.equal("Invalid token");
      expect(await refusal(token.slice(0, token.lastIndexOf(".") + 1), check)).to.not.equal("accepted");
    });

    it("are not driven out by tokens that are refused", async () => {
      const token = await sign({ sub: "staying" });
      await check(token);
      for (let i = 0; i < 5; i++)
        expect(await refusal(await sign({ sub: `${i}`, aud: ["users", "services"] }), check)).to.equal(
          "Invalid token",
        );
      verified = 0;
      await check(token);
      expect(verified).to.equal(0);
    });

    it("are refused again and again when they were refused", async () => {
      const token = await sign({ aud: ["users", "services"] });
      for (let i = 0; i < 3; i++) expect(await refusal(token, check)).to.equal("Invalid token");
      expect(verified).to.equal(3);
    });

    it("are forgotten when more others came than are remembered", async () => {
      const [a = "", b = "", c = ""] = await Promise.all(["a", "b", "c"].map((sub) => sign({ sub })));
      for (const token of [a, b, a, c]) await check(token);
      verified = 0;
      for (const token of [a, c]) await check(token);
      expect(verified).to.equal(0);
      await check(b);
      expect(verified).to.equal(1);
    });

    it("are verified each time when they are very long", async () => {
      const token = await sign({ sub: "x".repeat(2_000) });
      for (let i = 0; i < 2; i++) await check(token);
      expect(verified).to.equal(2);
    });
  });
});
