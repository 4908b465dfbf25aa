import { expect } from "chai";
import { type ErrorReason, PrivacyError, UnknownActorError } from "../../src/domain/errors.ts";
import { toStoreError } from "../../src/store/errors.ts";

const secret = "password=hunter2";

function driverError(facts: { code?: string; constraint?: string; message?: string }): Error {
  return Object.assign(new Error(facts.message ?? secret), facts);
}

describe("the mapping of driver errors", () => {
  const unavailable = [
    ..."08000 08006 08P01 28P01 3D000 53300 57P01 57P02 57P03 57014 55P03 40001 40P01 25P02 25P03 25006 26000 42P05".split(
      " ",
    ),
    ..."ECONNREFUSED ECONNRESET EPIPE ETIMEDOUT EHOSTUNREACH ENOTFOUND EAI_AGAIN".split(" "),
  ].map((code) => driverError({ code }));
  const withoutCode = [
    "timeout exceeded when trying to connect",
    "timeout expired",
    "Connection terminated",
    "Connection terminated unexpectedly",
    "Connection terminated due to connection timeout",
    "Query read timeout",
    "Client has encountered a connection error and is not queryable",
    "Client was closed and is not queryable",
    "Cannot use a pool after calling end on the pool",
    "PGlite is closed",
  ].map((message) => driverError({ message }));

  for (const failure of [...unavailable, ...withoutCode]) {
    it(`${(failure as { code?: string }).code ?? failure.message} is UNAVAILABLE`, () => {
      expectPrivacyError(toStoreError(failure), "UNAVAILABLE", failure);
    });
  }

  it("a plan whose columns were altered is UNAVAILABLE when it fails again", () => {
    const failure = Object.assign(driverError({ code: "0A000" }), { routine: "RevalidateCachedQuery" });
    expectPrivacyError(toStoreError(failure), "UNAVAILABLE", failure);
    const other = driverError({ code: "0A000" });
    expect(toStoreError(other)).to.equal(other);
  });

  for (const constraint of [
    "blocks_blocked_id_foreign",
    "mutes_muted_id_foreign",
    "follows_follower_id_foreign",
    "follows_followee_id_foreign",
  ]) {
    it(`a violated ${constraint} is USER_NOT_FOUND`, () => {
      const failure = driverError({ code: "23503", constraint });
      expectPrivacyError(toStoreError(failure), "USER_NOT_FOUND", failure);
    });
  }

  for (const constraint of [
    "blocks_blocker_id_foreign",
    "mutes_muter_id_foreign",
    "privacy_settings_user_id_foreign",
  ]) {
    it(`a violated ${constraint} is an unknown actor`, () => {
      const failure = toStoreError(driverError({ code: "23503", constraint })) as Error;
      expect(failure).to.be.instanceOf(UnknownActorError);
      expect(failure.message).not.to.contain(secret);
    });
  }

  for (const code of ["23505", "42P01", "22P02", "XX000", "53", "57014x"]) {
    it(`${code} passes through`, () => {
      const failure = driverError({ code });
      expect(toStoreError(failure)).to.equal(failure);
    });
  }

  it("an abort rejects with its reason, whatever the driver reports", () => {
    const reason = "the caller went away";
    const signal = AbortSignal.abort(reason);
    expect(toStoreError(driverError({ code: "57014" }), signal)).to.equal(reason);
    expect(toStoreError(reason, signal)).to.equal(reason);
  });

  it("errors of our own pass through, aborted or not", () => {
    for (const failure of [new PrivacyError("USER_NOT_FOUND"), new UnknownActorError()]) {
      expect(toStoreError(failure, AbortSignal.abort())).to.equal(failure);
    }
  });

  it("a cancellation that no caller requested is UNAVAILABLE", () => {
    const failure = driverError({ code: "57014" });
    expectPrivacyError(toStoreError(failure, new AbortController().signal), "UNAVAILABLE", failure);
  });
});

function expectPrivacyError(failure: unknown, reason: ErrorReason, cause: unknown): void {
  if (!(failure instanceof PrivacyError)) throw failure;
  expect(failure.reason).to.equal(reason);
  expect(failure.message).to.equal(new PrivacyError(reason).message);
  expect(failure.cause).to.equal(cause);
}
