import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, type JWK } from "jose";

/** A pair of keys, and what is published of it. */
export interface Key {
  readonly kid: string | undefined;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
}

/** A server that publishes keys, and counts how often it is asked. */
export interface KeyServer extends AsyncDisposable {
  readonly url: string;
  keys: Key[];
  /** Answers in place of the keys. */
  instead: ((response: ServerResponse) => void) | undefined;
  asked: number;
}

/** Makes a pair of keys. */
export async function newKey(kid: string | undefined, alg: string): Promise<Key> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  return {
    kid,
    alg,
    privateKey,
    jwk: { ...(await exportJWK(publicKey)), ...(kid !== undefined && { kid }) },
  };
}

/** Starts a server that publishes some keys. */
export async function startKeyServer(keys: Key[]): Promise<KeyServer> {
  const http = createServer((_request, response) => {
    server.asked++;
    if (server.instead !== undefined) return server.instead(response);
    response.end(JSON.stringify({ keys: server.keys.map(({ jwk }) => jwk) }));
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const server: KeyServer = {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/keys`,
    keys,
    instead: undefined,
    asked: 0,
    async [Symbol.asyncDispose]() {
      http.closeAllConnections();
      http.close();
      await once(http, "close");
    },
  };
  return server;
}
