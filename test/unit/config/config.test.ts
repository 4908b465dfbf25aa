import { totalmem } from "node:os";
import { expect } from "chai";
import {
  defaultGraphMegabytes,
  effectiveVariables,
  readConfig,
  readDatabaseConfig,
} from "../../../src/config/config.ts";
import { ConfigError } from "../../../src/config/variables.ts";

const secret = "x".repeat(32);
const production = {
  NODE_ENV: "production",
  JWT_SECRET: secret,
  JWT_ISSUER: "https://accounts.example",
  DATABASE_URL: "postgres://app:secret@db/privacy",
};

function problems(environment: NodeJS.ProcessEnv): string[] {
  try {
    readConfig(environment);
  } catch (failure) {
    if (failure instanceof ConfigError) return failure.message.split("\n");
    throw failure;
  }
  return [];
}

describe("configuration", () => {
  it("has a default for everything outside production", () => {
    expect(readConfig({})).to.deep.include({
      production: false,
      host: "127.0.0.1",
      httpPort: 7001,
      grpcPort: 50051,
      database: {
        url: undefined,
        serviceRole: undefined,
        dataDir: ".data",
        connectionMaxAgeSeconds: 1_800,
        preparedStatements: true,
      },
      changeRetentionHours: 72,
      reflection: true,
      logLevel: "info",
    });
  });

  it("lets the relationship graph take a quarter of the memory of the machine, or of its container", () => {
    const [megabyte, gigabyte] = [2 ** 20, 2 ** 30];
    expect(defaultGraphMegabytes(16 * gigabyte, gigabyte)).to.equal(256);
    expect(defaultGraphMegabytes(8 * gigabyte, 2 ** 64)).to.equal(2_048);
    expect(defaultGraphMegabytes(8 * gigabyte, 0)).to.equal(2_048);
    expect(defaultGraphMegabytes(gigabyte, 10 * megabyte)).to.equal(2);
    const { graphMemoryBytes } = readConfig({});
    expect(graphMemoryBytes).to.be.within(megabyte, totalmem() / 4);
    expect(Number(effectiveVariables({}).GRAPH_MEMORY_MB) * megabyte).to.equal(graphMemoryBytes);
  });

  it("takes the memory of the relationship graph in megabytes, and 0 for none", () => {
    expect(readConfig({ GRAPH_MEMORY_MB: "512" }).graphMemoryBytes).to.equal(2 ** 29);
    expect(readConfig({ GRAPH_MEMORY_MB: "0" }).graphMemoryBytes).to.equal(0);
    for (const wrong of ["-1", "0.5", "1G", "1000001"])
      expect(problems({ GRAPH_MEMORY_MB: wrong }), wrong).to.eql([
        "GRAPH_MEMORY_MB must be megabytes from 0 to 1000000",
      ]);
  });

  it("treats an empty variable as unset", () => {
    expect(readConfig({ HTTP_PORT: "", DATABASE_URL: "", JWT_SECRET: "" }).httpPort).to.equal(7001);
  });

  it("cannot be changed", () => {
    const config = readConfig({}) as { host: string };
    expect(() => {
      config.host = "0.0.0.0";
    }).to.throw(TypeError);
  });

  it("names every variable at fault at once, and repeats no value", () => {
    const found = problems({
      NODE_ENV: "prod",
      HTTP_PORT: "70000",
      GRPC_PORT: "abc",
      DATABASE_URL: "mysql://u:hunter2@db",
      JWT_SECRET: "hunter2",
      JWKS_URL: "ftp://keys",
      REFLECTION: "yes",
      LOG_LEVEL: "loud",
    });
    expect(found.map((line) => line.split(" ")[0])).to.have.members([
      "NODE_ENV",
      "HTTP_PORT",
      "GRPC_PORT",
      "DATABASE_URL",
      "JWT_SECRET",
      "JWKS_URL",
      "REFLECTION",
      "LOG_LEVEL",
    ]);
    expect(found.join()).not.to.match(/hunter2|mysql|70000|loud/);
  });

  it("requires a key, an issuer and a database in production", () => {
    expect(problems(production)).to.eql([]);
    expect(problems({ NODE_ENV: "production" }).map((line) => line.split(" ")[0])).to.eql([
      "JWT_SECRET",
      "JWT_ISSUER",
      "DATABASE_URL",
    ]);
  });

  it("rejects WORKERS above 1", () => {
    for (const set of ["2", "auto", "0"])
      expect(problems({ WORKERS: set })).to.eql([
        "WORKERS is no longer supported: one process is one replica, so run more replicas instead",
      ]);
    for (const harmless of ["", "1"]) expect(problems({ WORKERS: harmless })).to.eql([]);
  });

  it("rejects equal audiences, and two kinds of key at once", () => {
    expect(problems({ JWT_AUDIENCE: "a", JWT_SERVICE_AUDIENCE: "a" })).to.have.length(1);
    expect(problems({ JWT_SECRET: secret, JWKS_URL: "https://keys.example/jwks" })).to.have.length(1);
  });

  it("reads the clock tolerance and the names of claims", () => {
    expect(readConfig({}).jwt).to.include({
      clockToleranceSeconds: 30,
      userClaim: "sub",
      scopeClaim: "scope",
    });
    const chosen = { JWT_CLOCK_TOLERANCE_SECONDS: "120", JWT_USER_CLAIM: "uid", JWT_SCOPE_CLAIM: "scp" };
    expect(readConfig(chosen).jwt).to.include({
      clockToleranceSeconds: 120,
      userClaim: "uid",
      scopeClaim: "scp",
    });
    for (const wrong of ["121", "-1", "1.5"])
      expect(problems({ JWT_CLOCK_TOLERANCE_SECONDS: wrong })).to.have.length(1);
  });

  for (const name of [
    "JWT_SECRET",
    "JWT_ISSUER",
    "JWT_AUDIENCE",
    "JWT_SERVICE_AUDIENCE",
    "JWT_USER_CLAIM",
    "JWT_SCOPE_CLAIM",
  ])
    it(`rejects white space at the ends of ${name}, by name`, () => {
      expect(problems({ [name]: secret })).to.eql([]);
      for (const value of [`${secret}\n`, `${secret}\r\n`, ` ${secret}`, `${secret}\t`, `\ufeff${secret}`]) {
        const found = problems({ [name]: value });
        expect(found).to.have.length(1);
        expect(found[0]).to.match(new RegExp(`^${name} must be .*without white space at its ends$`));
        expect(found[0]).not.to.contain(secret);
      }
    });

  it("reads how long a key set is used during an outage, and rejects credentials in the key server's URL", () => {
    expect(readConfig({}).jwt.jwksMaxStaleMs).to.equal(86_400_000);
    expect(readConfig({ JWKS_MAX_STALE_SECONDS: "600" }).jwt.jwksMaxStaleMs).to.equal(600_000);
    for (const wrong of ["599", "604801", "-1", "1h"])
      expect(problems({ JWKS_MAX_STALE_SECONDS: wrong })[0]).to.match(/^JWKS_MAX_STALE_SECONDS /);
    for (const credentials of ["reader", "reader:hunter2", ":hunter2"]) {
      const found = problems({ JWKS_URL: `https://${credentials}@keys.example/jwks` });
      expect(found).to.have.length(1);
      expect(found[0])
        .to.match(/^JWKS_URL /)
        .and.not.contain("hunter2");
    }
  });

  it("reads rates, where 0 is no limit", () => {
    expect(readConfig({}).rates).to.deep.include({
      writesPerMinute: 600,
      writesBurst: 200,
      failedTokensPerMinute: 300,
      serviceCallsPerMinute: 0,
    });
    const off = { RATE_WRITES_PER_MINUTE: "0", RATE_FAILED_TOKENS_PER_MINUTE: "0" };
    expect(readConfig(off).rates).to.deep.include({ writesPerMinute: 0, failedTokensPerMinute: 0 });
    expect(
      problems({
        RATE_WRITES_PER_MINUTE: "-1",
        RATE_WRITES_BURST: "0",
        RATE_FAILED_TOKENS_PER_MINUTE: "1.5",
        RATE_SERVICE_CALLS_PER_MINUTE: "many",
      }),
    ).to.have.length(4);
  });

  it("reads addresses and networks of proxies", () => {
    const { trustedProxies } = readConfig({ TRUSTED_PROXIES: "10.0.0.0/8, 192.0.2.1 ,fd00::/8,::1" }).rates;
    for (const [address, family, is] of [
      ["10.255.0.1", "ipv4", true],
      ["11.0.0.1", "ipv4", false],
      ["192.0.2.1", "ipv4", true],
      ["192.0.2.2", "ipv4", false],
      ["fdff::1", "ipv6", true],
      ["fe00::1", "ipv6", false],
      ["::1", "ipv6", true],
    ] as const)
      expect(trustedProxies.check(address, family), address).to.equal(is);
    for (const wrong of [
      "10.0.0.0/33",
      "10.0.0",
      "proxy",
      "::1/129",
      "10.0.0.0/8/8",
      "10.0.0.1,",
      "10.0.0.0/",
      "*",
    ])
      expect(problems({ TRUSTED_PROXIES: wrong }), wrong).to.have.length(1);
  });

  it("reads exact origins, or all of them", () => {
    expect(readConfig({}).corsOrigins).to.eql([]);
    expect(readConfig({ CORS_ORIGINS: "*" }).corsOrigins).to.equal("*");
    expect(readConfig({ CORS_ORIGINS: "https://app.example, http://localhost:3000" }).corsOrigins).to.eql([
      "https://app.example",
      "http://localhost:3000",
    ]);
    const apps =
      "capacitor://localhost,ionic://localhost,tauri://localhost,app://com.example,http://localhost:8100";
    expect(readConfig({ CORS_ORIGINS: apps }).corsOrigins).to.eql(apps.split(","));
    for (const wrong of [
      "capacitor://localhost/",
      "capacitor://*",
      "app://",
      "App://localhost",
      "file:///page",
      "file://host",
      "data:text",
      "wss://app.example",
      "https://app.example/",
      "https://App.example",
      "https://app.example:443",
      "app.example",
      "https://*.example",
      "*, https://app.example",
      "https://app.example,",
      "null",
      "ftp://app.example",
      "https://u:p@app.example",
    ])
      expect(problems({ CORS_ORIGINS: wrong }), wrong).to.have.length(1);
  });

  it("requires a different port for each listener, or 0 for any free one", () => {
    for (const same of [
      { HTTP_PORT: "9464" },
      { GRPC_PORT: "7001" },
      { ADMIN_PORT: "50051" },
      { HTTP_PORT: "1", GRPC_PORT: "1", ADMIN_PORT: "1" },
    ])
      expect(problems(same)).to.eql(["HTTP_PORT, GRPC_PORT and ADMIN_PORT must differ"]);
    expect(problems({ HTTP_PORT: "0", GRPC_PORT: "0", ADMIN_PORT: "0" })).to.eql([]);
    expect(readConfig({}).admin).to.eql({ host: "127.0.0.1", port: 9464 });
  });

  it("configures tracing only where there is an endpoint", () => {
    const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318/base" };
    expect(readConfig({ OTEL_SERVICE_NAME: "privacy" }).tracing).to.equal(undefined);
    expect(readConfig({ ...endpoint, OTEL_SDK_DISABLED: "true" }).tracing).to.equal(undefined);
    expect(readConfig(endpoint).tracing).to.eql({
      url: "http://collector:4318/base/v1/traces",
      sampler: "parentbased_always_on",
      ratio: 1,
    });
    const specific = {
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "https://traces/in",
      OTEL_TRACES_SAMPLER_ARG: "0.25",
    };
    expect(readConfig({ ...endpoint, ...specific }).tracing).to.include({
      url: "https://traces/in",
      ratio: 0.25,
    });
    for (const [name, value] of Object.entries({
      OTEL_EXPORTER_OTLP_ENDPOINT: "grpc://collector",
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "collector:4318",
    }))
      expect(problems({ [name]: value }).join()).to.match(new RegExp(`^${name} must be`));
  });

  for (const [url, told] of [
    [
      "postgres://app:p@ss@a:1,[::1]:2/privacy?host=x&password=secret#x",
      "postgres://app:***@a:1,[::1]:2/privacy?***",
    ],
    ["postgres://app@/privacy?host=/var/run/postgresql", "postgres://app@/privacy?***"],
  ] as const)
    it(`accepts a database URL that libpq accepts: ${told}`, () => {
      expect(readDatabaseConfig({ DATABASE_URL: url }).url).to.equal(url);
      expect(effectiveVariables({ DATABASE_URL: url }).DATABASE_URL).to.equal(told);
    });

  it("reads only the variables of the database for a migration", () => {
    const environment = {
      DATABASE_URL: "postgres://db/privacy",
      DATABASE_SERVICE_ROLE: "service",
      DATABASE_CONNECTION_MAX_AGE_SECONDS: "60",
      DATABASE_PREPARED_STATEMENTS: "off",
    };
    expect(readDatabaseConfig({ NODE_ENV: "production", ...environment })).to.eql({
      url: "postgres://db/privacy",
      serviceRole: "service",
      dataDir: ".data",
      connectionMaxAgeSeconds: 60,
      preparedStatements: false,
    });
  });
});
