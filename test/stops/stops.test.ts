import { expect } from "chai";
import { canMakeCertificates, makeAuthority, type TestCertificate } from "../support/certificates.ts";
import { postgresUrl } from "../support/cluster.ts";
import { type StopOutcome, stopUnderLoad } from "./stop.ts";

/** `npm run test:stops` makes 20. */
const stops = Number(process.env.STOPS ?? 2);
const delayMs = 300;

describe("a process that is stopped under load", function () {
  this.timeout(120_000);
  let databaseUrl: string | undefined;
  let tls: { readonly server: TestCertificate; readonly ca: string } | undefined;
  before(async () => {
    databaseUrl = await postgresUrl();
    if (!canMakeCertificates) return;
    const authority = makeAuthority("An authority");
    tls = { server: authority.sign("server"), ca: authority.cert };
  });

  for (let stop = 0; stop < stops; stop++) {
    // With and without each of them, in all combinations.
    const drainDelayMs = stop % 2 === 0 ? 0 : delayMs;
    const isSecure = (stop >> 1) % 2 === 0;
    it(`loses no call and no write, after ${drainDelayMs} ms, ${isSecure ? "with" : "without"} TLS`, async function () {
      if (isSecure && tls === undefined) return this.skip();
      const outcome = await stopUnderLoad({ databaseUrl, drainDelayMs, tls: isSecure ? tls : undefined });
      console.log(`      ${describeOutcome(outcome)}`);
      expect(outcome.lost).to.eql([]);
      expect(outcome.missing).to.eql([]);
      expect(outcome.exitCode).to.equal(0);
      expect(outcome.endedAfterMs).to.be.below(10_000);
      expect(outcome.answered + outcome.refused).to.equal(outcome.sent);
      expect(outcome.written.length).to.be.greaterThan(100);
      if (drainDelayMs > 0) expect(outcome.wasRetired).to.equal(true);
    });
  }
});

function describeOutcome({ sent, answered, refused, lost, written, missing, ...rest }: StopOutcome): string {
  return (
    `${sent} calls: ${answered} answered, ${refused} refused, ${lost.length} lost; ` +
    `${rest.inFlightAtSignal} in flight at the signal; ${written.length} writes, ${missing.length} missing; ` +
    `code ${rest.exitCode} after ${rest.endedAfterMs} ms`
  );
}
