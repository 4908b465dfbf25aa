import { expect } from "chai";
import pg from "pg";
import { ConnectionTarget, parseDatabaseUrl, ReadTimeout } from "../../../src/store/connection-target.ts";
import { problemOf } from "../../../src/store/server-state.ts";
import { until } from "../../support/until.ts";

describe("a database URL", () => {
  const places = (url: string) => parseDatabaseUrl(url).hosts.map(({ host, port }) => `${host}:${port}`);
  const clients = (url: string) => {
    const parsed = parseDatabaseUrl(url);
    return parsed.hosts.map((_, i) => new pg.Client(parsed.driverUrl(i)));
  };

  for (const [url, expected] of [
    ["postgres://db/privacy", ["db:5432"]],
    ["postgresql://user:p%40ss@db:6432/privacy", ["db:6432"]],
    ["postgres:///privacy", ["localhost:5432"]],
    ["postgres://[::1]:6000/privacy", ["::1:6000"]],
    ["postgres://user@/privacy?host=/var/run/postgresql&port=5433", ["/var/run/postgresql:5433"]],
    ["postgres:///privacy?host=/var/run/postgresql", ["/var/run/postgresql:5432"]],
    ["postgres://%2Fvar%2Frun%2Fpostgresql/privacy", ["/var/run/postgresql:5432"]],
    ["postgres://a,b:6432,[::2]:1/privacy?target_session_attrs=read-write", ["a:5432", "b:6432", "::2:1"]],
    ["postgres:///privacy?host=a,b&port=1,2", ["a:1", "b:2"]],
    ["postgres:///privacy?host=a,b&port=7", ["a:7", "b:7"]],
  ] as const) {
    it(`names its hosts: ${url}`, () => {
      expect(places(url)).to.eql(expected);
      expect(parseDatabaseUrl(url).database).to.equal("privacy");
    });
  }

  it("reaches the driver host by host", () => {
    const url = "postgres://app:p%40ss@a:1,b:2/privacy?application_name=x&sslmode=disable";
    for (const [i, client] of clients(url).entries()) {
      const { host, port, user, password, database, ssl } = client;
      const expected = {
        host: "ab"[i],
        port: i + 1,
        user: "app",
        password: "p@ss",
        database: "privacy",
        ssl: false,
      };
      expect({ host, port, user, password, database, ssl }).to.eql(expected);
    }
  });

  for (const mode of ["prefer", "require", "verify-ca", "verify-full"])
    it(`verifies the server with sslmode=${mode}`, () => {
      expect(clients(`postgres://db/privacy?sslmode=${mode}`)[0]?.ssl).to.eql({});
    });

  it("encrypts without verifying, or not at all", () => {
    expect(clients("postgres://db/privacy?sslmode=no-verify")[0]?.ssl).to.eql({ rejectUnauthorized: false });
    expect(clients("postgres://db/privacy?sslmode=disable")[0]?.ssl).to.equal(false);
    expect(clients("postgres://db/privacy")[0]?.ssl).to.equal(false);
  });

  for (const [parameters, message] of [
    ["sslmode=allow", "sslmode must be one of"],
    ["target_session_attrs=standby", "target_session_attrs must be one of any, primary, read-write"],
    ["host=a,b&port=1,2,3", "2 hosts cannot have 3 ports"],
    ["port=0", "a port must be"],
  ] as const) {
    it(`is refused with ${parameters}, and not repeated`, () => {
      const parse = () => parseDatabaseUrl(`postgres://user:secret@db/privacy?${parameters}`);
      expect(parse).to.throw(message);
      expect(parse).not.to.throw("secret");
    });
  }

  it("keeps what a connection is started with apart", () => {
    const { startup } = parseDatabaseUrl("postgres://db/privacy?options=-c%20search_path%3Dx&lock_timeout=5");
    expect(startup).to.eql({ options: "-c search_path=x", lock_timeout: "5" });
  });

  it("has its timeout of a statement before that of the service", () => {
    const target = (url: string) => new ConnectionTarget(parseDatabaseUrl(url), () => {});
    const base = { query_timeout: 7_000 };
    expect(target("postgres://db/privacy").readTimeoutMs(base)).to.equal(7_000);
    const own = target("postgres://db/privacy?query_timeout=1500");
    expect(own.readTimeoutMs(base)).to.equal(1_500);
    expect(own.configure(base).query_timeout).to.equal(1_500);
    expect(own.configure({ query_timeout: 0 }).query_timeout).to.equal(0);
    expect(target("postgres://db/privacy").readTimeoutMs({})).to.equal(undefined);
  });
});

describe("the timeout of the statements of a connection", () => {
  const timeoutOf = (ms: number) => {
    const failures: unknown[] = [];
    const client = { connection: { stream: { destroy: (failure: unknown) => failures.push(failure) } } };
    return { timeout: new ReadTimeout(client as unknown as pg.Client, ms), failures };
  };

  it("closes the connection while a statement waits, and never an idle one", async () => {
    const idle = timeoutOf(1);
    const busy = timeoutOf(5);
    idle.timeout.start();
    idle.timeout.stop();
    busy.timeout.start();
    await until(() => busy.failures.length > 0);
    expect(String(busy.failures)).to.equal("Error: Query read timeout");
    expect(idle.failures).to.eql([]);
    idle.timeout.start();
    await until(() => idle.failures.length > 0);
  });
});

describe("a server", () => {
  const good = { isStandby: false, isReadOnly: false, version: 150_000, encoding: "UTF8" };
  it("is refused before version 15, and with another encoding than UTF8", () => {
    expect(problemOf(good)).to.equal(undefined);
    expect(problemOf({ ...good, version: 140_012 })).to.match(/15 or newer.*version 14/);
    expect(problemOf({ ...good, encoding: "SQL_ASCII" })).to.match(/UTF8.*SQL_ASCII/);
  });
});
