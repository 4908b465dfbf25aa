import { expect } from "chai";
import { readConfig } from "../../../src/config/config.ts";
import { ConfigError } from "../../../src/config/variables.ts";

const production = {
  NODE_ENV: "production",
  JWT_SECRET: "x".repeat(32),
  JWT_ISSUER: "https://accounts.example",
  DATABASE_URL: "postgres://db/privacy",
};
const files = { TLS_CERT_FILE: "/tls/tls.crt", TLS_KEY_FILE: "/tls/tls.key" };

function problems(environment: NodeJS.ProcessEnv): string[] {
  try {
    readConfig(environment);
  } catch (failure) {
    if (failure instanceof ConfigError)
      return failure.message.split("\n").map((line) => line.split(" ")[0] ?? "");
    throw failure;
  }
  return [];
}

describe("the configuration of TLS", () => {
  it("is plaintext by default, and all or nothing", () => {
    expect(readConfig({}).tls).to.equal(undefined);
    expect(readConfig(files).tls).to.eql({
      certFile: "/tls/tls.crt",
      keyFile: "/tls/tls.key",
      clientCaFile: undefined,
    });
    expect(problems({ TLS_CERT_FILE: "c" })).to.eql(["TLS_KEY_FILE"]);
    expect(problems({ TLS_KEY_FILE: "k" })).to.eql(["TLS_CERT_FILE"]);
    expect(problems({ TLS_CLIENT_CA_FILE: "a" })).to.eql(["TLS_CERT_FILE", "TLS_KEY_FILE"]);
    expect(readConfig({ ...files, TLS_CLIENT_CA_FILE: "/tls/ca.crt" }).tls?.clientCaFile).to.equal(
      "/tls/ca.crt",
    );
  });

  for (const HOST of [
    "0.0.0.0",
    "::",
    "10.1.2.3",
    "privacy.example",
    "127.0.0.1.example",
    "::ffff:10.0.0.1",
  ]) {
    it(`is required in production at ${HOST}, unless plaintext is allowed`, () => {
      expect(problems({ ...production, HOST })).to.eql(["HOST"]);
      expect(problems({ ...production, HOST, ALLOW_PLAINTEXT: "off" })).to.eql(["HOST"]);
      expect(problems({ ...production, HOST, ALLOW_PLAINTEXT: "on" })).to.eql([]);
      expect(problems({ ...production, HOST, ...files })).to.eql([]);
      expect(problems({ HOST })).to.eql([]);
    });
  }

  for (const HOST of ["127.0.0.1", "127.1.2.3", "::1", "localhost"]) {
    it(`is not required at ${HOST}`, () => {
      expect(problems({ ...production, HOST })).to.eql([]);
    });
  }

  it("names a malformed ALLOW_PLAINTEXT once, and does not treat it as permission", () => {
    expect(problems({ ...production, ALLOW_PLAINTEXT: "yes" })).to.eql(["ALLOW_PLAINTEXT"]);
  });
});
