import { setTimeout as delay } from "node:timers/promises";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { callHeaders, consistencyTokenOf, GraphService } from "@nexgate/privacy-control-client";
import { SignJWT } from "jose";
import type { FeedPage } from "../src/feed.ts";

/** Of a request that is answered by 503 and "try again". */
const maxAttempts = 5;
const issuer = "privacy-control";

/** Signs tokens of users and services, as an accounts service would. */
export class Tokens {
  readonly #key: Uint8Array;

  constructor(secret: string) {
    this.#key = new TextEncoder().encode(secret);
  }

  ofUser(id: string): Promise<string> {
    return this.#sign(new SignJWT(), id, "privacy-control");
  }

  ofService(name: string, scope: string): Promise<string> {
    return this.#sign(new SignJWT({ scope }), name, "privacy-control-internal");
  }

  #sign(token: SignJWT, subject: string, audience: string): Promise<string> {
    return token
      .setProtectedHeader({ alg: "HS256" })
      .setIssuer(issuer)
      .setSubject(subject)
      .setAudience(audience)
      .setExpirationTime("24 hours")
      .sign(this.#key);
  }
}

/** Makes users known to Privacy Control, as an accounts service would. */
export async function registerUsers(
  url: string,
  token: string,
  users: ReadonlyMap<string, string>,
): Promise<void> {
  const graph = createClient(GraphService, createGrpcTransport({ baseUrl: url }));
  const known = [...users].map(([id, userName]) => ({ id, userName }));
  await graph.upsertUsers({ users: known }, { headers: callHeaders({ token }) });
}

/** What a user's app calls: the feed, and Privacy Control. */
export class App {
  readonly #feedUrl: string;
  readonly #privacyUrl: string;
  readonly #token: string;

  constructor(feedUrl: string, privacyUrl: string, token: string) {
    this.#feedUrl = feedUrl;
    this.#privacyUrl = privacyUrl;
    this.#token = token;
  }

  async post(text: string): Promise<void> {
    const body = JSON.stringify({ text });
    await this.#call(`${this.#feedUrl}/posts`, {
      method: "POST",
      body,
      headers: { "content-type": "application/json" },
    });
  }

  /** Reads the feed; `after`: a token of a change that it must not be without. */
  async read(after?: string): Promise<FeedPage> {
    const query = after === undefined ? "" : `?after=${encodeURIComponent(after)}`;
    return (await this.#call(`${this.#feedUrl}/feed${query}`)).json() as Promise<FeedPage>;
  }

  /** Blocks a user, and returns the consistency token of that. */
  async block(user: string): Promise<string> {
    const url = `${this.#privacyUrl}/api/v1/e-social/privacy-control/block/${user}`;
    const { headers } = await this.#call(url, { method: "POST" });
    return consistencyTokenOf(headers) ?? "";
  }

  async #call(url: string, options: RequestInit = {}): Promise<Response> {
    const headers = { ...options.headers, ...callHeaders({ token: this.#token }) };
    for (let attempt = 1; ; attempt++) {
      const response = await fetch(url, { ...options, headers });
      if (response.ok) return response;
      const method = options.method ?? "GET";
      if (response.status !== 503 || attempt === maxAttempts)
        throw new Error(`${method} ${url} is answered by ${response.status}: ${await response.text()}`);
      await delay(Number(response.headers.get("retry-after") ?? 1) * 1_000);
    }
  }
}
