import { expect } from "chai";
import { internalUrl, readSigningConfig } from "../../../src/config/config.ts";
import { ConfigError } from "../../../src/config/variables.ts";

describe("the configuration of commands", () => {
  const urls: [Record<string, string>, string][] = [
    [{}, "http://127.0.0.1:50051"],
    [{ HOST: "" }, "http://127.0.0.1:50051"],
    [{ HOST: "localhost", GRPC_PORT: "1234" }, "http://localhost:1234"],
    [{ HOST: "::1" }, "http://[::1]:50051"],
    [{ HOST: "fd00::2" }, "http://[fd00::2]:50051"],
    [{ HOST: "::" }, "http://[::1]:50051"],
    [{ HOST: "0.0.0.0" }, "http://127.0.0.1:50051"],
    [{ TLS_CERT_FILE: "tls.crt" }, "https://127.0.0.1:50051"],
    // Nothing else of the environment matters.
    [{ HTTP_PORT: "none", NODE_ENV: "production", TLS_CLIENT_CA_FILE: "ca.crt" }, "http://127.0.0.1:50051"],
  ];
  for (const [environment, url] of urls) {
    it(`finds the internal port at ${url} with ${JSON.stringify(environment)}`, () => {
      expect(internalUrl(environment)).to.equal(url);
      expect(URL.canParse(url)).to.equal(true);
    });
  }

  it("names a variable that is malformed", () => {
    expect(() => internalUrl({ GRPC_PORT: "none" })).to.throw(ConfigError, /^GRPC_PORT must be a port/);
    expect(() => readSigningConfig({ JWT_SECRET: "short" })).to.throw(
      ConfigError,
      /^JWT_SECRET must be at least/,
    );
  });

  it("reads only the variables that sign tokens", () => {
    const secret = "a secret of more than thirty-two bytes";
    const environment = {
      NODE_ENV: "production",
      HTTP_PORT: "none",
      JWT_SECRET: secret,
      JWT_ISSUER: "accounts",
    };
    const { production, jwt, database } = readSigningConfig(environment);
    expect([production, jwt.secret, jwt.issuer, database.dataDir]).to.eql([
      true,
      secret,
      "accounts",
      ".data",
    ]);
    expect(() => readSigningConfig({ NODE_ENV: "production" })).to.throw(
      ConfigError,
      /JWT_ISSUER is missing/,
    );
  });
});
