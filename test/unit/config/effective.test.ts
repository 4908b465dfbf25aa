import { expect } from "chai";
import { effectiveVariables, variableNames } from "../../../src/config/config.ts";

const secret = "canary-of-a-secret";

/** Values that hold secrets in every place where there may be one. */
const withSecrets: Record<string, string> = {
  DATABASE_URL: `postgres://app:${secret}@db.example:6432/privacy?sslpassword=${secret}#${secret}`,
  JWT_SECRET: `${secret}-of-more-than-thirty-two-bytes`,
  JWKS_URL: `https://keys.example/jwks?key=${secret}#${secret}`,
};

/** What nobody may print, by the look of its name; a file's name is no secret, nor is a host's. */
const looksSecret = /SECRET|PASSWORD|CREDENTIAL|(^|_)(TOKEN|KEY)$|HEADERS$/;

function effective(environment: NodeJS.ProcessEnv): Record<string, string | null> {
  // They exclude each other.
  const { JWKS_URL, ...others } = { ...withSecrets, ...environment };
  return { ...effectiveVariables(others), ...pick(effectiveVariables({ JWKS_URL }), "JWKS_URL") };
}
const pick = (all: Record<string, string | null>, name: string) => ({ [name]: all[name] ?? null });

describe("the effective configuration", () => {
  it("shows every variable, with the default where it is unset", () => {
    const shown = effectiveVariables({});
    expect(Object.keys(shown)).to.have.members([...variableNames]);
    expect(shown).to.include({ HTTP_PORT: "7001", JWT_ISSUER: "privacy-control", DRAIN_DELAY_MS: "0" });
    expect(shown).to.include({ DATABASE_URL: null, JWT_SECRET: null });
    const production = {
      NODE_ENV: "production",
      JWT_SECRET: withSecrets.JWT_SECRET,
      JWT_ISSUER: "https://accounts.example",
      DATABASE_URL: withSecrets.DATABASE_URL,
    };
    expect(effectiveVariables(production)).to.include({ DRAIN_DELAY_MS: "5000", NODE_ENV: "production" });
  });

  it("masks the secret part of a value", () => {
    const shown = effective({});
    expect(JSON.stringify(shown)).not.to.contain("canary");
    expect(shown).to.include({
      DATABASE_URL: "postgres://app:***@db.example:6432/privacy?***",
      JWT_SECRET: "***",
      JWKS_URL: "https://keys.example/jwks?***",
    });
  });

  it("masks every variable with a name of a secret", () => {
    for (const name of variableNames.filter((variable) => looksSecret.test(variable))) {
      const value = withSecrets[name];
      expect(value, `${name} wants a value in this test`).to.be.a("string");
      expect(effective({})[name]).to.equal("***");
    }
  });
});
