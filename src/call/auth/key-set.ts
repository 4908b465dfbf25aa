import { type CryptoKey, importJWK, type JWK, type JWSHeaderParameters } from "jose";

/** The most keys of a set that are used; further ones are left out. */
const maxKeys = 100;
/** The most keys that are tried for one token, so that a token costs a bounded number of signature checks. */
const maxTried = 16;
const minModulusBits = 2_048;

interface KeyKind {
  readonly kty: string;
  readonly crv?: string;
}

const rsa = { kty: "RSA" };
const ed25519 = { kty: "OKP", crv: "Ed25519" };

/** The algorithms of published keys, each with the kind of key that it needs (RFC 7518, 8037 and 9864). */
const kinds: ReadonlyMap<string, KeyKind> = new Map([
  ["RS256", rsa],
  ["RS384", rsa],
  ["RS512", rsa],
  ["PS256", rsa],
  ["PS384", rsa],
  ["PS512", rsa],
  ["ES256", { kty: "EC", crv: "P-256" }],
  ["ES384", { kty: "EC", crv: "P-384" }],
  ["ES512", { kty: "EC", crv: "P-521" }],
  ["EdDSA", ed25519],
  ["Ed25519", ed25519],
]);

/** RFC 9864 gives EdDSA with Ed25519 a name of its own: for a key of that curve both mean the same. */
const canonical = (alg: string) => (alg === "Ed25519" ? "EdDSA" : alg);

/** The algorithms that a published key can verify. */
export const publishedAlgorithms = [...kinds.keys()];

/** The keys that may have signed a token. */
export interface Candidates {
  readonly keys: readonly CryptoKey[];
  /** Whether the token names one of them by its `kid`: then no newer set can make a wrong signature right. */
  readonly named: boolean;
}

/** The usable keys of a JWK set (RFC 7517). */
export class KeySet {
  readonly #keys: readonly PublishedKey[];

  private constructor(keys: readonly PublishedKey[]) {
    this.#keys = keys;
  }

  /**
   * Reads a set. Keys that cannot verify a signature (malformed, private, symmetric, weak, or for another use) are left
   * out. Throws when none is left.
   */
  static async parse(text: string): Promise<KeySet> {
    const set: unknown = JSON.parse(text);
    const members = typeof set === "object" && set !== null && "keys" in set ? set.keys : undefined;
    if (!Array.isArray(members)) throw new Error("the answer is no JWK set");
    const keys: PublishedKey[] = [];
    for (const member of members) {
      if (keys.length === maxKeys) break;
      const key = PublishedKey.of(member);
      if (await key?.isUsable()) keys.push(key as PublishedKey);
    }
    if (keys.length === 0) throw new Error("the key set holds no key that verifies signatures");
    return new KeySet(keys);
  }

  /**
   * Finds the keys that fit a token's `alg`: those with its `kid` first, then those without any, since a `kid` is no
   * more than a hint (RFC 7515, 4.1.4); all of them for a token without a `kid`.
   */
  async matching({ alg = "", kid }: JWSHeaderParameters): Promise<Candidates> {
    const fitting = this.#keys.filter((key) => key.fits(alg));
    const named = kid === undefined ? [] : fitting.filter((key) => key.kid === kid);
    const others = kid === undefined ? fitting : fitting.filter((key) => key.kid === undefined);
    const tried = [...named, ...others].slice(0, maxTried);
    return { keys: await Promise.all(tried.map((key) => key.for(alg))), named: named.length > 0 };
  }
}

/** One key of a set. Only the members of its JWK that verification needs are kept. */
class PublishedKey {
  readonly kid: unknown;
  readonly #alg: string | undefined;
  readonly #jwk: JWK;
  readonly #imported = new Map<string, Promise<CryptoKey>>();

  private constructor(jwk: JWK, kid: unknown, alg: string | undefined) {
    this.#jwk = jwk;
    this.kid = kid;
    this.#alg = alg;
  }

  /** Undefined for a member that is no public key for signatures. */
  static of(member: unknown): PublishedKey | undefined {
    if (typeof member !== "object" || member === null) return undefined;
    const { kty, crv, n, e, x, y, d, kid, alg, use, key_ops: operations } = member as Record<string, unknown>;
    if (d !== undefined || (use !== undefined && use !== "sig")) return undefined;
    if (operations !== undefined && !(Array.isArray(operations) && operations.includes("verify")))
      return undefined;
    if (alg !== undefined && typeof alg !== "string") return undefined;
    const parts = { kty, crv, n, e, x, y };
    const jwk = Object.fromEntries(Object.entries(parts).filter(([, part]) => typeof part === "string"));
    return new PublishedKey(jwk as JWK, kid, alg);
  }

  fits(alg: string): boolean {
    const kind = kinds.get(alg);
    if (kind === undefined || kind.kty !== this.#jwk.kty) return false;
    if (kind.crv !== undefined && kind.crv !== this.#jwk.crv) return false;
    return this.#alg === undefined || canonical(this.#alg) === canonical(alg);
  }

  /** Whether some algorithm can use the key. */
  async isUsable(): Promise<boolean> {
    const alg = publishedAlgorithms.find((one) => this.fits(one));
    if (alg === undefined) return false;
    try {
      const { algorithm } = await this.for(alg);
      return !("modulusLength" in algorithm) || Number(algorithm.modulusLength) >= minModulusBits;
    } catch {
      return false;
    }
  }

  /** The key as one algorithm needs it. */
  for(alg: string): Promise<CryptoKey> {
    const imported = this.#imported.get(alg) ?? (importJWK(this.#jwk, alg) as Promise<CryptoKey>);
    this.#imported.set(alg, imported);
    return imported;
  }
}
