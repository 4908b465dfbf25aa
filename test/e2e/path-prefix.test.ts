import { once } from "node:events";
import { createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { expect } from "chai";
import { readConfig } from "../../src/config/config.ts";
import { postgresUrl } from "../support/cluster.ts";
import { startService, type TestService } from "../support/service.ts";

const ada = "a11ce000-0000-4000-8000-000000000001";
const others = ["b0b00000-0000-4000-8000-000000000002", "eee00000-0000-4000-8000-000000000005"];
const control = "/api/v1/e-social/privacy-control";

interface ProxySettings {
  /** The path below which the proxy shows the service. */
  readonly prefix: string;
  /** Whether it takes the prefix off. */
  readonly strips: boolean;
  readonly headers?: Record<string, string>;
}

/** Starts a reverse proxy on the loopback interface; resolves to its origin. */
async function startProxy(target: string, { prefix, strips, headers = {} }: ProxySettings): Promise<Server> {
  const server = createServer((incoming, outgoing) => {
    const url = incoming.url ?? "";
    if (!url.startsWith(prefix)) return void outgoing.writeHead(502).end();
    const path = strips ? url.slice(prefix.length) || "/" : url;
    const upstream = request(target + path, {
      method: incoming.method,
      headers: { ...incoming.headers, ...headers },
    });
    upstream.on("response", (response) => {
      outgoing.writeHead(response.statusCode ?? 500, response.headers);
      response.pipe(outgoing);
    });
    incoming.pipe(upstream);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

const urlOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

describe("a path prefix", () => {
  const services: TestService[] = [];
  const proxies: Server[] = [];
  after(async () => {
    for (const proxy of proxies) {
      proxy.close();
      proxy.closeAllConnections();
    }
    await Promise.all(services.map((service) => service.stop(0)));
  });

  async function started(environment: Record<string, string>): Promise<TestService> {
    const { publicBasePath, rates } = readConfig(environment);
    const service = await startService(await postgresUrl(), { publicBasePath, rates });
    services.push(service);
    const users = [ada, ...others].map((id, i) => ({ id, userName: `user${i}` }));
    await service.graph.upsertUsers({ users }, await service.acting());
    for (const id of others) await service.rest("POST", `${control}/block/${id}`, { as: ada });
    return service;
  }

  async function proxied(service: TestService, settings: ProxySettings): Promise<string> {
    const proxy = await startProxy(service.publicUrl, settings);
    proxies.push(proxy);
    return urlOf(proxy) + settings.prefix;
  }

  const linkOf = async (service: TestService, base: string, headers: Record<string, string> = {}) => {
    const authorization = `Bearer ${await service.userToken(ada)}`;
    const answer = await fetch(`${base}${control}/blocked?page_size=1`, {
      headers: { authorization, ...headers },
    });
    expect(answer.status).to.equal(200);
    const [, link = ""] = /^<(.+)>; rel="next"$/.exec(answer.headers.get("link") ?? "") ?? [];
    return link;
  };

  for (const [what, environment, settings] of [
    [
      "of a trusted proxy",
      { TRUSTED_PROXIES: "127.0.0.1" },
      { prefix: "/gateway/privacy", strips: true, headers: { "x-forwarded-prefix": "/gateway/privacy/" } },
    ],
    ["that is configured", { PUBLIC_BASE_PATH: "/privacy" }, { prefix: "/privacy", strips: true }],
    [
      "that is configured and left on",
      { PUBLIC_BASE_PATH: "/privacy" },
      { prefix: "/privacy", strips: false },
    ],
  ] as const)
    it(`${what} is part of links, of the page and of the document`, async () => {
      const service = await started(environment);
      const base = await proxied(service, settings);
      const { prefix } = settings;

      const link = await linkOf(service, base);
      expect(link).to.match(new RegExp(`^${prefix}${control}/blocked\\?`));
      const authorization = `Bearer ${await service.userToken(ada)}`;
      const next = await fetch(new URL(link, base), { headers: { authorization } });
      const { data } = (await next.json()) as { data: unknown[] };
      expect([next.status, data.length]).to.eql([200, 1]);

      const root = await fetch(`${base}/`, { redirect: "manual" });
      expect([root.status, root.headers.get("location")]).to.eql([302, `${prefix}/docs`]);
      for (const page of ["", "/", "/decisions", "/decisions/"].map((path) => `${base}/docs${path}`)) {
        const html = await (await fetch(page)).text();
        const addresses = [...html.matchAll(/(?:href|src)="([^"]+)"/g)].map(([, address]) => address ?? "");
        expect(addresses).to.have.length.above(4);
        for (const address of addresses)
          expect((await fetch(new URL(address, page))).status, `${page} ${address}`).to.equal(200);
      }
      const document = `${base}/openapi.json`;
      const { servers } = (await (await fetch(document)).json()) as { servers: { url: string }[] };
      expect(new URL(servers[0]?.url ?? "", document).pathname).to.equal(`${prefix}/`);
    });

  it("of a trusted proxy takes precedence over the configured one", async () => {
    const service = await started({ PUBLIC_BASE_PATH: "/privacy", TRUSTED_PROXIES: "127.0.0.1" });
    const link = await linkOf(service, service.publicUrl, { "x-forwarded-prefix": "/other" });
    expect(link).to.match(/^\/other\/api\//);
  });

  it("is taken from no other peer, and only when it is a path", async () => {
    const untrusting = await started({});
    expect(await linkOf(untrusting, untrusting.publicUrl, { "x-forwarded-prefix": "/evil" })).to.match(
      /^\/api\//,
    );
    const trusting = await started({ TRUSTED_PROXIES: "127.0.0.1" });
    for (const wrong of ["//evil.example", "https://evil.example", "/a b", '/">', "/a, /b", "evil", "/"])
      expect(await linkOf(trusting, trusting.publicUrl, { "x-forwarded-prefix": wrong }), wrong).to.match(
        /^\/api\//,
      );
  });

  it("is a path in the configuration", () => {
    for (const wrong of ["privacy", "/", "/privacy/", "//evil.example", "/a b", "https://app.example"])
      expect(() => readConfig({ PUBLIC_BASE_PATH: wrong }), wrong).to.throw("PUBLIC_BASE_PATH");
    expect(readConfig({ PUBLIC_BASE_PATH: "/a/b-c" }).publicBasePath).to.equal("/a/b-c");
  });
});
