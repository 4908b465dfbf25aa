import { expect } from "chai";
import { CompiledQuery } from "kysely";
import type pg from "pg";
import { boundedCancel, type CancelOutcome } from "../../../src/store/cancel-request.ts";
import { ReadTimeout } from "../../../src/store/connection-target.ts";
import { PgConnection } from "../../../src/store/pg-pool.ts";

const query = CompiledQuery.raw("select 1");

describe("a PostgreSQL connection of a pool", () => {
  let statement: PromiseWithResolvers<never>;
  let cancellations: number;
  /** What a cancellation does, and its outcome. */
  let onCancel: () => Promise<CancelOutcome>;
  let destroyed: boolean[];
  let disconnected: boolean;
  let transactionStatus: string;
  let open: (expiresAt?: number) => PgConnection;
  let connection: PgConnection;

  beforeEach(() => {
    statement = Promise.withResolvers();
    cancellations = 0;
    onCancel = async () => "handled";
    destroyed = [];
    disconnected = false;
    transactionStatus = "I";
    const client = {
      query: (_query: unknown, done: (failure: unknown) => void) => {
        statement.promise.catch(done);
      },
      getTransactionStatus: () => transactionStatus,
      end: async () => {},
      connection: {
        stream: {
          destroy: () => {
            disconnected = true;
          },
        },
      },
      release: (destroy: boolean) => {
        destroyed.push(destroy);
      },
    };
    open = (expiresAt = Number.POSITIVE_INFINITY) =>
      new PgConnection(client as unknown as pg.PoolClient, {
        cancel: () => {
          cancellations++;
          return onCancel();
        },
        readTimeout: new ReadTimeout(client as unknown as pg.Client, undefined),
        statementNames: undefined,
        origin: { server: "1", openedAt: 0 },
        expiresAt,
      });
    connection = open();
  });

  const failureOf = (work: Promise<unknown>) => work.catch((failure: unknown) => failure);

  it("has its statement cancelled, and is used again", async () => {
    const cancelled = new Error("cancelled");
    onCancel = async () => {
      statement.reject(cancelled);
      return "handled";
    };
    const result = failureOf(connection.query(query));
    await connection.cancel();
    expect(await result).to.equal(cancelled);
    expect(cancellations).to.equal(1);
    connection.release();
    expect(destroyed).to.eql([false]);
  });

  it("has it cancelled again when a cancellation overtook it, or was not sent", async () => {
    onCancel = async () => {
      if (cancellations === 1) return "handled";
      if (cancellations === 2) return "not sent";
      statement.reject(new Error("cancelled"));
      return "handled";
    };
    const result = failureOf(connection.query(query));
    await connection.cancel();
    await result;
    expect(cancellations).to.equal(3);
    connection.release();
    expect(destroyed).to.eql([false]);
  });

  it("bounds the cancellations at once, and sends none for a statement that has ended meanwhile", async () => {
    const requests = [Promise.withResolvers<CancelOutcome>(), Promise.withResolvers<CancelOutcome>()];
    let sent = 0;
    const cancel = boundedCancel(
      1,
      async () => (requests[sent++] as PromiseWithResolvers<CancelOutcome>).promise,
    );
    const client = {} as pg.Client;
    const running = new AbortController().signal;
    const outcomes = [cancel(client, running), cancel(client, AbortSignal.abort()), cancel(client, running)];
    expect(await outcomes[1]).to.equal("not sent");
    expect(sent).to.equal(1);
    requests[0]?.resolve("handled");
    requests[1]?.resolve("unknown");
    expect(await Promise.all(outcomes)).to.eql(["handled", "not sent", "unknown"]);
  });

  it("has nothing cancelled when nothing runs any more", async () => {
    const result = failureOf(connection.query(query));
    statement.reject(new Error("too late"));
    await result;
    await connection.cancel();
    expect(cancellations).to.equal(0);
  });

  it("is not used again while the outcome of a cancellation is open, though the statement has ended", async () => {
    const outcome = Promise.withResolvers<CancelOutcome>();
    onCancel = () => outcome.promise;
    const result = failureOf(connection.query(query));
    let isFree = false;
    const cancelling = connection.cancel().then(() => {
      isFree = true;
    });
    statement.reject(new Error("ended by itself"));
    await result;
    expect(isFree).to.equal(false);
    outcome.resolve("handled");
    await cancelling;
  });

  it("is closed when it is released in a transaction", () => {
    for (const status of ["T", "E", "I"]) {
      transactionStatus = status;
      open().release();
    }
    expect(destroyed).to.eql([true, true, false]);
  });

  it("is closed when it is released after its maximum age", () => {
    open(performance.now()).release();
    open(performance.now() + 60_000).release();
    expect(destroyed).to.eql([true, false]);
  });

  it("is closed when a cancellation fails", async () => {
    onCancel = async () => {
      statement.reject(new Error("ended meanwhile"));
      throw new Error("no socket");
    };
    const result = failureOf(connection.query(query));
    await connection.cancel();
    await result;
    connection.release();
    expect(destroyed).to.eql([true]);
  });

  it("is closed when the outcome of a cancellation is unknown", async () => {
    onCancel = async () => {
      statement.reject(new Error("ended by itself"));
      return "unknown";
    };
    const result = failureOf(connection.query(query));
    await connection.cancel();
    await result;
    connection.release();
    expect(destroyed).to.eql([true]);
  });

  it("is disconnected by a close even after a cancellation whose outcome is unknown", async () => {
    onCancel = async () => "unknown";
    const result = failureOf(connection.query(query));
    const cancelling = connection.cancel();
    await new Promise(setImmediate);
    expect(connection.isClosed).to.equal(true);
    connection.close();
    expect(disconnected).to.equal(true);
    statement.reject(new Error("the connection was closed"));
    await Promise.all([result, cancelling]);
  });
});
